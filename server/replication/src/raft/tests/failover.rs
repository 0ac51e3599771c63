//! Members that stop, and links that break.

use openraft::{EntryPayload, RaftLogReader};

use super::*;

/// Proposes through a store until it fails; what was answered.
async fn propose_all(store: &RaftMetaStore, topics: std::ops::Range<u32>) -> Vec<u32> {
    let mut answered = Vec::new();
    for n in topics {
        match store.propose(vec![create(n)]).await {
            Ok(_) => answered.push(n),
            Err(_) => break,
        }
    }
    answered
}

#[tokio::test]
async fn a_leader_that_stops_is_followed_by_another_and_nothing_answered_is_lost() {
    let mut group = Group::of(&[1, 2, 3], settings()).await;
    let mut answered = Vec::new();
    for round in 0..3 {
        let leader = group.leader().await;
        answered.extend(propose_all(&leader, round * 100..round * 100 + 20).await);
        group.crash(leader.id()).await;
        let next = group.leader().await;
        assert_ne!(next.id(), leader.id());
        next.barrier().await.unwrap();
        assert!(answered.iter().all(|n| has(&next, *n)), "round {round}");
        next.propose(vec![create(round * 100 + 50)]).await.unwrap();
        answered.push(round * 100 + 50);
        let back = group.start(leader.id()).await;
        back.barrier().await.unwrap();
        assert!(answered.iter().all(|n| has(&back, *n)), "round {round}: on the one that came back");
    }
    assert_eq!(answered.len(), 63);
}

/// As a machine that stood still finds itself: time has passed, and nothing of what happened meanwhile is known yet.
#[tokio::test]
async fn a_leader_that_stood_still_is_not_sure_of_itself() {
    let group = Group::of(&[1, 2, 3], settings()).await;
    let leader = group.leader().await;
    let within = Duration::from_millis(900);
    until("a majority is heard", || leader.leads_surely(within)).await;
    assert!(group.others(&leader).iter().all(|other| !other.leads_surely(within)));
    group.clock.advance(within + Duration::from_millis(1));
    // Before anything else runs.
    assert!(!leader.leads_surely(within), "what was heard before is too old");
    until("it is heard again", || leader.leads_surely(within)).await;
}

/// Proposals through all members while the leader's power is cut: each is there once, or surely refused, or unknown.
#[tokio::test]
async fn proposals_under_way_while_the_leader_stops_apply_at_most_once() {
    let patient = RaftMetaSettings { request_timeout: Duration::from_secs(5), ..settings() };
    let mut group = Group::of(&[1, 2, 3], patient).await;
    let leader = group.leader().await;
    let followers = group.others(&leader);
    let busy = followers.iter().zip([0u32, 1_000]).map(|(store, from)| async move {
        let mut outcomes = Vec::new();
        for n in from..from + 60 {
            outcomes.push((n, store.propose(vec![create(n)]).await));
        }
        outcomes
    });
    let busy = futures::future::join_all(busy);
    let crash = async {
        until("some are in", || followers[0].image().version > MetaVersion(20)).await;
        group.crash(leader.id()).await;
    };
    let (outcomes, ()) = futures::join!(busy, crash);
    let next = group.leader().await;
    next.barrier().await.unwrap();
    let mut versions = BTreeSet::new();
    for (n, outcome) in outcomes.into_iter().flatten() {
        match outcome {
            Ok(applied) => {
                assert!(has(&next, n), "topic {n} was answered");
                assert!(versions.insert(applied.version), "two proposals with version {:?}", applied.version);
            }
            // A second application of the same proposal would be rejected, as the topic exists.
            Err(error) => assert!(matches!(error, MetaError::Unavailable { .. }), "topic {n}: {error:?}"),
        }
    }
    assert_eq!(next.image().version.0 as usize, next.image().topics.len(), "each topic was made once");
    assert!(versions.len() > 60, "most were answered: {}", versions.len());
}

#[tokio::test]
async fn a_minority_commits_nothing_and_learns_the_truth_afterwards() {
    let hasty = RaftMetaSettings { request_timeout: Duration::from_secs(3), ..settings() };
    let group = Group::of(&[1, 2, 3], hasty).await;
    let old = group.leader().await;
    old.propose(vec![create(1)]).await.unwrap();
    let rest: Vec<RaftId> = group.others(&old).iter().map(RaftMetaStore::id).collect();
    group.network.partition(&[old.id()], &rest);
    let before = old.image();
    let refused = old.propose(vec![create(2)]).await;
    assert!(matches!(refused, Err(MetaError::Unavailable { .. })), "{refused:?}");
    assert!(matches!(old.barrier().await, Err(MetaError::Unavailable { .. })), "it may be behind");
    assert_eq!(old.image(), before, "what is not committed is never seen");
    let new = group.leader_among(&rest).await;
    new.propose(vec![create(3)]).await.unwrap();
    assert!(!has(&old, 3));
    group.network.heal();
    old.barrier().await.unwrap();
    assert!(has(&old, 3) && !has(&old, 2), "the new leader's log is the truth");
    assert_eq!(old.image(), new.image());
}

/// The doors poll a request once without the runtime's budget: a loop that finds work each time would hold their thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(clippy::disallowed_methods, reason = "a thread that may be held")]
async fn who_cannot_reach_the_leader_waits_before_it_asks_again() {
    // It stays the leader for as long as it takes.
    let patient = RaftMetaSettings { election: (DEADLINE, 2 * DEADLINE), ..settings() };
    let group = Group::of(&[1, 2, 3], patient).await;
    let leader = group.leader().await;
    let alone = group.others(&leader).remove(0);
    let rest: Vec<RaftId> = group.others(&alone).iter().map(RaftMetaStore::id).collect();
    group.network.partition(&[alone.id()], &rest);
    let first_poll = tokio::task::spawn_blocking(move || {
        let proposal = async { alone.propose(vec![create(1)]).await };
        let mut proposal = std::pin::pin!(tokio::task::unconstrained(proposal));
        let context = &mut std::task::Context::from_waker(std::task::Waker::noop());
        proposal.as_mut().poll(context).is_pending()
    });
    let pending = tokio::time::timeout(DEADLINE / 3, first_poll).await;
    // Lets go of the thread that would be held.
    group.network.heal();
    assert!(matches!(pending, Ok(Ok(true))), "it waits, and holds no thread: {pending:?}");
}

#[tokio::test]
async fn all_stop_and_start_again() {
    let mut group = Group::of(&[1, 2, 3], settings()).await;
    for n in 0..30 {
        group.running[&(u64::from(n) % 3 + 1)].propose(vec![create(n)]).await.unwrap();
    }
    let before = group.leader().await.image();
    for id in [1, 2, 3] {
        group.crash(id).await;
    }
    for id in [3, 1, 2] {
        group.start(id).await;
    }
    group.leader().await;
    for store in group.running.values() {
        store.barrier().await.unwrap();
        assert_eq!(store.image(), before, "member {}", store.id());
    }
    group.running[&2].propose(vec![create(99)]).await.unwrap();
}

#[tokio::test]
async fn a_member_that_was_away_for_long_gets_a_snapshot() {
    let short = RaftMetaSettings { snapshot_after_entries: 10, keep_entries: 2, ..settings() };
    let mut group = Group::of(&[1, 2, 3], short).await;
    let leader = group.leader().await;
    let away = group.others(&leader)[0].id();
    group.crash(away).await;
    for n in 0..60 {
        leader.propose(vec![create(n)]).await.unwrap();
    }
    let back = group.start(away).await;
    back.barrier().await.unwrap();
    assert_eq!(back.image(), leader.image());
    assert!(group.disks[&away].files().iter().any(|path| path.ends_with("snapshot")));
    group.crash(away).await;
    let back = group.start(away).await;
    back.barrier().await.unwrap();
    assert_eq!(back.image(), leader.image(), "and it has it after a restart");
}

#[tokio::test]
async fn a_slow_network_is_slow_and_right() {
    let group = Group::of(&[1, 2, 3], settings()).await;
    group.network.set_delay(Duration::from_millis(10));
    for (n, store) in (0..9).zip(group.running.values().cycle()) {
        let applied = store.propose(vec![create(n)]).await.unwrap();
        assert!(has(store, n), "in the image of whoever proposed it");
        assert_eq!(applied.replies.len(), 1);
    }
}

#[tokio::test]
async fn a_broken_disk_stops_the_member_and_the_rest_goes_on() {
    let group = Group::of(&[1, 2, 3], settings()).await;
    let old = group.leader().await;
    old.propose(vec![create(1)]).await.unwrap();
    assert_eq!(old.failure(), None);
    group.disks[&old.id()].fail(flymq_storage::FaultOp::Fdatasync, 1, 5);
    let refused = old.propose(vec![create(2)]).await;
    assert!(matches!(refused, Err(MetaError::Unavailable { .. })), "{refused:?}");
    until("a failure", || old.failure().is_some()).await;
    let rest: Vec<RaftId> = group.others(&old).iter().map(RaftMetaStore::id).collect();
    let new = group.leader_among(&rest).await;
    new.propose(vec![create(3)]).await.unwrap();
    assert!(has(&new, 1) && has(&new, 3));
}

/// Answers of the leader are lost, so that the follower cannot know whether its proposal was taken: it learns it from
/// its own log, when it hears of the group again, and does not send it twice.
#[tokio::test]
async fn a_proposal_whose_answer_is_lost_is_found_in_the_log() {
    let group = Group::of(&[1, 2, 3], settings()).await;
    let leader = group.leader().await;
    let follower = group.others(&leader)[0].clone();
    group.network.cut(leader.id(), follower.id());
    let proposal = follower.propose(vec![create(7)]);
    let heal = async {
        until("the leader has it", || has(&leader, 7)).await;
        until("the follower wants to lead", || follower.leader() != Some(leader.id())).await;
        assert!(!has(&follower, 7), "it hears of nothing");
        group.network.heal();
    };
    let (applied, ()) = futures::join!(proposal, heal);
    assert_eq!(applied.unwrap().replies.len(), 1);
    assert!(has(&follower, 7));
    let entries = follower.0.log.clone().try_get_log_entries(..).await.unwrap();
    let proposals = entries.iter().filter(|entry| matches!(entry.payload, EntryPayload::Normal(_)));
    assert_eq!(proposals.count(), 1, "it was sent once");
}

/// A leader that was cut off took a proposal and lost it to the next one. openraft then says "ask the leader", but such
/// an entry can still be on a third member and be committed later: it must not be sent again.
#[tokio::test]
async fn a_proposal_that_was_cut_from_the_log_is_not_sent_again() {
    let patient = RaftMetaSettings { request_timeout: Duration::from_secs(6), ..settings() };
    let group = Group::of(&[1, 2, 3], patient).await;
    let old = group.leader().await;
    let rest: Vec<RaftId> = group.others(&old).iter().map(RaftMetaStore::id).collect();
    group.network.partition(&[old.id()], &rest);
    let proposal = old.propose(vec![create(2)]);
    let heal = async {
        let new = group.leader_among(&rest).await;
        new.propose(vec![create(3)]).await.unwrap();
        group.network.heal();
        until("the old leader has the truth", || has(&old, 3)).await;
        new
    };
    let (refused, new) = futures::join!(proposal, heal);
    assert!(matches!(refused, Err(MetaError::Unavailable { .. })), "{refused:?}");
    assert!(!has(&new, 2) && !has(&old, 2));
}

/// Without openraft's own timers: what brings the next leader is [`RaftMetaStore::watch_leader`] alone.
#[tokio::test]
async fn a_leader_that_is_gone_is_replaced_without_the_timers() {
    let mut group = Group::of(&[1, 2, 3], settings()).await;
    let leader = group.leader().await;
    let others = group.others(&leader);
    others.iter().for_each(|store| store.0.raft.runtime_config().elect(false));
    group.crash(leader.id()).await;
    let watched = others.iter().map(RaftMetaStore::watch_leader);
    let next = async {
        until("another leader", || {
            others.iter().all(|store| store.leader().is_some_and(|id| id != leader.id()))
        })
        .await;
    };
    tokio::select! {
        _ = futures::future::join_all(watched) => {}
        () = next => {}
    }
    others[0].propose(vec![create(1)]).await.unwrap();
}

#[tokio::test]
async fn a_member_that_alone_misses_the_leader_does_not_stand() {
    let group = Group::of(&[1, 2, 3], settings()).await;
    let leader = group.leader().await;
    let others = group.others(&leader);
    others.iter().for_each(|store| store.0.raft.runtime_config().elect(false));
    let (deaf, hearing) = (&others[0], &others[1]);
    group.network.cut(leader.id(), deaf.id());
    let term = leader.0.raft.metrics().borrow().current_term;
    let lease = settings().election.1;
    let missed = async {
        while deaf.0.silence().await.0 < 3 * lease {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = deaf.watch_leader() => {}
        waited = tokio::time::timeout(DEADLINE, missed) => waited.expect("it hears nothing"),
    }
    assert_eq!(hearing.0.raft.metrics().borrow().current_term, term, "nobody stood against the leader");
    assert_eq!(hearing.leader(), Some(leader.id()));
    // With the other one deaf as well, there is a majority.
    group.network.cut(leader.id(), hearing.id());
    let next = async {
        until("another leader", || hearing.leader().is_some_and(|id| id != leader.id())).await;
    };
    tokio::select! {
        _ = futures::future::join(deaf.watch_leader(), hearing.watch_leader()) => {}
        () = next => {}
    }
}

/// Whoever asks a member that has stopped, and whose last leader is away, is told so: the member does not ask that leader for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(clippy::disallowed_methods, reason = "one that asks for ever must not keep the test from its end")]
async fn a_member_that_has_stopped_does_not_ask_for_ever() {
    let group = Group::of(&[1, 2, 3], settings()).await;
    let leader = group.leader().await;
    let asked = group.others(&leader)[0].clone();
    group.network.leave(leader.id());
    asked.shutdown().await;
    let proposing = asked.clone();
    let proposed = tokio::spawn(async move { proposing.propose(vec![create(1)]).await });
    let proposed = tokio::time::timeout(Duration::from_secs(10), proposed).await.expect("it ends").unwrap();
    assert!(matches!(proposed, Err(MetaError::Unavailable { .. })), "{proposed:?}");
    let asking = tokio::spawn(async move { asked.barrier().await });
    assert!(tokio::time::timeout(Duration::from_secs(10), asking).await.expect("it ends").unwrap().is_err());
}
