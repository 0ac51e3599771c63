//! Nodes that go away, with and without saying so.

use super::proxy::Proxy;
use super::*;

/// An address at which nobody listens.
async fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("bound").to_string()
}

#[tokio::test]
async fn a_refused_connection_is_unreachable_at_once() {
    let one = Node::start(1).await;
    let mut members = members(&[&one]);
    let nobody = PeerAddress { address: closed_port().await, broker_epoch: BrokerEpoch(20) };
    members.insert(2, nobody);
    one.network.set_members(members);
    // `ask` would wait for the deadline of the test.
    let within = DEADLINE * 10;
    for _ in 0..10 {
        let call = PeerCaller::call(&*one.network, 2, PeerCall::Forward, Bytes::new(), within);
        assert!(unreachable(&in_time("a refusal", call).await));
    }
    assert!(unreachable(&one.ask(3, "x").await), "nor is somebody unknown");
    assert!(one.network.stats().connect_failures(PeerLane::Calls) >= 1);
}

#[tokio::test]
async fn a_reset_ends_what_waits_and_the_node_is_found_again_when_it_is_back() {
    let (one, two) = Node::pair().await;
    let asked = one.ask(2, "wait");
    let kill = async {
        until("it is asked", || two.service.asked.load(Ordering::SeqCst) == 1).await;
        two.network.shutdown().await;
    };
    let (answer, ()) = tokio::join!(asked, kill);
    assert!(matches!(answer, Err(PeerError::Lost { .. })), "it may have had its effect: {answer:?}");
    assert!(unreachable(&one.ask(2, "x").await), "certainly not this one");
    let address = two.address.clone();
    drop(two);
    let again = Node::start_with(2, settings(), &address, Some(membership())).await;
    introduce(&[&one, &again]);
    let back = async {
        while one.ask(2, "x").await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    in_time("it is found again", back).await;
}

#[tokio::test]
async fn a_node_that_connects_is_tried_again_at_once() {
    let never = Duration::from_secs(3_600);
    let patient = PeerSettings { backoff: (never, never), ..settings() };
    let one = Node::start_with(1, patient, "127.0.0.1:0", Some(membership())).await;
    let address = closed_port().await;
    let mut known = members(&[&one]);
    known.insert(2, PeerAddress { address: address.clone(), broker_epoch: BrokerEpoch(20) });
    one.network.set_members(known.clone());
    until("the first attempt has failed", || {
        one.network.send(BrokerId(2), key(0), ack(1), Lane::Live, None);
        one.network.stats().connect_failures(PeerLane::Live) == 1
    })
    .await;
    let two = Node::start_with(2, settings(), &address, Some(membership())).await;
    two.network.set_members(known);
    assert!(two.ask(1, "hello").await.is_ok());
    until("it arrives", || {
        one.network.send(BrokerId(2), key(0), ack(2), Lane::Live, None);
        two.sink.count() > 0
    })
    .await;
}

#[tokio::test]
async fn a_frame_under_way_when_the_connection_breaks_is_said_to_be_dropped_once() {
    let (one, two) = Node::pair().await;
    one.ack(&two, 0, 1, None);
    until("connected", || two.sink.count() == 1).await;
    let sent = SentCount::default();
    let raw = Bytes::from(vec![1; 1 << 20]);
    for n in 0..20 {
        one.network.send(BrokerId(2), key(1), range(n, raw.clone()), Lane::Live, sent.of(n as usize));
    }
    two.network.shutdown().await;
    until("each has its word", || sent.frames() == 20).await;
    assert!(sent.all_once());
}

#[tokio::test]
async fn a_pulled_cable_is_noticed_without_a_reset() {
    let quick = PeerSettings {
        dead_after: Duration::from_millis(600),
        handshake: Duration::from_millis(600),
        ..settings()
    };
    let one = Node::start_with(1, quick, "127.0.0.1:0", Some(membership())).await;
    let two = Node::start_with(2, quick, "127.0.0.1:0", Some(membership())).await;
    let cable = Proxy::to(&two.address).await;
    let mut members = members(&[&one, &two]);
    two.network.set_members(members.clone());
    members.get_mut(&2).expect("a member").address.clone_from(&cable.address);
    one.network.set_members(members);
    assert!(one.ask(2, "x").await.is_ok());
    let incoming = || two.network.stats().connections(PeerLane::Calls, Side::Incoming);
    assert_eq!(incoming(), 1);
    cable.pull();
    let answer = one.ask(2, "x").await;
    assert!(matches!(answer, Err(PeerError::Lost { .. })), "{answer:?}");
    until("the other side has noticed, too", || incoming() == 0).await;
    let known = async { while !unreachable(&one.ask(2, "x").await) {} };
    in_time("an attempt has failed", known).await;
    cable.plug_in();
    let back = async {
        while one.ask(2, "x").await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    in_time("the cable is in again", back).await;
}

#[tokio::test]
async fn an_idle_connection_stays() {
    let quick = PeerSettings {
        ping_every: Duration::from_millis(20),
        dead_after: Duration::from_secs(2),
        ..settings()
    };
    let one = Node::start_with(1, quick, "127.0.0.1:0", Some(membership())).await;
    let two = Node::start_with(2, quick, "127.0.0.1:0", Some(membership())).await;
    introduce(&[&one, &two]);
    one.ack(&two, 0, 1, None);
    until("connected", || two.sink.count() == 1).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(one.network.stats().connections(PeerLane::Live, Side::Outgoing), 1);
    assert_eq!(one.network.stats().connect_failures(PeerLane::Live), 0);
    one.ack(&two, 0, 2, None);
    until("still there", || two.sink.count() == 2).await;
    assert_eq!(one.network.stats().dropped(PeerLane::Live), 0);
}

#[tokio::test]
async fn a_member_that_leaves_is_let_go_of_on_both_sides() {
    let (one, two) = Node::pair().await;
    one.ack(&two, 0, 1, None);
    until("connected", || two.sink.count() == 1).await;
    two.network.set_members(members(&[&two]));
    until("closed there", || two.network.stats().connections(PeerLane::Live, Side::Incoming) == 0).await;
    until("refused since", || two.network.stats().refused(Refusal::UnknownMember) > 0).await;
    one.network.set_members(members(&[&one]));
    until("closed here", || one.network.stats().connections(PeerLane::Live, Side::Outgoing) == 0).await;
    assert!(unreachable(&one.ask(2, "x").await));
}

#[tokio::test]
async fn a_later_registration_ends_the_connections_of_the_earlier_one() {
    let (one, two) = Node::pair().await;
    one.ack(&two, 0, 1, None);
    until("connected", || two.sink.count() == 1).await;
    let mut later = members(&[&one, &two]);
    later.get_mut(&1).expect("a member").broker_epoch = BrokerEpoch(11);
    two.network.set_members(later.clone());
    until("the earlier one is refused", || two.network.stats().refused(Refusal::StaleEpoch) > 0).await;
    assert_eq!(two.network.stats().connections(PeerLane::Live, Side::Incoming), 0);
    one.network.set_members(later);
    let through = async {
        while two.sink.count() < 2 {
            one.ack(&two, 0, 2, None);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    in_time("the later one is let in", through).await;
}

#[tokio::test]
async fn shutdown_ends_everything_and_lets_go_of_who_takes_what_comes_in() {
    let (one, two) = Node::pair().await;
    one.ack(&two, 0, 1, None);
    until("connected", || two.sink.count() == 1).await;
    two.service.go.notify_one();
    in_time("it stops", two.network.shutdown()).await;
    assert_eq!(Arc::strong_count(&two.sink), 1);
    assert_eq!(Arc::strong_count(&two.service), 1);
    assert_eq!(two.network.stats().connections(PeerLane::Live, Side::Incoming), 0);
    assert!(TcpListener::bind(&two.address).await.is_ok(), "its port is free");
    let sent = SentCount::default();
    two.ack(&one, 0, 1, sent.of(0));
    until("dropped", || sent.frames() == 1).await;
}
