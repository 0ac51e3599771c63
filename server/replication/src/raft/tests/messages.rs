//! Messages that are not for this member.

use bytes::Bytes;

use super::*;

#[tokio::test]
async fn a_message_for_somebody_else_is_refused() {
    let group = Group::of(&[1], settings()).await;
    let store = group.leader().await;
    let request = |cluster: u8, to: u64| {
        let body = [&[1][..], &[cluster; 16], &to.to_le_bytes()].concat();
        MetaRequest { rpc: MetaRpc::ReadIndex, body: Bytes::from(body) }
    };
    store.answer(request(5, 1)).await.unwrap();
    for (cluster, to) in [(6, 1), (5, 2)] {
        let refused = store.answer(request(cluster, to)).await.unwrap_err();
        assert!(matches!(refused, MetaTransportError::Refused { .. }), "{refused}");
    }
    for rpc in (1..=6).filter_map(MetaRpc::from_number) {
        let request = MetaRequest { rpc, body: Bytes::from_static(b"\x01nonsense") };
        let refused = store.answer(request).await.unwrap_err();
        assert!(matches!(refused, MetaTransportError::Refused { .. }), "{rpc:?}: {refused}");
    }
    assert_eq!((MetaRpc::from_number(0), MetaRpc::from_number(7)), (None, None));
}

#[tokio::test]
async fn settings_that_do_not_fit_are_refused() {
    let election = (Duration::from_millis(50), Duration::from_millis(40));
    let mut group = Group::new(RaftMetaSettings { election, ..settings() });
    let refused = group.try_start(1).await;
    assert!(matches!(refused, Err(RaftMetaError::Settings { .. })), "{refused:?}");
}
