//! TLS between members: who has no certificate of the cluster, or the wrong one, is not let in.

use flymq_proto::internal as pb;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::handshake::{Channel, KnockError, PREFACE, Security};
use super::super::packet::{Kind, empty, encode};
use super::super::reader::PacketReader;
use super::super::tls::{Tls, root_of};
use super::proxy::Proxy;
use super::*;

fn seed() -> String {
    membership().secret.seed().expect("the tests' secret has one").to_owned()
}

async fn still_serves(two: &Node) {
    let friend = Node::start(1).await;
    introduce(&[&friend, two]);
    assert!(friend.ask(two.id, "x").await.is_ok());
}

async fn ask_from(node: &Node, two: &Node) -> String {
    introduce(&[node]);
    node.network.set_members(members(&[node, two]));
    match node.ask(two.id, "something private").await {
        Err(PeerError::Unreachable { reason }) => reason,
        other => panic!("let in: {other:?}"),
    }
}

#[tokio::test]
async fn nothing_that_members_say_can_be_read_on_the_way() {
    let (one, two) = (Node::start(1).await, Node::start(2).await);
    let cable = Proxy::to(&two.address).await;
    let mut known = members(&[&one, &two]);
    two.network.set_members(known.clone());
    known.get_mut(&2).unwrap().address.clone_from(&cable.address);
    one.network.set_members(known);
    assert_eq!(one.ask(2, "something private").await, Ok(Bytes::from_static(b"1 Forward something private")));
    let raw = Bytes::from_static(b"a private record, in a batch");
    one.network.send(BrokerId(2), key(0), range(0, raw), Lane::Live, None);
    until("it arrives", || two.sink.count() == 1).await;
    assert!(!cable.has_seen(b"private"));
    assert!(!cable.has_seen(PREFACE), "it is TLS from the first byte on");
}

#[tokio::test]
async fn plain_text_is_refused_counted_and_told() {
    let two = Node::start(2).await;
    let plain = PeerSettings { tls: false, ..settings() };
    let one = Node::start_with(1, plain, "127.0.0.1:0", Some(membership())).await;
    let told = ask_from(&one, &two).await;
    assert!(told.contains("speak TLS"), "{told}");
    assert!(two.network.stats().refused(Refusal::PlainText) >= 1);
    still_serves(&two).await;
    // Nor does the one without accept the other's.
    let told = ask_from(&two, &one).await;
    assert!(told.contains("no TLS"), "{told}");
    assert!(one.network.stats().refused(Refusal::Certificate) >= 1);
}

#[tokio::test]
async fn a_node_with_another_seed_is_refused_on_both_sides() {
    let two = Node::start(2).await;
    let secret = ClusterSecret::new("the token of the tests").unwrap().founded(&SeededRng::new(99));
    let other = PeerMembership { secret, ..membership() };
    let one = Node::start_with(1, settings(), "127.0.0.1:0", Some(other)).await;
    let told = ask_from(&one, &two).await;
    assert!(told.contains("no TLS"), "{told}");
    until("counted", || two.network.stats().refused(Refusal::Certificate) >= 1).await;
    still_serves(&two).await;
}

/// Trusts the cluster, and shows what it is given.
async fn tls_with(two: &Node, certificate: Option<(&str, [u8; 16])>) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(root_of(&seed(), CLUSTER).unwrap()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let client = match certificate {
        Some((seed, cluster)) => {
            let (chain, key) = Tls::certificate(seed, cluster, 1).unwrap();
            client.with_client_auth_cert(vec![chain], key).unwrap()
        }
        None => client.with_no_client_auth(),
    };
    let host = format!("{:016x}.{:032x}.flymq.internal", 2, u128::from_be_bytes(CLUSTER));
    let stream = TcpStream::connect(&two.address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let mut read = Vec::new();
    if let Ok(mut stream) = connector.connect(ServerName::try_from(host).unwrap(), stream).await {
        let _ = stream.write_all(PREFACE).await;
        let _ = in_time("it is closed", stream.read_to_end(&mut read)).await;
    }
    read
}

#[tokio::test]
async fn certificates_of_others_and_none_at_all_are_refused() {
    let two = Node::start(2).await;
    let foreign = "0".repeat(64);
    for (n, certificate) in [None, Some((&foreign[..], CLUSTER))].into_iter().enumerate() {
        assert_eq!(tls_with(&two, certificate).await, b"", "not a word");
        until("counted", || two.network.stats().refused(Refusal::Certificate) == n as u64 + 1).await;
        still_serves(&two).await;
    }
}

/// Has a certificate as member 3, and says that it is another one.
async fn knock_as(two: &Node, says: RaftId) -> Result<Channel, KnockError> {
    let tls = Tls::new(&seed(), CLUSTER, 3).unwrap();
    let stream = TcpStream::connect(&two.address).await.unwrap();
    let (stream, binding) = tls.connect(stream, 2).await.unwrap();
    let (read, write) = tokio::io::split(stream);
    let reader = PacketReader::new(Box::new(read), 4096, DEADLINE);
    let security = Security::Encrypted { binding, shown: None };
    let mut channel = Channel { reader, writer: Box::new(write), security };
    let hello = pb::PeerHello {
        version: 1,
        cluster: Bytes::copy_from_slice(&CLUSTER),
        from: says,
        to: 2,
        from_epoch: says * 10,
        lane: PeerLane::Live as u32,
        nonce: Bytes::from_static(&[1; 32]),
        token: String::new(),
    };
    channel.knock(&hello, &membership().secret.member_key()).await?;
    Ok(channel)
}

#[tokio::test]
async fn a_member_that_says_it_is_another_one_is_refused() {
    let (one, two, three) = (Node::start(1).await, Node::start(2).await, Node::start(3).await);
    introduce(&[&one, &two, &three]);
    let told = in_time("an answer", knock_as(&two, 1)).await;
    let Err(KnockError::Refused { text: told, .. }) = told else { panic!("let in") };
    assert!(told.contains("not the one of member 1"), "{told}");
    assert_eq!(two.network.stats().refused(Refusal::Certificate), 1);
    assert!(in_time("an answer", knock_as(&two, 3)).await.is_ok(), "as itself it is let in");
}

#[tokio::test]
async fn a_member_at_the_address_of_another_is_not_taken_for_it() {
    let (two, three) = (Node::start(2).await, Node::start(3).await);
    let mut known = members(&[&two, &three]);
    known.insert(4, PeerAddress { address: two.address.clone(), broker_epoch: BrokerEpoch(40) });
    three.network.set_members(known);
    let answer = three.ask(4, "x").await;
    assert!(unreachable(&answer), "{answer:?}");
    assert_eq!(two.service.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_member_that_sends_what_has_no_place_on_its_lane_is_cut_off_and_counted() {
    let (two, three) = (Node::start(2).await, Node::start(3).await);
    introduce(&[&two, &three]);
    let question = pb::PeerRequestHead { id: 1, call: PeerCall::Forward as u32 };
    let no_frame = pb::ReplicaFrame { topic: Bytes::from_static(b"short"), ..pb::ReplicaFrame::default() };
    let packets = [
        encode(Kind::Call, &question, 0, 4096).unwrap(),
        encode(Kind::MetaRequest, &question, 0, 4096).unwrap(),
        encode(Kind::Replica, &no_frame, 0, 4096).unwrap(),
        empty(Kind::Hello),
        Bytes::from_static(&[0xff; 9]),
    ];
    for (n, packet) in packets.into_iter().enumerate() {
        // Its lane is the one of live frames.
        let Ok(mut channel) = in_time("let in", knock_as(&two, 3)).await else { panic!("not let in") };
        channel.writer.write_all(&packet).await.unwrap();
        channel.writer.flush().await.unwrap();
        until("counted", || two.network.stats().refused(Refusal::Protocol) == n as u64 + 1).await;
        let closed = in_time("closed", channel.reader.next()).await;
        assert!(!matches!(closed, Ok(Some(_))), "not a word");
    }
    assert_eq!(two.service.asked.load(Ordering::SeqCst), 0);
    still_serves(&two).await;
}

/// A newer connection of a member and lane takes over from an older one.
#[tokio::test]
async fn one_connection_for_each_member_and_lane() {
    let (two, three) = (Node::start(2).await, Node::start(3).await);
    introduce(&[&two, &three]);
    let Ok(mut first) = in_time("let in", knock_as(&two, 3)).await else { panic!("not let in") };
    let Ok(_second) = in_time("let in", knock_as(&two, 3)).await else { panic!("not let in") };
    let closed = in_time("closed", first.reader.next()).await;
    assert!(!matches!(closed, Ok(Some(_))));
    until("one is left", || two.network.stats().connections(PeerLane::Live, Side::Incoming) == 1).await;
}
