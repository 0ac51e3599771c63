//! Every unary rpc can be called, and what is not built says so: `fixtures/unimplemented.txt` is the list.

mod common;

use std::collections::BTreeSet;

use bytes::Bytes;
use common::{TestBroker, context};
use flymq_api::{ErrorCode, OPS, Request};

#[tokio::test]
async fn every_rpc_answers_and_the_unbuilt_ones_are_listed() {
    let broker = TestBroker::start().await;
    let mut unbuilt = BTreeSet::new();
    for op in &OPS {
        let Some(request) = Request::decode(op.id, Bytes::new()) else { continue };
        let request = request.expect("an empty body is a message with every field absent");
        match broker.broker.call(context(), request).await {
            Ok(response) => assert_eq!(response.rpc(), op.id, "the answer belongs to the request"),
            Err(error) if error.code == ErrorCode::Unimplemented => {
                assert!(error.metadata.contains_key("feature"), "{}: names no feature: {error}", op.rpc);
                unbuilt.insert(op.rpc);
            }
            Err(error) => assert_ne!(error.code, ErrorCode::Internal, "{}: {error}", op.rpc),
        }
    }
    let listed: BTreeSet<&str> =
        include_str!("fixtures/unimplemented.txt").lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(unbuilt, listed, "built rpcs leave fixtures/unimplemented.txt, new unbuilt ones join it");
}

#[test]
fn every_code_has_a_status_at_every_door() {
    use flymq_api::ErrorTraits;
    for number in 0.. {
        let Ok(code) = ErrorCode::try_from(number) else { break };
        let row = ErrorTraits::of(code);
        assert!((400..600).contains(&row.http), "{}", row.name);
        assert!(
            row.grpc.chars().all(|c| c.is_ascii_uppercase() || c == '_') && row.grpc != "OK",
            "{}",
            row.name
        );
    }
}
