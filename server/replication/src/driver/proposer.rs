//! What the leaders of this node ask the metadata group: the wishes of many partitions go into one proposal.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flymq_engine::meta::{Command, MetaError, MetaImage};
use flymq_types::{LeaderEpoch, PartitionEpoch};
use tokio::sync::mpsc;

use super::handle::Shared;
use super::mail::Mail;
use super::meta::{Asker, alter_isr, resign, transfer};
use super::set::Inner;
use crate::link::ReplicaKey;
use crate::replica::{BrokerId, IsrChange, ResignReason};
use crate::task::start;

/// So long after a failure nothing is proposed.
const BACKOFF: Duration = Duration::from_millis(100);
/// Most wishes in one proposal.
const MOST: usize = 10_000;

/// What a partition asks.
#[derive(Debug, Clone)]
pub(super) enum Wish {
    Isr(IsrChange),
    Resign { leader_epoch: LeaderEpoch, reason: ResignReason },
    HandOver { partition_epoch: u32, to: BrokerId },
}

type Asked = (Arc<Shared>, Wish);

/// Where wishes are put.
#[derive(Debug)]
pub(super) struct Proposer {
    wishes: mpsc::UnboundedSender<Asked>,
    refreshing: Arc<AtomicBool>,
}

/// The task that proposes them.
#[derive(Debug)]
pub(super) struct Proposals(mpsc::UnboundedReceiver<Asked>);

impl Proposer {
    pub(super) fn new() -> (Self, Proposals) {
        let (wishes, asked) = mpsc::unbounded_channel();
        (Self { wishes, refreshing: Arc::default() }, Proposals(asked))
    }

    /// Has the metadata group asked; a later wish of the same partition takes the place of one that still waits.
    pub(super) fn ask(&self, of: &Arc<Shared>, wish: Wish) {
        let _ending = self.wishes.send((of.clone(), wish));
    }

    /// Sees to it that the metadata here becomes as new as anybody's.
    pub(super) fn refresh(&self, set: &Inner) {
        if self.refreshing.swap(true, Ordering::AcqRel) {
            return;
        }
        let (meta, refreshing) = (set.meta.clone(), self.refreshing.clone());
        start(async move {
            if let Err(error) = meta.barrier().await {
                tracing::debug!(%error, "newer metadata is not to be had yet");
            }
            refreshing.store(false, Ordering::Release);
        });
    }
}

impl Proposals {
    pub(super) async fn run(mut self, set: Weak<Inner>) {
        let mut asked = Vec::new();
        while self.0.recv_many(&mut asked, MOST).await > 0 {
            let newest: HashMap<ReplicaKey, Asked> =
                asked.drain(..).map(|(of, wish)| (of.key, (of, wish))).collect();
            let Some(set) = set.upgrade() else { return };
            propose(&set, newest.into_values().collect()).await;
        }
    }
}

async fn propose(set: &Inner, asked: Vec<Asked>) {
    let image = set.meta.image();
    let Some(asker) = Asker::find(set.me, set.broker_epoch.0, &image) else { return };
    let command = |(of, wish): Asked| Some((command_of(&of, &wish, &asker, &image)?, of, wish));
    let commands: Vec<_> = asked.into_iter().filter_map(command).collect();
    if commands.is_empty() {
        return;
    }
    let all = commands.iter().map(|(command, ..)| command.clone()).collect();
    match set.meta.propose(all).await {
        Ok(_applied) => {}
        Err(MetaError::Rejected(reason)) => match &commands[..] {
            [(_, of, wish)] => refused(of, wish, &reason.to_string()),
            _ => propose_each(set, commands).await,
        },
        Err(error @ (MetaError::Unavailable { .. } | MetaError::Storage(_))) => {
            // The state machines ask again.
            tracing::debug!(%error, "the metadata group takes no wishes of replicas now");
            tokio::time::sleep(BACKOFF).await;
        }
    }
}

/// One was refused, so that all were: each for itself.
async fn propose_each(set: &Inner, commands: Vec<(Command, Arc<Shared>, Wish)>) {
    for (command, of, wish) in commands {
        match set.meta.propose(vec![command]).await {
            Ok(_applied) => {}
            Err(MetaError::Rejected(reason)) => refused(&of, &wish, &reason.to_string()),
            Err(MetaError::Unavailable { .. } | MetaError::Storage(_)) => return,
        }
    }
}

/// None where newer metadata is here already, which the replica gets anyway.
fn command_of(of: &Shared, wish: &Wish, asker: &Asker, image: &MetaImage) -> Option<Command> {
    let partition = image.partition(&of.at).ok()?;
    match wish {
        Wish::Isr(change) => {
            let current = partition.partition_epoch == PartitionEpoch(change.partition_epoch)
                && partition.leader_epoch == change.leader_epoch;
            let command = current.then(|| alter_isr(&of.at, asker.clone(), change, image))?;
            if command.is_none() {
                refused(of, wish, "it names a node that is not registered");
            }
            command
        }
        Wish::Resign { leader_epoch, reason } => (partition.leader_epoch == *leader_epoch)
            .then(|| resign(&of.at, asker.clone(), *leader_epoch, *reason)),
        Wish::HandOver { partition_epoch, to } => {
            let current = partition.partition_epoch == PartitionEpoch(*partition_epoch);
            current.then(|| transfer(&of.at, *partition_epoch, *to, image))?
        }
    }
}

fn refused(of: &Shared, wish: &Wish, reason: &str) {
    tracing::debug!(partition = %of.at, ?wish, reason, "the metadata group refuses a wish");
    match wish {
        Wish::Isr(change) => of.post(Mail::IsrRefused { partition_epoch: change.partition_epoch }),
        // It asks again for as long as it is to lead.
        Wish::Resign { .. } => {}
        Wish::HandOver { partition_epoch, .. } => {
            of.post(Mail::HandOverRefused { partition_epoch: *partition_epoch });
        }
    }
}
