//! The groups whose members this node looks after, in memory, and how their changes become durable.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flymq_types::{GroupId, LeaderEpoch, TopicName};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::OffsetsLog;
use super::membership::{Group, Topics};
use super::queue::DeadLetterOptions;
use super::record::Change;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::meta::{MetaImage, MetaVersion};

/// By name; each is read from the book when it is first asked for.
#[derive(Debug, Default)]
pub(super) struct LiveGroups(Mutex<HashMap<GroupId, Arc<LiveGroup>>>);

/// A group with the sessions of its members.
#[derive(Debug)]
pub(super) struct LiveGroup {
    /// On a cluster: the term of the coordinator that it was read in. It is of no use in another one.
    term: Option<LeaderEpoch>,
    now: Mutex<Now>,
    /// The revision of the group; whoever waits for an assignment looks again when it changes.
    changed: watch::Sender<u64>,
    /// The newest revision that is durable.
    written: AtomicU64,
    /// Held while one is written: those that come meanwhile go into the next one together.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Now {
    group: Group,
    /// The metadata whose topics it knows.
    followed: Option<MetaVersion>,
}

impl LiveGroups {
    /// Has everybody look again, and keeps only the groups that `gone` says no to.
    pub(super) fn forget(&self, gone: impl Fn(&GroupId) -> bool) {
        self.0.lock().retain(|group, live| {
            let gone = gone(group);
            if gone {
                live.wake();
            }
            !gone
        });
    }

    pub(super) fn wake(&self) {
        self.0.lock().values().for_each(|live| live.wake());
    }

    /// Forgets a group without members and without a record, unless somebody is about to join it.
    fn forget_unused(&self, group: &GroupId, live: &Arc<LiveGroup>) {
        let mut all = self.0.lock();
        // The caller's own and the one in the map.
        if Arc::strong_count(live) <= 2 {
            all.remove(group);
        }
    }
}

impl LiveGroup {
    fn wake(&self) {
        self.changed.send_modify(|_| {});
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

/// The topics that members may read.
pub(super) struct Readable<'a> {
    image: &'a MetaImage,
    dead_letters: &'a DeadLetterOptions,
}

impl Topics for Readable<'_> {
    fn count(&self, topic: &TopicName) -> Option<u32> {
        self.image.topics.get(topic).map(|topic| count(topic.partitions.len()))
    }

    fn meant(&self) -> Box<dyn Iterator<Item = (&TopicName, u32)> + '_> {
        let letters = self.dead_letters.topics(self.image);
        let all = self.image.topics.iter().filter(move |(name, _)| !letters.has(name));
        Box::new(all.map(|(name, topic)| (name, count(topic.partitions.len()))))
    }
}

fn count(partitions: usize) -> u32 {
    u32::try_from(partitions).unwrap_or(u32::MAX)
}

impl Engine {
    /// The group, where it has or had members.
    pub(super) fn live_group(&self, log: &OffsetsLog, group: &GroupId) -> Option<Arc<LiveGroup>> {
        self.live(log, group, false)
    }

    /// The group, which a first member makes; none where this node no longer is the coordinator.
    pub(super) fn live_group_or_new(&self, log: &OffsetsLog, group: &GroupId) -> Option<Arc<LiveGroup>> {
        self.live(log, group, true)
    }

    fn live(&self, log: &OffsetsLog, group: &GroupId, make: bool) -> Option<Arc<LiveGroup>> {
        let term = log.term();
        if log.partition().is_replicated() && term.is_none() {
            return None;
        }
        let mut all = self.groups.live.0.lock();
        if let Some(live) = all.get(group).filter(|live| live.term == term) {
            return Some(live.clone());
        }
        let stored = self.groups.settled().membership(group).cloned();
        // The book has none that cannot be read: see `MapLog::load`, which says so.
        let read = stored.and_then(|bytes| Group::decode(&bytes, self.clock.monotonic()).ok());
        if read.is_none() && !make {
            return None;
        }
        let live = Arc::new(LiveGroup {
            term,
            now: Mutex::new(Now { group: read.unwrap_or_default(), followed: None }),
            changed: watch::Sender::new(0),
            written: AtomicU64::new(0),
            writing: tokio::sync::Mutex::default(),
        });
        all.insert(group.clone(), live.clone());
        Some(live)
    }

    /// Does something with the group as it is now: without members whose session is over, with the topics there are. Also its
    /// revision after that.
    pub(super) fn with_group<T>(
        &self,
        live: &LiveGroup,
        work: impl FnOnce(&mut Group, Duration, &Readable<'_>) -> T,
    ) -> (T, u64) {
        let image = self.meta.image();
        let topics = Readable { image: &image, dead_letters: self.dead_letters() };
        let mut state = live.now.lock();
        let Now { group, followed } = &mut *state;
        let (now, before) = (self.clock.monotonic(), group.revision());
        group.expire(now);
        if *followed != Some(image.version) {
            group.follow(now, &topics);
            *followed = Some(image.version);
        }
        let done = work(group, now, &topics);
        let revision = group.revision();
        drop(state);
        if revision != before {
            live.changed.send_replace(revision);
        }
        (done, revision)
    }

    /// Appends changes of the group in the term that it was read in, if `may` says yes; nothing about the group changes between
    /// that and the append.
    pub(super) async fn append_if(
        &self,
        (log, live): (&Arc<OffsetsLog>, &LiveGroup),
        name: &GroupId,
        changes: Vec<Change>,
        may: impl FnOnce(&Group) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let append = |group: &mut Group, _: Duration, _: &Readable<'_>| {
            may(group)?;
            self.append_changes(log, name, changes, live.term)
        };
        let (appending, _) = self.with_group(live, append);
        self.appended(log, name, appending?).await
    }

    /// Ends sessions that are over in groups that nobody asks for anything, on the node that keeps them. To be called more
    /// often than every half of the shortest session (1 s): where it is late, as after the whole process stood still, members are spared.
    pub async fn end_sessions(&self) {
        let names: Vec<GroupId> = {
            let book = self.groups.settled();
            book.groups().filter(|group| book.membership(group).is_some()).cloned().collect()
        };
        for name in names {
            let Ok(Some((log, live))) = self.find_group(&name) else { continue };
            let ((), revision) = self.with_group(&live, |_, _, _| ());
            if live.written.load(Ordering::Acquire) < revision
                && let Err(error) = self.keep((&log, &live), &name, revision).await
            {
                tracing::debug!(group = %name, %error, "the end of a session is not durable yet");
            }
        }
    }

    /// Waits until that revision of the group, or a later one, is durable.
    pub(super) async fn keep(
        &self,
        (log, live): (&Arc<OffsetsLog>, &LiveGroup),
        name: &GroupId,
        revision: u64,
    ) -> Result<(), EngineError> {
        if live.written.load(Ordering::Acquire) >= revision {
            return Ok(());
        }
        let _turn = live.writing.lock().await;
        if live.written.load(Ordering::Acquire) >= revision {
            return Ok(());
        }
        let append = |group: &mut Group, _: Duration, _: &Readable<'_>| {
            let change = Change::Membership(name.clone(), Some(group.encode().into()));
            self.append_changes(log, name, vec![change], live.term)
        };
        let (appending, revision) = self.with_group(live, append);
        self.appended(log, name, appending?).await?;
        log.settle(&self.groups.kept.map);
        live.written.store(revision, Ordering::Release);
        self.groups.kept.clean_if_due(self, log).await;
        Ok(())
    }

    /// Deletes what is kept of a group's members; it has none.
    pub(super) async fn forget_membership(&self, name: &GroupId) -> Result<(), EngineError> {
        let Some((log, live)) = self.find_group(name)? else { return Ok(()) };
        let delete = |group: &mut Group, _: Duration, _: &Readable<'_>| {
            let members = group.members();
            if members > 0 {
                return Err(EngineError::GroupNotEmpty { group: name.clone(), members });
            }
            group.reset();
            self.append_changes(&log, name, vec![Change::Membership(name.clone(), None)], live.term)
        };
        let turn = live.writing.lock().await;
        let (appending, revision) = self.with_group(&live, delete);
        self.appended(&log, name, appending?).await?;
        log.settle(&self.groups.kept.map);
        live.written.store(revision, Ordering::Release);
        drop(turn);
        self.groups.live.forget_unused(name, &live);
        Ok(())
    }
}
