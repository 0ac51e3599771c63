//! Members come and go: what a broker's controller does with the group, which may be left half way.

use std::collections::BTreeSet;
use std::time::Duration;

use flymq_replication::{MembershipError, RaftId, RaftMetaStore, SimulatedTask, Simulation};
use tokio::time::{Instant, sleep, timeout};

use crate::world::{PATIENCE, World, peer};

/// A leader that has not come to the end by then is given up.
const ATTEMPT: Duration = Duration::from_secs(4);

/// Who is to be in the group.
#[derive(Debug, Default)]
pub struct Operator {
    pub wanted: BTreeSet<RaftId>,
    attempt: Option<SimulatedTask<()>>,
    /// From when on there is another attempt.
    next: u64,
}

/// Leads the group to the wanted members, as the leader `store` sees it; they are all voters.
async fn attempt(store: &RaftMetaStore, wanted: &BTreeSet<RaftId>) -> Result<(), MembershipError> {
    let known: BTreeSet<RaftId> = store.members().iter().map(|member| member.id).collect();
    for id in wanted.difference(&known) {
        store.add_learner(*id, peer(*id)).await?;
    }
    if voters(store) != *wanted || store.voters_change() {
        store.set_voters(wanted.clone()).await?;
    }
    let gone: BTreeSet<RaftId> = known.difference(wanted).copied().filter(|id| *id != store.id()).collect();
    if !gone.is_empty() {
        store.remove_learners(gone).await?;
    }
    Ok(())
}

fn voters(store: &RaftMetaStore) -> BTreeSet<RaftId> {
    store.members().iter().filter(|member| member.voter).map(|member| member.id).collect()
}

impl World {
    /// A member gets a successor with an empty disk.
    pub async fn replace(&mut self) {
        let members = self.members();
        // Two at once could take the majority away.
        if members.len() != self.operator.wanted.len() {
            return;
        }
        let old = self.chance.pick(&members);
        let new = members.last().unwrap() + 1;
        self.note(&format!("{new} replaces {old}"));
        self.add(new).await;
        self.operator.wanted.remove(&old);
        self.operator.wanted.insert(new);
        self.count("members replaced");
    }

    /// Goes on with what is wanted, through whoever leads.
    pub async fn operate(&mut self, now: u64) {
        if now < self.operator.next {
            return;
        }
        self.operator.next = now + self.chance.within(100, 400);
        self.drop_who_left().await;
        if let Some(running) = &mut self.operator.attempt {
            match futures::poll!(running) {
                std::task::Poll::Pending => return,
                std::task::Poll::Ready(_) => self.operator.attempt = None,
            }
        }
        let Some(store) = self.leader() else { return };
        let wanted = self.operator.wanted.clone();
        self.operator.attempt = Some(Simulation::spawn(async move {
            // What failed is tried again.
            let _outcome = timeout(ATTEMPT, attempt(&store, &wanted)).await;
        }));
    }

    /// Who takes himself for the leader; a deposed one does as well.
    fn leader(&self) -> Option<RaftMetaStore> {
        let stores = self.running.values().map(|(store, _)| store);
        let leading: Vec<_> = stores.filter(|store| store.leader() == Some(store.id())).collect();
        let nth = self.chance.within(0, leading.len().checked_sub(1)? as u64);
        leading.get(usize::try_from(nth).ok()?).copied().cloned()
    }

    /// Somebody who was replaced ends when his vote is gone: he may lead until then, and openraft would let him for ever. His disk
    /// goes when all that are wanted know the group without him.
    async fn drop_who_left(&mut self) {
        let wanted: Vec<_> = self.operator.wanted.iter().map(|id| self.running.get(id)).collect();
        let all = |is_so: &dyn Fn(&RaftMetaStore) -> bool| {
            wanted.iter().all(|running| running.as_ref().is_some_and(|(store, _)| is_so(store)))
        };
        let no_vote = all(&|store| !store.voters_change() && voters(store) == self.operator.wanted);
        let gone = no_vote && all(&|store| store.members().len() == self.operator.wanted.len());
        let left = |id: &RaftId| !self.operator.wanted.contains(id);
        let left: Vec<RaftId> = self.members().into_iter().filter(left).filter(|_| no_vote).collect();
        for id in left {
            self.crash(id).await;
            if gone {
                self.disks.remove(&id);
                self.note(&format!("{id} is gone"));
            }
        }
    }

    /// The group is whole: it comes to be what is wanted.
    pub async fn finish(&mut self) {
        let until = Instant::now() + PATIENCE;
        while self.members().len() != self.operator.wanted.len() {
            assert!(Instant::now() < until, "the group does not come to be {:?}", self.operator.wanted);
            let now = self.now();
            self.operate(now).await;
            sleep(Duration::from_millis(10)).await;
        }
    }
}
