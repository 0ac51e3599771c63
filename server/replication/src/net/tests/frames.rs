//! What replicas send each other.

use super::*;

const FRAMES: usize = 2_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_a_lane_arrive_in_order_as_they_were_sent() {
    let (one, two) = Node::pair().await;
    let sent = SentCount::default();
    let mut given = Vec::new();
    for n in 0..FRAMES {
        // Small ones between large ones: one write takes many, or a part of one.
        let frame = match n % 7 {
            0 => range(n as u64, Bytes::from(vec![n as u8; 1 + n * 97 % 300_000])),
            1 => range(n as u64, Bytes::new()),
            _ => ack(n as u64),
        };
        given.push(frame.clone());
        one.network.send(BrokerId(2), key(n as u32 % 3), frame, Lane::Live, sent.of(n));
        if n % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    until("all arrive", || two.sink.count() == FRAMES).await;
    for (n, (from, to_epoch, at, frame)) in two.sink.arrived.lock().iter().enumerate() {
        assert_eq!((*from, *to_epoch, *at), (BrokerId(1), BrokerEpoch(20), key(n as u32 % 3)));
        assert_eq!(frame, &given[n], "frame {n}");
    }
    until("all are said to be sent", || sent.frames() == FRAMES).await;
    assert!(sent.all_once());
    let stats = one.network.stats();
    assert_eq!(stats.dropped(PeerLane::Live), 0);
    assert_eq!(stats.connections(PeerLane::Live, Side::Outgoing), 1, "one connection for all partitions");
    assert_eq!(stats.connections(PeerLane::CatchUp, Side::Outgoing), 0, "and none before it is used");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn large_catch_up_frames_delay_neither_live_frames_nor_heartbeats_nor_calls() {
    let bound = 8 << 20;
    let few = PeerSettings { catch_up_queue_bytes: bound, ..settings() };
    let one = Node::start_with(1, few, "127.0.0.1:0", Some(membership())).await;
    let two = Node::start(2).await;
    introduce(&[&one, &two]);
    // Whoever takes the catch-up frames stands still, until sockets and queue are full.
    two.sink.hold(9);
    let sent = SentCount::default();
    let raw = Bytes::from(vec![1; 1 << 20]);
    let mut large = 0;
    let fill = async {
        while one.network.stats().dropped(PeerLane::CatchUp) == 0 {
            let frame = range(large as u64, raw.clone());
            one.network.send(BrokerId(2), key(9), frame, Lane::CatchUp, sent.of(large));
            large += 1;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    in_time("the queue is full", fill).await;
    for end in 0..100 {
        one.ack(&two, 1, end, None);
    }
    until("live frames arrive", || two.sink.ends(1).len() == 100).await;
    for _ in 0..20 {
        let body = Bytes::from_static(b"beat");
        let beat = PeerCaller::call(&*one.network, 2, PeerCall::Heartbeat, body, DEADLINE);
        assert_eq!(in_time("a heartbeat", beat).await, Ok(Bytes::from_static(b"1 Heartbeat beat")));
    }
    assert!(one.ask(2, "x").await.is_ok());
    assert_eq!(two.sink.ends(9), Vec::<u64>::new(), "catch-up stood still all the time");
    two.sink.release();
    let dropped = one.network.stats().dropped(PeerLane::CatchUp) as usize;
    until("what was taken arrives", || two.sink.ends(9).len() == large - dropped).await;
    assert!(two.sink.ends(9).windows(2).all(|two| two[0] < two[1]), "in order");
    until("each is said to be sent or dropped", || sent.frames() == large).await;
    assert!(sent.all_once());
}

#[tokio::test]
async fn a_frame_to_nobody_is_dropped_counted_and_said_to_be_so_at_once() {
    let (one, two) = Node::pair().await;
    let sent = SentCount::default();
    one.network.send(BrokerId(77), key(0), ack(1), Lane::Live, sent.of(0));
    assert!(sent.frames() == 1 && sent.all_once(), "before send returns");
    two.network.shutdown().await;
    // The first attempt is under way, and then is refused.
    one.ack(&two, 0, 2, sent.of(1));
    until("the second is dropped", || sent.frames() == 2).await;
    one.ack(&two, 0, 3, sent.of(2));
    until("so is the third", || sent.frames() == 3).await;
    assert!(sent.all_once());
    assert_eq!(one.network.stats().dropped(PeerLane::Live), 3);
}

#[tokio::test]
async fn a_frame_longer_than_the_other_side_takes_is_not_sent() {
    let (one, two) = Node::pair().await;
    let sent = SentCount::default();
    let raw = Bytes::from(vec![0; settings().max_packet_bytes]);
    one.network.send(BrokerId(2), key(0), range(0, raw), Lane::CatchUp, sent.of(0));
    assert_eq!(one.network.stats().dropped(PeerLane::CatchUp), 1);
    assert!(sent.all_once() && sent.frames() == 1);
    one.network.send(BrokerId(2), key(0), range(1, Bytes::from_static(b"x")), Lane::CatchUp, None);
    until("the connection is not spoiled", || two.sink.ends(0) == [1]).await;
}

#[tokio::test]
async fn the_registration_that_is_meant_goes_with_each_frame() {
    let (one, two) = Node::pair().await;
    one.ack(&two, 0, 1, None);
    until("the first arrives", || two.sink.count() == 1).await;
    let mut renewed = members(&[&one, &two]);
    renewed.get_mut(&2).expect("a member").broker_epoch = BrokerEpoch(99);
    one.network.set_members(renewed);
    one.ack(&two, 0, 2, None);
    until("the second arrives", || two.sink.count() == 2).await;
    let epochs: Vec<u64> = two.sink.arrived.lock().iter().map(|(_, to_epoch, _, _)| to_epoch.0).collect();
    assert_eq!(epochs, [20, 99]);
}
