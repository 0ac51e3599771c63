//! Nodes that are told nothing but the token: where they are, and where the others are, they find out.

use flymq_client::pb;

use crate::{broker::Launch, cluster::connect, net::Net};

const TOKEN: &str = "a token that both have";

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_listens_everywhere_finds_its_address_and_its_cluster() {
    let net = match Net::new() {
        Ok(net) => net,
        Err(why) => return eprintln!("NOT RUN, discovery on a network: {why}"),
    };
    let dir = tempfile::tempdir().expect("a directory");
    let launch = |number: u8, role: &str, token: &str| {
        net.leaves_by_the_bridge(number);
        Launch::new(&dir.path().join(number.to_string()))
            .with("NODE_ID", &format!("node-{number}"))
            .with("BIND_ADDR", ":9092")
            .with("CLUSTER_ADDR", ":9093")
            .with("ALLOW_INSECURE", "true")
            .with("ROLE", role)
            .with(token, TOKEN)
            .under(net.inside(number))
    };
    let (first, second) = (launch(1, "bootstrap", "CLUSTER_TOKEN"), launch(2, "agent", "JOIN_TOKEN"));
    // At once: who looks may be there before anyone is to be found.
    let looking = tokio::task::spawn_blocking(move || second.start());
    let _first = tokio::task::spawn_blocking(move || first.start()).await.expect("it forms a cluster");
    let _second = looking.await.expect("it joins");

    let client = connect(&format!("{}:9092", net.address(2))).await;
    let request = pb::GetMetadataRequest::default();
    let answer: pb::GetMetadataResponse = client.call("GetMetadata", &request).await.expect("metadata");
    let told: Vec<_> =
        answer.members.iter().map(|member| (member.node_id.as_str(), member.client_addr.clone())).collect();
    let address = |number: u8| format!("{}:9092", net.address(number));
    assert_eq!(told, [("node-1", address(1)), ("node-2", address(2))]);
}
