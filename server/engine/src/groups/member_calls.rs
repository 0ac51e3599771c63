//! What members ask of their group's coordinator: join, heartbeat, leave, commit.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use flymq_types::{GroupId, PartitionId, TopicName};
use tokio::sync::watch;
use tokio::time::sleep;

use super::coordinate::not_coordinator;
use super::live::{LiveGroup, Readable};
use super::membership::{
    Assigned, Assignor, Beat, Group, Join, MAX_MEMBERS, MemberId, Place, Refusal, TopicFilters, View,
};
use super::{Groups, OffsetCommit, OffsetsLog};
use crate::durable_map::MAX_CHANGES;
use crate::engine::Engine;
use crate::error::EngineError;

/// The session of a member that says nothing.
const DEFAULT_SESSION: Duration = Duration::from_secs(10);
/// Sessions that members may ask for.
const SESSIONS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(300)];
/// How long a member that says nothing may take to let go of a partition.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(60);
/// The longest that it may ask for.
const MAX_PATIENCE: Duration = Duration::from_secs(3_600);

/// Who joins a group.
#[derive(Debug, Clone)]
pub struct JoinGroup {
    /// None: the group's coordinator chooses. With one of its own a member may repeat a join whose answer it missed.
    pub member_id: Option<String>,
    /// A member that keeps its assignment over a restart within its session.
    pub instance_id: Option<String>,
    pub client_id: String,
    pub host: String,
    pub filters: TopicFilters,
    pub assignor: Assignor,
    /// How long it may be silent; none: 10 s.
    pub session: Option<Duration>,
    /// How long it may take to let go of a partition; none: 60 s.
    pub rebalance: Option<Duration>,
}

/// What a member tells of itself.
#[derive(Debug, Clone, Default)]
pub struct Heartbeat {
    pub member_id: String,
    /// Of the last assignment that it has applied; 0: none.
    pub epoch: u64,
    pub generation: u64,
    /// What it reads, or has read and not committed yet.
    pub owned: BTreeSet<(TopicName, PartitionId)>,
    /// How long to wait for another assignment, up to the interval between heartbeats.
    pub max_wait: Duration,
}

/// Under which membership a commit is.
#[derive(Debug, Clone)]
pub struct CommitAs {
    pub member_id: String,
    pub generation: u64,
}

impl Engine {
    /// Takes a member into the group, or changes what it subscribes to. It is durable when this returns.
    ///
    /// # Errors
    /// `InvalidArgument`, `LimitReached`, `InstanceFenced`, `NotCoordinator`, or why it could not be written.
    pub async fn join_group(&self, group: &GroupId, join: JoinGroup) -> Result<Assigned, EngineError> {
        self.check_running()?;
        self.check_coordinator(group)?;
        self.check_new_group(group)?;
        let join = self.joining(join)?;
        let id = join.id.clone();
        let logs = self.offsets_logs().await?;
        let log = &logs[Groups::log_index(group, logs.len())];
        self.check_loaded(log, group)?;
        let live = self.live_group_or_new(log, group);
        let live = live.ok_or_else(|| not_coordinator(log.partition(), group))?;
        let enter = |state: &mut Group, now: Duration, topics: &Readable<'_>| {
            state.join(now, topics, join)?;
            state.assigned(&id).ok_or(Refusal::UnknownMember)
        };
        let (told, revision) = self.with_group(&live, enter);
        let told = told.map_err(|refusal| refused(group, &id, refusal))?;
        self.keep((log, &live), group, revision).await?;
        Ok(told)
    }

    fn joining(&self, join: JoinGroup) -> Result<Join, EngineError> {
        let session = join.session.unwrap_or(DEFAULT_SESSION);
        let [shortest, longest] = SESSIONS;
        if !(shortest..=longest).contains(&session) {
            let bounds = format!("{} to {} ms", shortest.as_millis(), longest.as_millis());
            let reason = format!("{} ms is not within {bounds}", session.as_millis());
            return Err(EngineError::InvalidArgument { field: "session_timeout_ms", reason });
        }
        let patience = join.rebalance.unwrap_or(DEFAULT_PATIENCE.max(session));
        if patience > MAX_PATIENCE {
            let reason = format!("at most {} ms", MAX_PATIENCE.as_millis());
            return Err(EngineError::InvalidArgument { field: "rebalance_timeout_ms", reason });
        }
        let chosen = || format!("{:016x}{:016x}", self.rng.next_u64(), self.rng.next_u64());
        Ok(Join {
            id: join.member_id.unwrap_or_else(chosen).into(),
            instance: join.instance_id.map(Arc::from),
            client_id: join.client_id,
            host: join.host,
            filters: join.filters,
            assignor: join.assignor,
            session,
            patience,
        })
    }

    /// Takes note that the member lives and of what it owns, and tells it its assignment: at once where that is another one
    /// than the member knows, else when it changes or the wait is over.
    ///
    /// # Errors
    /// `UnknownMember`: it has to let go of everything, and join again. `InstanceFenced`: and not join again.
    /// `StaleGeneration`, `NotCoordinator`, or why a change could not be written.
    pub async fn heartbeat(&self, group: &GroupId, heartbeat: Heartbeat) -> Result<Assigned, EngineError> {
        self.groups_known(group).await?;
        let Heartbeat { member_id, epoch, generation, owned, max_wait } = heartbeat;
        let mut beat = Some(Beat { epoch, generation, owned });
        let mut images = self.meta.watch();
        let (mut over, mut last) = (None, max_wait.is_zero());
        loop {
            let Looked { told, mut changes, next_end } =
                self.look_after(group, &member_id, &mut beat, &mut images).await?;
            if last || told.epoch != epoch {
                return Ok(told);
            }
            let over = over.get_or_insert_with(|| Box::pin(sleep(max_wait.min(told.interval))));
            tokio::select! {
                () = over => last = true,
                () = next(&mut changes) => {}
                () = next(&mut images) => {}
                // Somebody else's session ends, and nobody would notice.
                () = sleep(next_end) => {}
            }
        }
    }

    /// A look at the group for one of its members, with its sign of life where it has not been given yet.
    async fn look_after(
        &self,
        group: &GroupId,
        id: &str,
        beat: &mut Option<Beat>,
        images: &mut watch::Receiver<crate::meta::MetaVersion>,
    ) -> Result<Looked, EngineError> {
        let (log, live) = self.attended(group, id)?;
        let changes = live.changes();
        images.borrow_and_update();
        let look = |state: &mut Group, now: Duration, _: &Readable<'_>| {
            match beat.take() {
                Some(beat) => state.heartbeat(now, id, &beat)?,
                None => state.check_member(id)?,
            }
            let next_end = state.next_end().map_or(Duration::MAX, |end| end.saturating_sub(now));
            let told = state.assigned(id).ok_or(Refusal::UnknownMember)?;
            Ok((told, next_end))
        };
        let (looked, revision) = self.with_group(&live, look);
        let (told, next_end) = looked.map_err(|refusal| refused(group, id, refusal))?;
        self.keep((&log, &live), group, revision).await?;
        Ok(Looked { told, changes, next_end })
    }

    /// The member goes; its partitions go to others at once.
    ///
    /// # Errors
    /// `UnknownMember`, `InstanceFenced`, `NotCoordinator`, or why it could not be written.
    pub async fn leave_group(&self, group: &GroupId, member_id: &str) -> Result<(), EngineError> {
        self.groups_known(group).await?;
        let (log, live) = self.attended(group, member_id)?;
        let leave = |state: &mut Group, now: Duration, _: &Readable<'_>| state.leave(now, member_id);
        let (left, revision) = self.with_group(&live, leave);
        left.map_err(|refusal| refused(group, member_id, refusal))?;
        self.keep((&log, &live), group, revision).await
    }

    /// As [`Engine::commit_offsets`], and only if the member owns every partition, and did in the generation that it names.
    ///
    /// # Errors
    /// Also `UnknownMember`, `InstanceFenced`, `StaleGeneration`, `NotOwner`: nothing was committed.
    pub async fn commit_as_member(
        &self,
        group: &GroupId,
        member: &CommitAs,
        offsets: Vec<OffsetCommit>,
    ) -> Result<(), EngineError> {
        self.groups_known(group).await?;
        let (log, live) = self.attended(group, &member.member_id)?;
        let places = offsets.iter().map(|commit| (commit.topic.clone(), commit.partition));
        let places: BTreeSet<Place> = places.collect();
        let mut changes = self.changes(group, offsets)?;
        while !changes.is_empty() {
            let rest = changes.split_off(changes.len().min(MAX_CHANGES));
            let may = |state: &Group| {
                let checked = state.check_commit(&member.member_id, member.generation, &places);
                checked.map_err(|refusal| refused(group, &member.member_id, refusal))
            };
            self.append_if((&log, &live), group, changes, may).await?;
            changes = rest;
        }
        log.settle(&self.groups.kept.map);
        self.groups.kept.clean_if_due(self, &log).await;
        Ok(())
    }

    /// The group of somebody who says to be its member.
    pub(super) fn attended(&self, group: &GroupId, id: &str) -> Result<Attended, EngineError> {
        self.check_running()?;
        self.find_group(group)?.ok_or_else(|| refused(group, id, Refusal::UnknownMember))
    }

    /// The group with its log, where it has or had members.
    ///
    /// # Errors
    /// `NotCoordinator`.
    pub(super) fn find_group(&self, group: &GroupId) -> Result<Option<Attended>, EngineError> {
        let logs = self.adopt_offsets_logs();
        let Some(log) = logs.get(Groups::log_index(group, logs.len())) else { return Ok(None) };
        self.check_loaded(log, group)?;
        Ok(self.live_group(log, group).map(|live| (log.clone(), live)))
    }

    /// The members that are given partitions.
    pub(super) fn view(&self, group: &GroupId) -> Option<View> {
        let (_, live) = self.find_group(group).ok()??;
        Some(self.with_group(&live, |state, _, _| state.view()).0)
    }
}

/// A group, and the log that keeps it.
pub(super) type Attended = (Arc<OffsetsLog>, Arc<LiveGroup>);

struct Looked {
    told: Assigned,
    changes: watch::Receiver<u64>,
    /// Time until a session ends.
    next_end: Duration,
}

/// The next change; never where there will be none.
async fn next<T>(changes: &mut watch::Receiver<T>) {
    if changes.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

pub(super) fn refused(group: &GroupId, id: &str, refusal: Refusal) -> EngineError {
    let (group, member) = (group.clone(), MemberId::from(id));
    match refusal {
        Refusal::UnknownMember => EngineError::UnknownMember { group, member },
        Refusal::InstanceFenced { instance } => EngineError::InstanceFenced { group, member, instance },
        Refusal::Generation { asked, current } => {
            EngineError::StaleGeneration { group, member, asked, current }
        }
        Refusal::NotOwner { place: (topic, partition), asked, given, current } => {
            EngineError::NotOwner { group, member, topic, partition, asked, given, current }
        }
        Refusal::TooManyMembers => {
            EngineError::LimitReached { what: "members in the consumer group", limit: MAX_MEMBERS }
        }
    }
}
