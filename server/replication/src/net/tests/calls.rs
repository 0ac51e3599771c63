//! Questions and answers.

use super::*;

#[tokio::test]
async fn questions_are_answered_and_may_overtake_each_other() {
    let (one, two) = Node::pair().await;
    let slow = one.ask(2, "wait");
    let fast = async {
        until("the slow one is asked", || two.service.asked.load(Ordering::SeqCst) == 1).await;
        for _ in 0..100 {
            assert_eq!(one.ask(2, "hello").await, Ok(Bytes::from_static(b"1 Forward hello")));
        }
        two.service.go.notify_one();
    };
    let (slow, ()) = tokio::join!(slow, fast);
    assert_eq!(slow, Ok(Bytes::from_static(b"1 Forward wait")));
    assert_eq!(one.ask(2, "refuse").await, Err(PeerError::Refused { reason: "I will not".to_owned() }));
}

#[tokio::test]
async fn a_node_asks_itself_without_a_connection() {
    let one = Node::start(1).await;
    assert_eq!(one.ask(1, "hello").await, Ok(Bytes::from_static(b"1 Forward hello")));
    assert_eq!(one.network.stats().connections(PeerLane::Calls, Side::Outgoing), 0);
}

#[tokio::test]
async fn a_question_whose_work_panics_has_an_answer_and_the_connection_lives() {
    let (one, _two) = Node::pair().await;
    assert!(matches!(one.ask(2, "panic").await, Err(PeerError::Lost { .. })));
    assert!(one.ask(2, "hello").await.is_ok());
    assert_eq!(one.network.stats().connect_failures(PeerLane::Calls), 0);
}

#[tokio::test]
async fn a_question_that_takes_too_long_is_lost_and_its_late_answer_goes_to_nobody() {
    let (one, two) = Node::pair().await;
    assert!(one.ask(2, "hello").await.is_ok());
    let body = Bytes::from_static(b"wait");
    let within = Duration::from_millis(50);
    let answer = PeerCaller::call(&*one.network, 2, PeerCall::Forward, body, within).await;
    assert!(matches!(answer, Err(PeerError::Lost { .. })), "{answer:?}");
    two.service.go.notify_one();
    assert_eq!(one.ask(2, "next").await, Ok(Bytes::from_static(b"1 Forward next")));
}

#[tokio::test]
async fn a_node_that_starts_says_so() {
    let one = Node::start(1).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let network = PeerNetwork::start(PeerOptions {
        me: 2,
        membership: Some(membership()),
        listener,
        clock: Arc::new(ManualClock::new(Timestamp(0))),
        rng: Arc::new(SeededRng::new(2)),
        settings: settings(),
    });
    let mut members = members(&[&one]);
    members.insert(2, PeerAddress { address, broker_epoch: BrokerEpoch(20) });
    one.network.set_members(members.clone());
    network.set_members(members);
    let answer = one.ask(2, "hello").await;
    assert!(
        matches!(&answer, Err(PeerError::Refused { reason }) if reason.contains("starting")),
        "{answer:?}"
    );
}

#[tokio::test]
async fn more_questions_than_are_worked_on_at_a_time_all_get_their_answers() {
    let two = PeerSettings { max_concurrent_calls: 3, ..settings() };
    let (one, two) =
        (Node::start(1).await, Node::start_with(2, two, "127.0.0.1:0", Some(membership())).await);
    introduce(&[&one, &two]);
    let questions = (0..200).map(|_| one.ask(2, "hello"));
    let answers = futures::future::join_all(questions).await;
    assert!(answers.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_question_longer_than_a_packet_is_not_sent() {
    let (one, two) = Node::pair().await;
    let body = Bytes::from(vec![0; settings().max_packet_bytes]);
    let answer = PeerCaller::call(&*one.network, 2, PeerCall::Forward, body, DEADLINE).await;
    assert!(unreachable(&answer), "{answer:?}");
    assert!(one.ask(2, "hello").await.is_ok());
    assert_eq!(two.service.asked.load(Ordering::SeqCst), 1);
}
