//! The client finds the leaders of partitions, and outlives any one node.

mod double;

use std::time::{Duration, Instant};

use double::{Cluster, TOPIC};
use flymq_client::{
    Acks, Client, ClientConfig, ConsumerConfig, ErrorCode, FetchSpec, NewMessage, OffsetReset,
    ProducerConfig, StartFrom, pb,
};
use futures::StreamExt as _;

fn on(partition: i32, value: &str) -> NewMessage {
    NewMessage { partition: Some(partition), ..NewMessage::value(value.to_owned()) }
}

async fn client(cluster: &Cluster, node: usize) -> Client {
    Client::connect(&cluster.addr(node)).await.expect("the node is there")
}

fn text(message: &flymq_client::Message) -> String {
    String::from_utf8(message.value.to_vec()).expect("text")
}

/// Everything in a partition, in order.
async fn read(client: &Client, partition: i32) -> Vec<String> {
    let spec = FetchSpec { max_wait: Duration::ZERO, ..FetchSpec::new(TOPIC, partition, 0) };
    let fetched = client.fetch(&spec).await.expect("the leader answers");
    fetched.messages.iter().map(text).collect()
}

#[tokio::test]
async fn each_batch_goes_to_the_node_that_leads_its_partition() {
    let cluster = Cluster::start(3).await;
    let client = client(&cluster, 0).await;
    for partition in 0..3 {
        client.produce(TOPIC, on(partition, "v")).await.expect("stored");
    }
    // Without a partition the client picks one, and sends it to its leader.
    for _ in 0..3 {
        client.produce(TOPIC, NewMessage::value("v")).await.expect("stored");
    }
    let keyed = NewMessage { key: Some("k".into()), ..NewMessage::value("v") };
    let stored = client.produce(TOPIC, keyed.clone()).await.expect("stored");
    assert_eq!(client.produce(TOPIC, keyed).await.expect("stored").partition, stored.partition);
    let at = cluster.produced_at();
    assert_eq!(at.len(), 8);
    assert!(at.iter().all(|(node, partition)| *node == usize::try_from(*partition).expect("few")), "{at:?}");
    assert_eq!(cluster.metadata_asked(), 1, "what was learned is remembered");
}

#[tokio::test]
async fn a_moved_leader_is_followed_by_what_the_old_one_says() {
    let cluster = Cluster::start(3).await;
    let client = client(&cluster, 0).await;
    client.produce(TOPIC, on(1, "a")).await.expect("stored");
    cluster.lead(1, Some(2));
    client.produce(TOPIC, on(1, "b")).await.expect("stored");
    assert_eq!(cluster.metadata_asked(), 1, "the old leader names the new one");
    assert_eq!(read(&client, 1).await, ["a", "b"]);
    assert_eq!(cluster.produced_at(), [(1, 1), (2, 1)]);
}

/// The only server that the client was told is gone, and with it the leader of a partition.
#[tokio::test]
async fn the_loss_of_the_first_node_is_survived() {
    let cluster = Cluster::start(3).await;
    let client = client(&cluster, 0).await;
    cluster.kill(0).await;
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.produce(TOPIC, on(0, "later")).await }
    });
    client.produce(TOPIC, on(1, "v")).await.expect("the others go on");
    cluster.lead(0, Some(2));
    waiting.await.expect("no panic").expect("stored by the next leader");
    assert_eq!(read(&client, 0).await, ["later"]);
}

/// The node that the client asks is cut off from the others, and led: it says of itself that it does, and refuses.
#[tokio::test]
async fn a_leader_that_is_cut_off_from_the_others_is_not_believed() {
    let cluster = Cluster::start(3).await;
    let client = client(&cluster, 0).await;
    client.produce(TOPIC, on(0, "before")).await.expect("stored");
    cluster.cut_off(0);
    cluster.lead(0, Some(2));
    for number in 0..100 {
        client.produce(TOPIC, on(0, &number.to_string())).await.expect("stored by the next leader");
    }
    let asked = cluster.metadata_asked();
    assert!(asked < 20, "what the next leader is was remembered: asked {asked} times");
    assert_eq!(read(&client, 0).await.len(), 101);
}

#[tokio::test]
async fn a_producer_keeps_its_order_through_a_change_of_leaders() {
    let cluster = Cluster::start(3).await;
    let client = client(&cluster, 0).await;
    let producer = client.producer(ProducerConfig { batch_messages: 10, ..ProducerConfig::default() });
    let mut deliveries = Vec::new();
    for number in 0..600 {
        if number == 200 {
            cluster.kill(1).await;
        }
        if number == 400 {
            cluster.lead(1, Some(2));
        }
        let partition = number % 3;
        deliveries.push(producer.send(TOPIC, on(partition, &number.to_string())).await.expect("queued"));
    }
    producer.flush().await.expect("everything is stored");
    for delivery in deliveries {
        delivery.await.expect("stored");
    }
    for partition in 0..3 {
        let numbers: Vec<i32> =
            read(&client, partition).await.iter().map(|text| text.parse().expect("a number")).collect();
        let mut unique = numbers.clone();
        // What was on its way when the node died may be there twice, one batch after another.
        unique.dedup();
        let mut sorted = unique.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted, (0..600).filter(|n| n % 3 == partition).collect::<Vec<_>>(), "nothing is lost");
        if partition != 1 {
            assert_eq!(numbers, sorted, "partition {partition} is in order, each once");
        }
    }
}

#[tokio::test]
async fn a_consumer_reads_on_at_the_next_leader() {
    let cluster = Cluster::start(3).await;
    let client = client(&cluster, 0).await;
    let config = ConsumerConfig::new([TOPIC], None).reset(OffsetReset::Earliest);
    let mut consumer = client.consumer(config).expect("sound settings");
    for partition in 0..3 {
        client.produce(TOPIC, on(partition, "before")).await.expect("stored");
    }
    let mut got = Vec::new();
    while got.len() < 3 {
        got.extend(consumer.poll(Duration::from_secs(20), 0).await.expect("no error reaches the program"));
    }
    cluster.kill(2).await;
    cluster.lead(2, Some(0));
    for partition in 0..3 {
        client.produce(TOPIC, on(partition, "after")).await.expect("stored");
    }
    while got.len() < 6 {
        got.extend(consumer.poll(Duration::from_secs(20), 0).await.expect("no error reaches the program"));
    }
    let mut of_two: Vec<_> = got.iter().filter(|m| m.partition == 2).map(text).collect();
    of_two.dedup();
    assert_eq!(of_two, ["before", "after"]);
}

#[tokio::test]
async fn a_subscription_follows_its_leaders_without_a_gap() {
    let cluster = Cluster::start(3).await;
    let client = client(&cluster, 0).await;
    let request = pb::SubscribeRequest {
        topic: TOPIC.to_owned(),
        from: StartFrom::Latest.into(),
        ..pb::SubscribeRequest::default()
    };
    client.produce(TOPIC, on(1, "unseen")).await.expect("stored");
    let mut stream = Box::pin(client.subscribe(request).await.expect("opens"));
    let mut got = Vec::new();
    // The stream begins with what comes after it was opened, whenever each leader has opened its part.
    client.produce(TOPIC, on(0, "0")).await.expect("stored");
    for round in 0..3 {
        cluster.lead(1, Some(if round % 2 == 0 { 2 } else { 1 }));
        client.produce(TOPIC, on(1, &format!("1-{round}"))).await.expect("stored");
    }
    cluster.kill(2).await;
    cluster.lead(1, Some(1));
    cluster.lead(2, Some(0));
    // The producer repeats what the dead node did not answer; a single produce tells that nobody knows.
    let producer = client.producer(ProducerConfig::default());
    producer.send(TOPIC, on(1, "1-end")).await.expect("queued");
    producer.send(TOPIC, on(2, "2")).await.expect("queued");
    producer.flush().await.expect("stored");
    while got.len() < 6 {
        let next = tokio::time::timeout(Duration::from_secs(20), stream.next());
        got.push(text(&next.await.expect("goes on").expect("has no end").expect("no error")));
    }
    got.sort();
    assert_eq!(got, ["0", "1-0", "1-1", "1-2", "1-end", "2"], "each once");
}

/// A node that takes requests and answers nothing (stopped, or cut off): another one leads after a while.
#[tokio::test]
async fn a_silent_leader_is_left_once_another_one_leads() {
    let cluster = Cluster::start(3).await;
    let client = client(&cluster, 1).await;
    client.produce(TOPIC, on(1, "a")).await.expect("stored");
    cluster.silence(1);
    let producer = client.producer(ProducerConfig::default());
    let delivery = producer.send(TOPIC, on(1, "b")).await.expect("queued");
    cluster.lead(1, Some(2));
    let began = Instant::now();
    delivery.await.expect("stored by the next leader");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(read(&client, 1).await, ["a", "b"]);
}

/// Without any node left, the failure comes at the end of the request's own time, and says what it was.
#[tokio::test]
async fn a_cluster_that_is_gone_is_told_as_it_is() {
    let cluster = Cluster::start(2).await;
    let mut config = ClientConfig::parse(&cluster.addr(0)).expect("an address");
    config.request_timeout = Duration::from_millis(1_500);
    let client = Client::with_config(config).await.expect("the node is there");
    client.produce(TOPIC, on(0, "a")).await.expect("stored");
    cluster.kill(0).await;
    cluster.kill(1).await;
    let began = Instant::now();
    let error = client.topic(TOPIC).await.expect_err("nobody is left");
    assert_eq!(error.code, ErrorCode::Connection, "{error}");
    assert!(error.message.contains("refused") && error.message.contains("tried for 1500 ms"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

/// One server, no cluster: nobody else could answer, so the failure comes at once.
#[tokio::test]
async fn one_server_that_is_not_there_is_told_at_once() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("bound").to_string();
    drop(listener);
    let began = Instant::now();
    let error = Client::connect(&addr).await.expect_err("nobody listens");
    assert_eq!(error.code, ErrorCode::Connection);
    assert!(error.message.contains(&addr) && error.hint.contains("Start it with: flymq"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn one_message_is_stored_with_what_the_caller_asks() {
    let cluster = Cluster::start(2).await;
    let client = client(&cluster, 0).await;
    let stored = client.produce_one(TOPIC, on(1, "v"), Acks::Leader).await.expect("stored");
    assert_eq!((stored.partition, stored.offset), (1, 0));
}
