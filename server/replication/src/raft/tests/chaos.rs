//! Power cuts in the middle of a member's disk operations, again and again, under load.

use flymq_types::Rng;

use super::*;

struct Run {
    group: Group,
    rng: SeededRng,
    next: u32,
    answered: Vec<u32>,
}

impl Run {
    fn one_of(&self, ids: &[RaftId]) -> RaftId {
        ids[(self.rng.next_u64() % ids.len() as u64) as usize]
    }

    /// Gets some answered while all members run, however often it takes: what the crash may not lose.
    async fn settled(&mut self, proposals: usize) {
        let enough = self.answered.len() + proposals;
        let answered = async {
            while self.answered.len() < enough {
                self.propose().await;
            }
        };
        tokio::time::timeout(DEADLINE, answered).await.expect("a group that is whole answers");
    }

    /// Proposes until the victim's disk stops in the middle of it.
    async fn load(&mut self, victim: RaftId) {
        let disk = self.group.disks[&victim].clone();
        let stopped = async {
            while !disk.stopped() {
                self.propose().await;
            }
        };
        tokio::time::timeout(DEADLINE, stopped).await.expect("every proposal is written by every member");
    }

    /// Proposes through every running member at once.
    async fn propose(&mut self) {
        let through: Vec<RaftMetaStore> = self.group.running.values().cloned().collect();
        let all = through
            .iter()
            .zip(self.next..)
            .map(|(store, n)| async move { (n, store.propose(vec![create(n)]).await) });
        let outcomes = futures::future::join_all(all).await;
        self.next += through.len() as u32;
        for (n, outcome) in outcomes {
            match outcome {
                Ok(_) => self.answered.push(n),
                Err(error) => assert!(matches!(error, MetaError::Unavailable { .. }), "{n}: {error:?}"),
            }
        }
    }

    /// All members have the same image, and all that was answered is in it, once.
    async fn check(&self, round: u64) {
        let mut images = Vec::new();
        for store in self.group.running.values() {
            // Each try is as impatient as a proposal; together they have until the deadline.
            let reached = async { while store.barrier().await.is_err() {} };
            tokio::time::timeout(DEADLINE, reached).await.expect("a group that is whole has a leader");
            images.push(store.image());
        }
        for image in &images {
            let lost = |n: &&u32| !image.topics.contains_key(format!("topic {n}").as_str());
            assert_eq!(self.answered.iter().find(lost), None, "round {round}: an answered proposal is gone");
            assert_eq!(image.version.0 as usize, image.topics.len(), "round {round}: one came twice");
            assert_eq!(image, &images[0], "round {round}");
        }
    }
}

async fn run(seed: u64, ids: &[RaftId]) {
    let settings = RaftMetaSettings {
        request_timeout: Duration::from_secs(2),
        snapshot_after_entries: 15,
        keep_entries: 8,
        rewrite_after_bytes: 1_000,
        ..settings()
    };
    let group = Group::of(ids, settings).await;
    let mut run = Run { group, rng: SeededRng::new(seed), next: 0, answered: Vec::new() };
    for round in 0..5 {
        let victim = match run.rng.next_u64() % 2 {
            0 => run.group.leader().await.id(),
            _ => run.one_of(ids),
        };
        run.settled(3).await;
        run.group.disks[&victim].stop_after(run.rng.next_u64() % 40);
        run.load(victim).await;
        let Run { group, rng, .. } = &mut run;
        group.crash_as(victim, |disk| disk.crash(rng)).await;
        run.group.start(victim).await;
        run.check(round).await;
    }
}

#[tokio::test]
async fn three_members_lose_nothing_that_was_answered() {
    for seed in 1..=2 {
        run(seed, &[1, 2, 3]).await;
    }
}

#[tokio::test]
async fn five_members_lose_nothing_that_was_answered() {
    run(9, &[1, 2, 3, 4, 5]).await;
}

#[tokio::test]
async fn one_member_loses_nothing_that_was_answered() {
    for seed in 0..3 {
        run(seed, &[1]).await;
    }
}

/// Two of five are away: the rest commits; a third one too: it does not.
#[tokio::test]
async fn five_members_need_three() {
    let hasty = RaftMetaSettings { request_timeout: Duration::from_secs(3), ..settings() };
    let mut group = Group::of(&[1, 2, 3, 4, 5], hasty).await;
    for n in 0..2 {
        let leader = group.leader().await;
        group.crash(leader.id()).await;
        let next = group.leader().await;
        next.propose(vec![create(n)]).await.unwrap();
    }
    let leader = group.leader().await;
    let third = group.others(&leader)[0].id();
    group.crash(third).await;
    let refused = leader.propose(vec![create(9)]).await;
    assert!(matches!(refused, Err(MetaError::Unavailable { .. })), "{refused:?}");
    assert!(!has(&leader, 9));
    group.start(third).await;
    leader.propose(vec![create(10)]).await.unwrap();
}
