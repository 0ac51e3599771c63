//! What grpcurl needs.

use tonic_reflection::pb::{v1, v1alpha};

use crate::broker::start;

#[tokio::test]
async fn reflection_lists_all_services() {
    use v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let broker = start().await;
    let mut client = ServerReflectionClient::new(broker.channel().await);
    let ask = |message| ServerReflectionRequest { host: String::new(), message_request: Some(message) };
    let symbols =
        ["flymq.v1.BrokerService", "flymq.v1.ErrorDetail", "google.rpc.ErrorInfo", "google.rpc.Help"];
    let mut asked = vec![ask(MessageRequest::ListServices(String::new()))];
    asked.extend(symbols.iter().map(|s| ask(MessageRequest::FileContainingSymbol((*s).to_owned()))));
    let stream = tokio_stream::iter(asked);
    let mut answers = client.server_reflection_info(stream).await.expect("served").into_inner();

    let first = answers.message().await.expect("answered").expect("one").message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = first else { panic!("{first:?}") };
    let names: Vec<&str> = list.service.iter().map(|s| s.name.as_str()).collect();
    for service in flymq_proto::descriptor_pool().services() {
        assert!(names.contains(&service.full_name()), "{} is not listed in {names:?}", service.full_name());
    }
    assert!(names.contains(&"grpc.health.v1.Health"));
    for symbol in symbols {
        let answer = answers.message().await.expect("answered").expect("one").message_response;
        assert!(matches!(answer, Some(MessageResponse::FileDescriptorResponse(_))), "{symbol}: {answer:?}");
    }
}

#[tokio::test]
async fn the_older_version_is_served_too() {
    use v1alpha::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let broker = start().await;
    let mut client = ServerReflectionClient::new(broker.channel().await);
    let message_request = Some(MessageRequest::ListServices(String::new()));
    let stream = tokio_stream::iter([ServerReflectionRequest { host: String::new(), message_request }]);
    let mut answers = client.server_reflection_info(stream).await.expect("served").into_inner();
    let answer = answers.message().await.expect("answered").expect("one").message_response;
    assert!(matches!(answer, Some(MessageResponse::ListServicesResponse(_))), "{answer:?}");
}
