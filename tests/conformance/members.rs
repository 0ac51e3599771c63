//! Members in several languages share one group: two processes of Python, one of Java, and one of them is killed.

use std::{collections::BTreeSet, error::Error, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::surface::{self, Addresses, Failure, Surface, Unavailable};

const PARTITIONS: usize = 6;
const SESSION_MS: u64 = 1_500;
/// For what takes a session or a rebalance.
const LIMIT: Duration = Duration::from_secs(60);
/// Between two looks at a condition that only the members change.
const LOOK: Duration = Duration::from_millis(50);

type Outcome<T> = Result<T, Box<dyn Error>>;

async fn open(name: &str, addresses: &Addresses) -> Outcome<Option<Box<dyn Surface>>> {
    let found = surface::all().into_iter().find(|one| one.name == name).ok_or("a surface of that name")?;
    match (found.open)(addresses).await {
        Ok(surface) => Ok(Some(surface)),
        Err(Unavailable(_)) if found.optional => Ok(None),
        Err(Unavailable(why)) => Err(format!("{name}: {why}").into()),
    }
}

async fn run(surface: &mut dyn Surface, op: &str, args: Value) -> Outcome<Value> {
    surface.run(op, &args).await.map_err(|failure| match failure {
        Failure::Error { message, .. } | Failure::Unsupported(message) => format!("{op}: {message}").into(),
    })
}

/// What all of them have read.
async fn read(members: &mut [Box<dyn Surface>]) -> Outcome<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for member in members {
        let reply = run(&mut **member, "joined", json!({})).await?;
        let values = reply["values"].as_array().into_iter().flatten();
        all.extend(values.filter_map(Value::as_str).map(str::to_owned));
    }
    Ok(all)
}

/// How many partitions each member has, once the group has come to rest.
async fn shares(door: &mut dyn Surface) -> Outcome<Vec<usize>> {
    let request = json!({"rpc": "DescribeGroup", "request": {"group": "mixed"}});
    let Ok(found) = run(door, "call", request).await else { return Ok(Vec::new()) };
    if found["state"] != "GROUP_STATE_STABLE" {
        return Ok(Vec::new());
    }
    let count = |member: &Value| -> usize {
        let topics = member["assignment"].as_array().into_iter().flatten();
        topics.filter_map(|topic| topic["partitions"].as_array()).map(Vec::len).sum()
    };
    Ok(found["members"].as_array().into_iter().flatten().map(count).collect())
}

async fn settle(door: &mut dyn Surface, members: usize) -> Outcome<()> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let found = shares(door).await?;
        if found.len() == members && found.iter().all(|share| *share == PARTITIONS / members) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(format!("{members} members never shared {PARTITIONS} partitions: {found:?}").into());
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn until_read(members: &mut [Box<dyn Surface>], wanted: &BTreeSet<String>) -> Outcome<()> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let found = read(members).await?;
        if wanted.is_subset(&found) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let missing: Vec<_> = wanted.difference(&found).take(5).collect();
            return Err(format!("never read: {missing:?} …").into());
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn produce(door: &mut dyn Surface, name: &str) -> Outcome<BTreeSet<String>> {
    let mut sent = BTreeSet::new();
    for number in 0..60 {
        let value = format!("{name}-{number}");
        let args = json!({"topic": "shared", "value": value, "partition": number % PARTITIONS});
        run(door, "produce", args).await?;
        sent.insert(value);
    }
    Ok(sent)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_and_java_share_a_group_and_one_is_killed() -> Outcome<()> {
    let data = tempfile::tempdir()?;
    let broker = flymq_server::start(flymq_server::Config::embedded(data.path())).await?;
    let addresses = Addresses {
        native: broker.native_addr().to_string(),
        grpc: broker.grpc_addr().to_string(),
        rest: broker.rest_addr().ok_or("an embedded broker serves REST")?.to_string(),
    };
    let mut door = open("grpc", &addresses).await?.ok_or("a door")?;
    let mut members = Vec::new();
    for name in ["python", "python", "java"] {
        let Some(member) = open(name, &addresses).await? else {
            println!("not run: the SDK of {name} is not installed here");
            return Ok(());
        };
        members.push(member);
    }
    run(&mut *door, "create_topic", json!({"topic": "shared", "partitions": PARTITIONS})).await?;
    for member in &mut members {
        let args = json!({"topic": "shared", "group": "mixed", "session_timeout_ms": SESSION_MS});
        run(&mut **member, "join", args).await?;
    }
    settle(&mut *door, 3).await?;
    let before = produce(&mut *door, "before").await?;
    until_read(&mut members, &before).await?;
    // The process is killed: nothing is said to the broker, nor committed.
    drop(members.remove(0));
    let after = produce(&mut *door, "after").await?;
    settle(&mut *door, 2).await?;
    until_read(&mut members, &after).await?;
    drop(members);
    broker.shutdown().await;
    Ok(())
}
