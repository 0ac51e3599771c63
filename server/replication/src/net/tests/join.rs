//! Nodes that are no members yet.

use super::proxy::Proxy;
use super::*;

/// Starts without a cluster.
async fn outsider() -> Node {
    Node::start_with(9, settings(), "127.0.0.1:0", None).await
}

async fn join(node: &Node, address: &str, token: &str) -> Result<Bytes, PeerError> {
    let body = Bytes::from_static(b"let me in, I am node-9");
    in_time("an answer", node.network.join(address, token, body, DEADLINE)).await
}

#[tokio::test]
async fn a_node_with_a_token_may_ask_and_nobody_on_the_way_can_read_it() {
    let (one, new) = (Node::start(1).await, outsider().await);
    let token = one.network.join_token(Timestamp(60_000)).expect("a member makes tokens");
    let cable = Proxy::to(&one.address).await;
    let answer = join(&new, &cable.address, &token).await;
    assert_eq!(answer, Ok(Bytes::from_static(b"nobody Join let me in, I am node-9")));
    assert!(cable.has_seen(token.rsplit_once('-').expect("three parts").0.as_bytes()), "the public part");
    for private in ["let me in", "node-9", token.rsplit_once('-').expect("three parts").1] {
        assert!(!cable.has_seen(private.as_bytes()), "{private} was readable");
    }
    // Any member takes it, not only the one that made it.
    let two = Node::start(2).await;
    assert!(join(&new, &two.address, &token).await.is_ok());
    let token = membership().secret.token().to_owned();
    assert!(join(&new, &one.address, &token).await.is_ok(), "the cluster token itself");
}

#[tokio::test]
async fn a_wrong_token_is_refused_counted_and_told() {
    let (one, new) = (Node::start(1).await, outsider().await);
    let token = one.network.join_token(Timestamp(60_000)).expect("a member makes tokens");
    let ended = one.network.join_token(Timestamp(-1)).expect("a member makes tokens");
    let mut changed = token.clone();
    let last = if changed.pop() == Some('0') { '1' } else { '0' };
    changed.push(last);
    let others =
        ClusterSecret::new("another").expect("not empty").join_token(Timestamp(60_000), &SeededRng::new(1));
    for (n, wrong) in ["", "x", &ended, &changed, &others].into_iter().enumerate() {
        let answer = join(&new, &one.address, wrong).await;
        let Err(PeerError::Refused { reason }) = answer else { panic!("{wrong}: {answer:?}") };
        assert!(reason.contains("token"), "{reason}");
        assert_eq!(one.network.stats().refused(Refusal::WrongToken), n as u64 + 1);
    }
    assert_eq!(one.service.asked.load(Ordering::SeqCst), 0);
    assert!(join(&new, &one.address, &token).await.is_ok());
}

#[tokio::test]
async fn a_node_that_is_in_no_cluster_says_so() {
    let (one, new) = (outsider().await, outsider().await);
    let answer = join(&new, &one.address, "token").await;
    let Err(PeerError::Refused { reason }) = answer else { panic!("{answer:?}") };
    assert!(reason.contains("in no cluster"), "{reason}");
    assert_eq!(one.network.join_token(Timestamp(1)), None);
    // With a token, though in no cluster, it can be asked.
    one.network.set_membership(PeerMembership { cluster: None, ..membership() });
    assert!(join(&new, &one.address, membership().secret.token()).await.is_ok());
}

#[tokio::test]
async fn nobody_there_is_unreachable_and_the_services_own_refusal_is_told() {
    let (one, new) = (Node::start(1).await, outsider().await);
    let body = Bytes::from_static(b"refuse");
    let token = membership().secret.token().to_owned();
    let answer = new.network.join(&one.address, &token, body, DEADLINE).await;
    assert_eq!(answer, Err(PeerError::Refused { reason: "I will not".to_owned() }));
    one.network.shutdown().await;
    assert!(unreachable(&join(&new, &one.address, &token).await));
}
