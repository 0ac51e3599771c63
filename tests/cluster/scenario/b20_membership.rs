//! B20: nodes come, go, are replaced and lose their disks while others are killed, frozen and cut off.

use std::time::Duration;

use flymq_client::{Acks, ErrorCode, NewMessage, pb};
use rand::{Rng as _, rngs::StdRng, seq::IndexedRandom as _};
use tokio::time::Instant;

use super::{Outages, a_while, alone, begin};
use crate::{
    effort,
    load::TOPIC,
    look,
    membership::{self, votes},
    net::Net,
    row::Scenario,
    run::Run,
    trouble::{Trouble, lasts},
};

/// A change of who belongs to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// A new node takes the place of one that works.
    Replace,
    /// A new node takes the place of one that is dead and never comes back.
    ReplaceDead,
    /// A node comes back with an empty disk, under its name.
    EmptyDisk,
}

const CHANGES: [Change; 3] = [Change::Replace, Change::EmptyDisk, Change::ReplaceDead];

#[tokio::test(flavor = "multi_thread")]
async fn b20_nodes_come_and_go_while_others_fail() {
    let _alone = alone().await;
    let fault = "node added, replaced, removed, disk emptied, while another one is killed, frozen or cut off";
    let Some(mut scenario) = begin("B20", fault, "changes") else { return };
    let net = match Net::new() {
        Ok(net) => net,
        Err(why) => return scenario.skip(&why),
    };
    let (cycles, mut rng) = (effort::cycles(1, 60), effort::rng("B20"));
    let mut run = Run::start(&mut scenario, Some(net)).await;
    let mut settled = Outages::default();
    for cycle in 0..cycles {
        a_while(&mut rng).await;
        let change = CHANGES[usize::try_from(cycle % 3).expect("below 3")];
        settled.add(one(&mut run, &mut scenario, &mut rng, change).await);
        scenario.cycle(cycles);
    }
    scenario
        .note(settled.note("from the mending of the fault to the end of the change, all in sync and voting"));
    without_majority(&mut run, &mut scenario).await;
    run.finish(&mut scenario).await;
    scenario.finish();
}

/// A change of chance.
pub(super) async fn any(run: &mut Run, scenario: &mut Scenario, rng: &mut StdRng) -> Duration {
    let change = CHANGES[rng.random_range(0..CHANGES.len())];
    one(run, scenario, rng, change).await
}

/// One change with one fault; how long it took to be complete once nothing was broken any more.
async fn one(run: &mut Run, scenario: &mut Scenario, rng: &mut StdRng, change: Change) -> Duration {
    let members = run.cluster.members().to_vec();
    let out = *members.choose(rng).expect("three members");
    let others: Vec<u8> = members.into_iter().filter(|number| *number != out).collect();
    let victim = *others.choose(rng).expect("two others");
    let through = others.iter().copied().find(|number| *number != victim).expect("the third");
    let trouble = Trouble::any(rng);
    eprintln!("B20: {change:?} of node {out}, and {trouble:?} of node {victim}");
    let token = membership::token(&run.client).await;
    match change {
        Change::Replace => {}
        Change::ReplaceDead | Change::EmptyDisk => {
            run.cluster.kill(out);
            let since = run.now();
            run.writes_flow(since).await;
        }
    }
    // With one member gone for good, nothing goes on without the next one; the more is to be done when it is back.
    let newcomer = if change == Change::EmptyDisk { out } else { run.cluster.spare() };
    run.cluster.renew_through(newcomer, through, &token);
    let early = rng.random_bool(0.5);
    if early {
        trouble.begin(&mut run.cluster, victim);
    }
    let start = run.cluster.begin_start(newcomer);
    if !early {
        trouble.begin(&mut run.cluster, victim);
    }
    lasts(rng).await;
    trouble.end(scenario, &mut run.cluster, victim).await;
    let mended = Instant::now();
    scenario.started(run.cluster.started(newcomer, start).await);
    if change != Change::EmptyDisk {
        replace(run, scenario, rng, out, &others, newcomer).await;
    }
    look::whole(&run.client).await;
    votes(&run.cluster).await;
    let since = run.now();
    run.writes_flow(since).await;
    mended.elapsed()
}

/// Moves what `out` keeps to `newcomer`, with another fault on the way, and removes it.
async fn replace(
    run: &mut Run,
    scenario: &mut Scenario,
    rng: &mut StdRng,
    out: u8,
    others: &[u8],
    newcomer: u8,
) {
    let stay: Vec<u8> = others.iter().copied().chain([newcomer]).collect();
    let victim = *stay.choose(rng).expect("three stay");
    let trouble = Trouble::any(rng);
    eprintln!("B20: node {newcomer} has joined; {trouble:?} of node {victim} while replicas move to it");
    let client = run.cluster.connect().await;
    let moving = {
        let stay = stay.clone();
        tokio::spawn(async move { membership::reassign(&client, &stay).await })
    };
    tokio::time::sleep(Duration::from_millis(rng.random_range(0..400))).await;
    trouble.begin(&mut run.cluster, victim);
    lasts(rng).await;
    trouble.end(scenario, &mut run.cluster, victim).await;
    moving.await.expect("the replicas move");
    if run.cluster.is_up(out) {
        membership::drain(&run.client, out).await;
        run.cluster.stop(out).await;
    }
    membership::remove(&run.client, out).await;
    run.cluster.set_members(&stay);
}

/// What is refused, and what goes on, with one node of three: no acknowledgement, no other members, no waiting without end.
async fn without_majority(run: &mut Run, scenario: &mut Scenario) {
    let members = run.cluster.members().to_vec();
    refusals(run, &members).await;
    let [one, gone @ ..] = &members[..] else { panic!("three members") };
    for number in gone {
        run.cluster.kill(*number);
    }
    let client = crate::cluster::connect(&run.cluster.client_address(*one)).await;
    // What the last session still allows ends with it.
    let began = Instant::now();
    loop {
        let sent =
            client.produce_one(TOPIC, NewMessage::value(run.unsure()).to_partition(0), Acks::All).await;
        let Err(error) = sent else { panic!("acknowledged by one of three replicas") };
        assert!(!error.message.is_empty() && !error.hint.is_empty(), "{error:?}");
        if began.elapsed() > Duration::from_secs(2) {
            scenario.note(format!("without a majority `acks=all` is answered with {:?}", error.code));
            break;
        }
    }
    let asked = Instant::now();
    let answer = client.create_topic("nobody-agrees", 1).await;
    let error = answer.expect_err("created by one of three");
    assert!(asked.elapsed() < Duration::from_secs(10), "no answer for {:?}", asked.elapsed());
    assert!(!error.message.is_empty() && !error.hint.is_empty(), "{error:?}");
    assert_eq!(membership::members(&client).await.map(|members| members.len()), Some(3));
    scenario.started(run.cluster.start(gone).await);
    let back = run.now();
    run.writes_flow(back).await;
}

/// Who keeps replicas or lives is not removed, and nothing is moved to nowhere: each with a sentence.
async fn refusals(run: &Run, members: &[u8]) {
    let name = membership::name(members[0]);
    let leave = pb::LeaveClusterRequest { node_id: name.clone() };
    let error = run.client.call::<_, pb::LeaveClusterResponse>("LeaveCluster", &leave).await;
    let error = error.expect_err("a node that lives is removed");
    assert!(error.message.contains(&name), "{error}");
    for replicas in [vec![], vec!["node-99".to_owned()], vec![name.clone(), name]] {
        let request = pb::ReassignPartitionsRequest {
            topic: TOPIC.to_owned(),
            partitions: vec![pb::PartitionReplicas { partition: 0, replicas: replicas.clone() }],
            throttle_bytes_per_s: 0,
        };
        let error = loop {
            let answer =
                run.client.call::<_, pb::ReassignPartitionsResponse>("ReassignPartitions", &request).await;
            let error = answer.expect_err("replicas nowhere");
            // The in-sync set may change in the same moment.
            if error.code != ErrorCode::Conflict {
                break error;
            }
        };
        assert!(!error.retryable && !error.message.is_empty(), "{replicas:?}: {error:?}");
    }
}
