//! Who is not let in, and that the listener outlives all of them. Without TLS, which keeps most of these out before.

use flymq_proto::internal as pb;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::handshake::PREFACE;
use super::super::packet::{Kind, empty, encode};
use super::*;
use crate::raft::{MetaPeer, MetaRequest, MetaRpc, MetaTransport, MetaTransportError};

fn plain_settings() -> PeerSettings {
    PeerSettings { tls: false, ..settings() }
}

async fn plain(id: RaftId) -> Node {
    Node::start_with(id, plain_settings(), "127.0.0.1:0", Some(membership())).await
}

/// Asks node 2 from a node of this id and membership, which the others know or do not.
async fn ask_as(
    two: &Node,
    id: RaftId,
    membership: PeerMembership,
    epoch: u64,
) -> (Node, Result<Bytes, PeerError>) {
    let node = Node::start_with(id, plain_settings(), "127.0.0.1:0", Some(membership)).await;
    let mut members = members(&[&node, two]);
    members.get_mut(&id).expect("itself").broker_epoch = BrokerEpoch(epoch);
    node.network.set_members(members);
    let answer = node.ask(two.id, "x").await;
    (node, answer)
}

/// The refusal is counted, is told to who asked, and others are still let in.
async fn refused(two: &Node, answer: Result<Bytes, PeerError>, reason: Refusal, said: &str) {
    let Err(PeerError::Unreachable { reason: told }) = answer else { panic!("{reason:?}: {answer:?}") };
    assert!(told.contains(said), "{told}");
    assert!(two.network.stats().refused(reason) >= 1, "{reason:?} is not counted");
    still_serves(two).await;
}

async fn still_serves(two: &Node) {
    let friend = plain(1).await;
    introduce(&[&friend, two]);
    assert!(friend.ask(two.id, "x").await.is_ok());
    friend.network.shutdown().await;
}

#[tokio::test]
async fn a_wrong_secret() {
    let two = plain(2).await;
    let wrong = PeerMembership { secret: ClusterSecret::new("another").unwrap(), ..membership() };
    introduce(&[&two, &plain(3).await]);
    let (_three, answer) = ask_as(&two, 3, wrong, 30).await;
    refused(&two, answer, Refusal::WrongSecret, "secret").await;
    assert_eq!(two.service.asked.load(Ordering::SeqCst), 1, "only the friend's");
}

#[tokio::test]
async fn a_wrong_cluster() {
    let two = plain(2).await;
    let wrong = PeerMembership { cluster: Some([8; 16]), ..membership() };
    let (_three, answer) = ask_as(&two, 3, wrong, 30).await;
    refused(&two, answer, Refusal::WrongCluster, "another cluster").await;
}

#[tokio::test]
async fn a_member_that_is_not_known() {
    let two = plain(2).await;
    introduce(&[&two]);
    let (_three, answer) = ask_as(&two, 3, membership(), 30).await;
    refused(&two, answer, Refusal::UnknownMember, "no broker of this cluster").await;
}

#[tokio::test]
async fn a_registration_that_is_over() {
    let (two, three) = (plain(2).await, plain(3).await);
    introduce(&[&two, &three]);
    let (_earlier, answer) = ask_as(&two, 3, membership(), 29).await;
    refused(&two, answer, Refusal::StaleEpoch, "broker epoch 29 of member 3 is over, 30 is current").await;
}

#[tokio::test]
async fn a_registration_that_is_not_known_yet_is_let_in() {
    let (two, three) = (plain(2).await, plain(3).await);
    introduce(&[&two, &three]);
    let (_later, answer) = ask_as(&two, 3, membership(), 31).await;
    assert!(answer.is_ok(), "{answer:?}");
}

#[tokio::test]
async fn another_member_than_the_one_meant() {
    let two = plain(2).await;
    let three = plain(3).await;
    let mut members = members(&[&two, &three]);
    members.insert(4, PeerAddress { address: two.address.clone(), broker_epoch: BrokerEpoch(40) });
    three.network.set_members(members);
    let answer = three.ask(4, "x").await;
    refused(&two, answer, Refusal::WrongMember, "this is member 2, not 4").await;
}

#[tokio::test]
async fn a_node_in_no_cluster_lets_nobody_in() {
    let two = Node::start_with(2, plain_settings(), "127.0.0.1:0", None).await;
    let (_three, answer) = ask_as(&two, 3, membership(), 30).await;
    let Err(PeerError::Unreachable { reason }) = answer else { panic!("{answer:?}") };
    assert!(reason.contains("in no cluster"), "{reason}");
    assert_eq!(two.network.stats().refused(Refusal::NotInCluster), 1);
    two.network.set_membership(membership());
    still_serves(&two).await;
}

/// Who answers without the secret is not believed either.
#[tokio::test]
async fn an_impostor_that_lets_everybody_in() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let one = plain(1).await;
    let mut members = members(&[&one]);
    members.insert(2, PeerAddress { address, broker_epoch: BrokerEpoch(20) });
    one.network.set_members(members);
    let impostor = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let challenge = pb::PeerChallenge { member: 2, nonce: Bytes::from_static(&[1; 32]) };
        let welcome = pb::PeerWelcome { mac: Bytes::from_static(&[1; 32]) };
        let packets = [
            encode(Kind::Challenge, &challenge, 0, 4096).unwrap(),
            encode(Kind::Welcome, &welcome, 0, 4096).unwrap(),
        ];
        stream.write_all(&packets.concat()).await.unwrap();
        let mut read = Vec::new();
        let _ = stream.read_to_end(&mut read).await;
        read
    };
    let (answer, read) = tokio::join!(one.ask(2, "something private"), impostor);
    let Err(PeerError::Unreachable { reason }) = answer else { panic!("{answer:?}") };
    assert!(reason.contains("does not know the secret"), "{reason}");
    assert!(!read.windows(9).any(|window| window == b"something"), "nothing is said to it");
}

async fn stranger(two: &Node, says: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(&two.address).await.unwrap();
    let mut answer = Vec::new();
    // Reset, where it was closed before everything was read.
    let talk = async {
        stream.write_all(says).await?;
        stream.read_to_end(&mut answer).await
    };
    let _ = in_time("the connection is closed", talk).await;
    answer
}

#[tokio::test]
async fn garbage_of_all_kinds() {
    let two = plain(2).await;
    let hello = |version, lane, nonce| pb::PeerHello {
        version,
        cluster: Bytes::copy_from_slice(&CLUSTER),
        from: 3,
        to: 2,
        from_epoch: 30,
        lane,
        nonce: Bytes::from(vec![0; nonce]),
        token: String::new(),
    };
    let packet = |hello: &pb::PeerHello| encode(Kind::Hello, hello, 0, 4096).unwrap();
    let cases: [(&str, Bytes); 8] = [
        ("HTTP", Bytes::from_static(b"GET / HTTP/1.1\r\nHost: node-1\r\n\r\n")),
        ("a native client", Bytes::from_static(&[0xaf, 2, 12, 0, 0, 0, 0, 4, 0, 0, 0, 1])),
        ("a packet of 4 GiB", Bytes::from_static(&[0xff; 64])),
        ("a packet one byte too long", Bytes::from_static(&[1, 16, 0, 0, 1, 0, 0, 0, 0])),
        ("no hello first", empty(Kind::Ping)),
        ("an unknown lane", packet(&hello(1, 99, 32))),
        ("a short nonce", packet(&hello(1, 5, 31))),
        ("a head that is no hello", Bytes::from_static(&[8, 0, 0, 0, 1, 3, 0, 0, 0, 0xff, 0xff, 0xff])),
    ];
    for (n, (what, bytes)) in cases.into_iter().enumerate() {
        let bytes = if n < 2 { bytes } else { [PREFACE, &bytes[..]].concat().into() };
        assert_eq!(stranger(&two, &bytes).await, b"", "{what} gets no answer");
        let counted = two.network.stats().refused(Refusal::Protocol);
        assert_eq!(counted, n as u64 + 1, "{what} is counted");
    }
    let answer = stranger(&two, &[PREFACE, &packet(&hello(2, 5, 32))[..]].concat()).await;
    assert_eq!(answer.get(4), Some(&(Kind::Refusal as u8)), "another version is told");
    assert_eq!(two.network.stats().refused(Refusal::Version), 1);
    still_serves(&two).await;
}

#[tokio::test]
async fn half_open_connections_end_at_their_deadline_and_do_not_keep_others_out() {
    let quick = PeerSettings { handshake: Duration::from_millis(300), max_handshakes: 4, ..plain_settings() };
    let two = Node::start_with(2, quick, "127.0.0.1:0", Some(membership())).await;
    let mut silent = Vec::new();
    for n in 0..4 {
        let mut stream = TcpStream::connect(&two.address).await.unwrap();
        // Some say nothing, some half a packet.
        stream.write_all(&b"fmqc\xc8\0"[..[0, 3, 6][n % 3]]).await.unwrap();
        silent.push(stream);
    }
    // No more of them, while they last.
    let _ = stranger(&two, b"").await;
    until("counted", || two.network.stats().refused(Refusal::Timeout) == 4).await;
    for mut stream in silent {
        let mut rest = Vec::new();
        let _ = in_time("closed", stream.read_to_end(&mut rest)).await;
    }
    assert!(two.network.stats().refused(Refusal::TooMany) <= 1);
    still_serves(&two).await;
}

#[tokio::test]
async fn who_goes_away_in_the_middle_is_counted() {
    let two = plain(2).await;
    for says in [&b""[..], b"fm", b"fmqc\x09\0"] {
        let mut stream = TcpStream::connect(&two.address).await.unwrap();
        stream.write_all(says).await.unwrap();
    }
    until("counted", || two.network.stats().refused(Refusal::Closed) == 3).await;
    still_serves(&two).await;
}

/// A proof is good for its own connection only.
#[tokio::test]
async fn a_recorded_handshake_cannot_be_played_again() {
    let two = plain(2).await;
    let cable = proxy::Proxy::to(&two.address).await;
    let one = plain(1).await;
    let mut known = members(&[&one, &two]);
    two.network.set_members(known.clone());
    known.get_mut(&2).unwrap().address.clone_from(&cable.address);
    one.network.set_members(known);
    assert!(one.ask(2, "x").await.is_ok());
    let recorded = cable.said_by_client();
    let answer = stranger(&two, &recorded).await;
    assert_eq!(two.network.stats().refused(Refusal::WrongSecret), 1);
    assert!(!answer.is_empty(), "a challenge, and a refusal");
    assert_eq!(two.service.asked.load(Ordering::SeqCst), 1, "what was recorded is not done again");
}

#[tokio::test]
async fn arbitrary_bytes_never_take_the_listener_down() {
    let quick = PeerSettings { handshake: Duration::from_millis(200), ..plain_settings() };
    let two = Node::start_with(2, quick, "127.0.0.1:0", Some(membership())).await;
    let rng = SeededRng::new(5);
    let strangers = (0..60_usize).map(|n| {
        let mut bytes = vec![0; n * 3];
        flymq_types::Rng::fill(&rng, &mut bytes);
        // Some get past the preface, some past the framing.
        let framed = [&(5 + bytes.len() as u32).to_le_bytes()[..], &[1], &(bytes.len() as u32).to_le_bytes()];
        let said = match n % 3 {
            0 => bytes,
            1 => [PREFACE, &bytes[..]].concat(),
            _ => [&PREFACE[..], &framed.concat(), &bytes].concat(),
        };
        let two = &two;
        async move { stranger(two, &said).await }
    });
    for answer in futures::future::join_all(strangers).await {
        assert!(answer.is_empty() || answer[4] == Kind::Refusal as u8, "{answer:?}");
    }
    let counted: u64 = Refusal::ALL.into_iter().map(|reason| two.network.stats().refused(reason)).sum();
    assert_eq!(counted, 60, "each once");
    still_serves(&two).await;
}

/// One request of the metadata group, from one node to the other.
async fn ask_the_group(from: &Node, to: &Node) -> Result<Bytes, MetaTransportError> {
    let peer = MetaPeer { node: String::new(), address: to.address.clone() };
    let request = MetaRequest { rpc: MetaRpc::Append, body: Bytes::from_static(b"x") };
    in_time("an answer", MetaTransport::call(&*from.network, to.id, &peer, request, DEADLINE)).await
}

#[tokio::test]
async fn a_member_that_was_removed_from_the_group() {
    let (one, two) = (plain(1).await, plain(2).await);
    two.network.set_raft(Arc::new(|request| Box::pin(async move { Ok(request.body) })));
    let member = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let known = Arc::clone(&member);
    two.network.set_group(Arc::new(move |id| {
        let known = known.load(Ordering::SeqCst) || id != 1;
        Box::pin(std::future::ready(known))
    }));
    assert!(ask_the_group(&one, &two).await.is_ok());
    member.store(false, Ordering::SeqCst);
    // Over the connection that it has, and then at the door.
    let refused = || two.network.stats().refused(Refusal::UnknownMember) >= 1;
    while !refused() {
        assert!(ask_the_group(&one, &two).await.is_err());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let said = ask_the_group(&one, &two).await.unwrap_err().to_string();
    assert!(said.contains("was removed"), "{said}");
    assert!(ask_the_group(&plain(3).await, &two).await.is_ok(), "others get in");
    member.store(true, Ordering::SeqCst);
    while ask_the_group(&one, &two).await.is_err() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Whoever waits for a node that was fenced is told at once that nothing will come of it.
#[tokio::test]
async fn who_waits_for_a_node_that_is_hung_up_on_is_told() {
    let (one, two) = (plain(1).await, plain(2).await);
    introduce(&[&one, &two]);
    let hang_up = async {
        until("it is asked", || two.service.asked.load(Ordering::SeqCst) == 1).await;
        one.network.hang_up(2);
    };
    let (answer, ()) = futures::join!(one.ask(2, "wait"), hang_up);
    assert!(matches!(answer, Err(PeerError::Lost { .. })), "{answer:?}");
    while one.ask(2, "x").await.is_err() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
