//! The broker in the caller's process, as SDK tests and `connect(":memory:")` run it.

use std::time::{Duration, Instant};

use flymq_api::{CallContext, Door, Response, pb};
use flymq_client::{Client, NewMessage};
use flymq_server::{Config, RunningBroker, StartError, start};

async fn client(broker: &RunningBroker) -> Client {
    Client::connect(&broker.native_addr().to_string()).await.expect("ready means ready")
}

#[tokio::test(flavor = "multi_thread")]
async fn start_stop_and_start_again_on_the_same_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    for round in 0..3_u64 {
        let began = Instant::now();
        let broker = start(Config::embedded(dir.path())).await.expect("started");
        assert!(began.elapsed() < Duration::from_secs(10));
        let stored =
            client(&broker).await.produce("t", NewMessage::value(format!("{round}"))).await.expect("stored");
        assert_eq!(stored.offset, round, "what was there before is there still");
        broker.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_brokers_live_in_one_process() {
    let dirs = [tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory")];
    let one = start(Config::embedded(dirs[0].path())).await.expect("started");
    let two = start(Config::embedded(dirs[1].path())).await.expect("started");
    client(&one).await.produce("only-in-one", NewMessage::value("v")).await.expect("stored");
    let list = |broker: &RunningBroker| {
        let broker = broker.broker();
        async move {
            let ctx = CallContext::new(Door::InProcess, "test");
            match broker.call(ctx, pb::ListTopicsRequest::default().into()).await {
                Ok(Response::ListTopics(list)) => list.topics.len(),
                other => panic!("{other:?}"),
            }
        }
    };
    assert_eq!((list(&one).await, list(&two).await), (1, 0));
    one.shutdown().await;
    two.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_serves_one_broker_at_a_time() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = start(Config::embedded(dir.path())).await.expect("started");
    let second = start(Config::embedded(dir.path())).await.expect_err("the directory is in use");
    assert!(matches!(second, StartError::DataDirInUse { .. }), "{second}");
    drop(first);
    // Dropped without shutdown: the doors close by themselves, a little later.
    let give_up = Instant::now() + Duration::from_secs(30);
    loop {
        match start(Config::embedded(dir.path())).await {
            Ok(broker) => break broker.shutdown().await,
            Err(error) => assert!(Instant::now() < give_up, "{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_lives_in_one_process_and_comes_back_from_its_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    for round in 0..2_u64 {
        // All three start at the same moment, and join whoever is ready first.
        let config = Config::embedded(dir.path());
        let cluster = flymq_server::dev::start(3, config, Some(dir.path())).await.expect("started");
        assert_eq!(cluster.nodes.len(), 3);
        let through = client(&cluster.nodes[round as usize + 1]).await;
        let stored = through.produce("t", NewMessage::value(format!("{round}"))).await.expect("stored");
        assert_eq!(stored.offset, round, "what was there before is there still");
        cluster.shutdown().await;
    }
}

/// Found by B29: the answer to a commit was lost, and no call of the producer worked any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_producer_goes_on_behind_a_commit_whose_answer_was_lost() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = start(Config::embedded(dir.path())).await.expect("started");
    let client = client(&broker).await;
    client.create_topic("t", 1).await.expect("created");
    let config = flymq_client::TransactionalConfig::new("mill");
    let mut producer = client.transactional_producer(config).await.expect("begun");
    for round in 0..3 {
        producer.begin().await.expect("it goes on");
        producer.send("t", NewMessage::value(format!("{round}"))).await.expect("stored");
        // What a commit does whose answer nobody hears.
        let list: pb::ListTransactionsResponse =
            client.call("ListTransactions", &pb::ListTransactionsRequest::default()).await.expect("listed");
        let transaction_id = list.transactions[0].transaction_id.clone();
        let commit = pb::CommitTransactionRequest { transaction_id, producer_epoch: 0 };
        let _: pb::CommitTransactionResponse = client.call("CommitTransaction", &commit).await.expect("done");
        if round == 1 {
            let refused = producer.abort().await.expect_err("it is committed");
            assert!(refused.message.contains("committed"), "{refused}");
        }
    }
    let read = client.fetch(&flymq_client::FetchSpec::new("t", 0, 0)).await.expect("readable");
    assert_eq!(read.messages.len(), 3);
    broker.shutdown().await;
}
