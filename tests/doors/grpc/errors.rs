//! Whatever is asked, the answer is of the error table.

use flymq_proto::{
    pb::{self, topic_service_client::TopicServiceClient},
    rpcs,
};
use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::raw::call;
use crate::broker::start;

/// Reason of the ErrorInfo; panics where there is none.
pub fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!(info.domain, "flymq");
    info.reason.clone()
}

#[tokio::test]
async fn an_unknown_topic_is_explained() {
    let broker = start().await;
    let mut topics = TopicServiceClient::new(broker.channel().await);
    let status =
        topics.get_topic(pb::GetTopicRequest { name: "orders".to_owned() }).await.expect_err("unknown");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "TOPIC_NOT_FOUND"));
    let details = status.get_error_details();
    assert_eq!(details.error_info().expect("there").metadata["topic"], "orders");
    let help = &details.help().expect("there").links[0];
    assert!(
        help.description.contains("topic create orders") && help.url.ends_with("TOPIC_NOT_FOUND.md"),
        "{help:?}"
    );
    assert!(details.retry_info().is_none());
    let rich = tonic_types::Status::decode(status.details()).expect("a google.rpc.Status");
    let own = rich.details.iter().find(|d| d.type_url.ends_with("flymq.v1.ErrorDetail")).expect("there");
    let own = pb::ErrorDetail::decode(own.value.as_slice()).expect("an ErrorDetail");
    assert_eq!(own.code(), pb::ErrorCode::TopicNotFound);
}

/// The guard: no rpc without an answer, and no refusal without an explanation.
#[tokio::test]
async fn every_rpc_answers_an_empty_request() {
    let broker = start().await;
    let channel = broker.channel().await;
    let mut unbuilt = Vec::new();
    for rpc in rpcs() {
        let Err(status) = call(&channel, &rpc.path, rpc.server_streaming, "").await else { continue };
        let reason = reason(&status);
        assert_ne!(reason, "INTERNAL", "{}: {status:?}", rpc.name);
        if reason == "UNIMPLEMENTED" {
            assert_eq!(status.code(), Code::Unimplemented);
            unbuilt.push(rpc.name.as_str());
        }
    }
    println!("{} of {} rpcs are not built yet: {}", unbuilt.len(), rpcs().len(), unbuilt.join(" "));
    for built in ["Produce", "Fetch", "Subscribe", "CreateTopic", "CommitOffsets", "GetLag", "GetHealth"] {
        assert!(!unbuilt.contains(&built), "{built} is not built");
    }
}

#[tokio::test]
async fn garbage_is_refused_and_the_connection_lives() {
    let broker = start().await;
    let channel = broker.channel().await;
    for rpc in rpcs() {
        // Field 1 announces more bytes than there are.
        let status = call(&channel, &rpc.path, rpc.server_streaming, &b"\x0a\xff\xff\xff\x7f"[..])
            .await
            .expect_err("no message");
        assert!(matches!(reason(&status).as_str(), "PROTOCOL" | "UNIMPLEMENTED"), "{}: {status:?}", rpc.name);
    }
    call(&channel, "/flymq.v1.AdminService/GetHealth", false, "").await.expect("still served");
}

#[tokio::test]
async fn an_unknown_path_is_unimplemented() {
    let broker = start().await;
    let channel = broker.channel().await;
    for path in ["/flymq.v1.BrokerService/Nothing", "/flymq.v2.BrokerService/Produce", "/x", "/a/b/c"] {
        let status = call(&channel, path, false, "").await.expect_err("unknown");
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::Unimplemented, "UNIMPLEMENTED"),
            "{path}"
        );
    }
}
