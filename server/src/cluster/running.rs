//! A registered member at work.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use flymq_api::Forwarded;
use flymq_engine::{
    Engine, Replication,
    meta::{MetaStore, NodeState},
};
use flymq_replication::{ReplicaSet, ReplicaSetOptions, member_id, replica};
use flymq_storage::DataDir;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use super::{
    committed, controller, enter::Entered, heartbeat, identity, inbox::Inbox, join::Due, losses, mdns::Told,
    member::Member, metrics, sessions::SESSION, voters,
};
use crate::StartError;

/// Between two looks at what is waited for.
const POLL: Duration = Duration::from_millis(20);
/// A third node's start waits so long until it votes: from then on the cluster survives the loss of one node.
const VOTE_WAIT: Duration = Duration::from_secs(10);

/// This node as a running member.
pub(crate) struct Running {
    pub(super) member: Arc<Member>,
    inbox: Arc<Inbox>,
    data: Arc<DataDir>,
    replicas: Arc<ReplicaSet>,
    pub(super) tasks: TaskTracker,
    /// Ends the heartbeats and what the metadata leader does.
    pub(super) stop: CancellationToken,
    _told: Option<Told>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("member", &self.member).finish_non_exhaustive()
    }
}

impl Running {
    /// Without logs yet: those come with the engine.
    pub fn new(entered: Entered) -> Self {
        let Entered { member, inbox, told, data } = entered;
        let epoch = member.epoch.get().copied().unwrap_or_default();
        let settings = flymq_replication::ReplicaSetSettings { session: SESSION, ..Default::default() };
        let replicas = ReplicaSet::new(ReplicaSetOptions {
            me: replica::BrokerId(member.id),
            broker_epoch: replica::BrokerEpoch(epoch.0),
            meta: Arc::new(member.store.clone()),
            link: member.network.clone(),
            clock: member.clock.clone(),
            settings,
            committed: committed::load(&identity::directory(data.path())),
        });
        member.network.set_frames(replicas.clone());
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        Self { member, inbox, data, replicas, tasks, stop, _told: told }
    }

    pub fn member(&self) -> &Arc<Member> {
        &self.member
    }

    pub fn meta(&self) -> Arc<dyn MetaStore> {
        Arc::new(self.member.store.clone())
    }

    pub fn replication(&self) -> Arc<dyn Replication> {
        self.replicas.clone()
    }

    /// Resolves when this process is no node of the cluster any more: why.
    pub fn dismissed(&self) -> impl Future<Output = String> + Send + use<> {
        let mut dismissed = self.member.dismissed.subscribe();
        async move {
            let reason = dismissed.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
            match reason {
                Some(reason) => reason,
                // The member is gone, and with it whoever could say so.
                None => std::future::pending().await,
            }
        }
    }

    /// Whether what the engine has opened has all that this node knew of when it ran last.
    ///
    /// # Errors
    /// An older copy lies in place of a log that this node may have to lead with.
    pub fn check_logs(&self) -> Result<(), StartError> {
        losses::check_ends(&self.member, &self.data, &self.replicas)
    }

    /// Takes part: the engine has opened what the metadata names. Returns when this node has a session and may lead.
    /// `peers`: so many nodes there are to be, as far as the configuration says.
    pub async fn take_part(&self, engine: &Arc<Engine>, forwarded: Arc<Forwarded>, peers: usize) {
        self.inbox.forwarded.get_or_init(|| forwarded);
        let (member, replicas) = (self.member.clone(), self.replicas.clone());
        self.tasks.spawn(self.stop.clone().run_until_cancelled_owned(introduce(member.clone())));
        let shown = metrics::run(member.clone(), replicas.clone());
        self.tasks.spawn(self.stop.clone().run_until_cancelled_owned(shown));
        self.tasks.spawn(losses::keep(self.data.clone(), engine.followed(), self.stop.clone()));
        let known =
            committed::keep(identity::directory(self.data.path()), replicas.clone(), self.stop.clone());
        self.tasks.spawn(known);
        self.tasks.spawn(heartbeat::run(member, replicas, engine.told(), self.stop.clone()));
        controller::start(&self.member, &self.tasks, &self.stop);
        let (mut due, dismissed) = (Due::begin(), self.member.dismissed.subscribe());
        while !self.is_active() && dismissed.borrow().is_none() {
            if due.is_now() {
                info!("waiting for a session with the leader of the metadata group");
            }
            tokio::time::sleep(POLL).await;
        }
        self.wait_for_vote(peers).await;
    }

    fn is_active(&self) -> bool {
        self.member.registration().is_some_and(|node| node.state == NodeState::Active)
    }

    /// With three nodes all of them vote. The last of them to start is ready when they do; the others as well, where they
    /// know from their configuration (`peers`) how many there are to be.
    async fn wait_for_vote(&self, peers: usize) {
        let settled = async {
            while !self.have_votes(peers) {
                tokio::time::sleep(POLL).await;
            }
        };
        if tokio::time::timeout(VOTE_WAIT, settled).await.is_err() {
            let waited = VOTE_WAIT.as_secs();
            warn!(waited, "ready, although not as many nodes vote in the metadata group as are to");
        }
    }

    /// Whether the group has as many votes as it is to have, and nothing else is under way.
    fn have_votes(&self, peers: usize) -> bool {
        let voting = self.member.store.members().iter().filter(|info| info.voter).count();
        let nodes = self.member.image().cluster.nodes.len().max(peers);
        voting >= voters::count(nodes) && !self.member.store.voters_change()
    }
}

/// Whatever ends this node, its connections and its part in the metadata group end with it.
impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        let (member, tasks) = (self.member.clone(), self.tasks.clone());
        tasks.close();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                tasks.wait().await;
                close(&member).await;
            });
        }
    }
}

/// Tells the network of every change of nodes. Who waits for the answer of one that was fenced would wait until its
/// connection counts as dead, while another node leads already.
pub(super) async fn introduce(member: Arc<Member>) {
    let mut versions = member.store.watch();
    let mut alive = BTreeSet::new();
    loop {
        versions.mark_unchanged();
        let image = member.image();
        member.introduce(&image);
        let living = image.cluster.nodes.values().filter(|node| node.state.is_alive());
        let before = std::mem::replace(&mut alive, living.map(|node| member_id(node.directory)).collect());
        before.difference(&alive).for_each(|fenced| member.network.hang_up(*fenced));
        if versions.changed().await.is_err() {
            return;
        }
    }
}

/// Ends its part in the metadata group, and its connections.
pub(super) async fn close(member: &Member) {
    member.store.shutdown().await;
    member.network.shutdown().await;
}
