use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};

use super::*;

/// A metadata service: for each request line and header, an answer. Anything else is 404.
fn service(answers: &'static [(&'static str, &'static str, &'static str)]) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut lines = BufReader::new(stream.try_clone().expect("a socket")).lines();
            let head: Vec<String> =
                lines.by_ref().map(|line| line.expect("text")).take_while(|line| !line.is_empty()).collect();
            let has = |header: &str| head.iter().any(|line| line.eq_ignore_ascii_case(header));
            let known =
                answers.iter().find(|(request, header, _)| head[0].starts_with(request) && has(header));
            let (status, body) = known.map_or(("404 Not Found", ""), |(_, _, body)| ("200 OK", body));
            let length = body.len();
            // A client that has gone away is its own affair.
            let _gone = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
        }
    });
    address
}

#[tokio::test]
async fn clouds_are_asked_in_their_own_words() {
    let all = service(&[
        ("PUT /latest/api/token ", "X-aws-ec2-metadata-token-ttl-seconds: 60", "secret"),
        ("GET /latest/meta-data/local-ipv4 ", "X-aws-ec2-metadata-token: secret", "10.0.0.1"),
        (
            "GET /computeMetadata/v1/instance/network-interfaces/0/ip ",
            "Metadata-Flavor: Google",
            "10.0.0.2\n",
        ),
        ("GET /metadata/instance/network/interface/0/ipv4/", "Metadata: true", "10.0.0.3"),
    ]);
    for (cloud, expected) in
        [(Cloud::Aws, "10.0.0.1"), (Cloud::Google, "10.0.0.2"), (Cloud::Azure, "10.0.0.3")]
    {
        let found = detect(None, Some(cloud), all).await;
        assert_eq!(found, Some((expected.parse().expect("an address"), cloud.name())));
    }
    let pod = detect(Some("10.9.9.9".to_owned()), Some(Cloud::Aws), all).await;
    assert_eq!(pod, Some(("10.9.9.9".parse().expect("an address"), "POD_IP")), "Kubernetes knows better");
}

#[tokio::test]
async fn a_service_that_says_something_else_or_nothing_is_not_believed() {
    let wrong = service(&[
        ("GET /computeMetadata/v1/instance/network-interfaces/0/ip ", "Metadata-Flavor: Google", "<html>"),
        ("GET /metadata/instance/network/interface/0/ipv4/", "Metadata: true", "127.0.0.1"),
    ]);
    for (cloud, why) in [(Cloud::Aws, "404"), (Cloud::Google, "<html>"), (Cloud::Azure, "127.0.0.1")] {
        let error = cloud.private_address(wrong).await.expect_err("no address").to_string();
        assert!(error.contains(why), "{error}");
    }
    // It takes connections and never answers.
    let silent = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let error =
        Cloud::Google.private_address(silent.local_addr().expect("bound")).await.expect_err("silence");
    assert!(error.to_string().contains("500 ms"), "{error}");
    let route = detect(Some("localhost".to_owned()), Some(Cloud::Google), wrong).await;
    assert_eq!(route.map(|(_, by)| by), route::default_source().map(|_| "the default route"));
}

#[test]
fn only_clouds_that_the_firmware_names_are_asked() {
    let dmi = tempfile::tempdir().expect("a directory");
    let says = |file: &str, text: &str| std::fs::write(dmi.path().join(file), text).expect("written");
    assert_eq!(Cloud::of(dmi.path()), None);
    says("sys_vendor", "Amazon EC2\n");
    assert_eq!(Cloud::of(dmi.path()), Some(Cloud::Aws));
    says("sys_vendor", "Google\n");
    assert_eq!(Cloud::of(dmi.path()), Some(Cloud::Google));
    says("sys_vendor", "Microsoft Corporation\n");
    assert_eq!(Cloud::of(dmi.path()), None, "a laptop, or a machine under Hyper-V");
    says("chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77\n");
    assert_eq!(Cloud::of(dmi.path()), Some(Cloud::Azure));
}

#[test]
fn addresses_that_nobody_else_can_reach_are_not_told() {
    for wrong in ["", "node-1", "0.0.0.0", "127.0.0.1", "169.254.1.2", "224.0.0.1", "::", "::1", "fe80::1"] {
        assert_eq!(usable(wrong), None, "{wrong}");
    }
    for right in ["10.0.0.1", " 192.168.1.2\n", "2001:db8::1", "fd00::1"] {
        assert!(usable(right).is_some(), "{right}");
    }
}
