//! This broker as a member of a cluster: how it gets in, keeps its session, and leaves.
//!
//! ```text
//! enter:  identity (<data>/cluster) ─► network ─► join or form ─► metadata group (<data>/raft) ─► register
//! start:  engine opens what the metadata names ─► heartbeats ─► unfence ─► doors open
//! run:    heartbeats · the metadata leader fences, keeps voters, balances · members are introduced to the network
//! leave:  drain ─► doors close ─► engine ─► session ends ─► metadata group ─► network
//! ```

mod addresses;
mod admission;
mod alone;
mod announce;
mod committed;
mod controller;
mod enter;
mod features;
mod form;
mod group_files;
mod heartbeat;
mod identity;
mod inbox;
mod internal;
mod join;
mod leave;
mod lines;
mod links;
mod losses;
mod mdns;
mod member;
mod metrics;
mod register;
mod running;
mod sessions;
mod voters;

use std::{path::Path, time::Duration};

use flymq_config::{Config, Loaded, Role};
use flymq_replication::RaftMetaSettings;
#[cfg(doc)]
use flymq_replication::RaftMetaStore;

use crate::listen::Addresses;

pub(crate) use addresses::{advertised, cluster as cluster_address};
pub(crate) use enter::{Entering, enter};
pub(crate) use links::of as links;
pub(crate) use running::Running;

/// The newest feature version that this build understands (see [`flymq_engine::meta::RaiseFeatures`]).
///
/// 2: transactions; 3: scheduled messages; 4: single records of groups; 5: schemas; 6: dead-letter policies of topics.
pub(crate) const FEATURE_VERSION: u32 = 6;

/// The latest feature version that this node offers to the others: an operator may hold it back.
fn understands(config: &Config) -> u32 {
    match config.cluster.max_feature_version {
        0 => FEATURE_VERSION,
        held => held.min(FEATURE_VERSION),
    }
}

/// How patient the metadata group is. A follower that hears of no leader waits for the longer of the two election times,
/// and then for a random one between them ([`RaftMetaStore::watch_leader`] shortens that where a majority misses it).
pub(crate) fn group_settings() -> RaftMetaSettings {
    RaftMetaSettings {
        election: (Duration::from_millis(1_000), Duration::from_millis(1_500)),
        ..RaftMetaSettings::default()
    }
}

/// Whether this broker is a member of a cluster, or is to be one: the data directory has the last word.
pub(crate) fn is_member(loaded: &Loaded) -> bool {
    let config = &loaded.config;
    let known = is_known(&config.storage.data_dir);
    let says_standalone = loaded.sources.get("cluster.role").is_some_and(|source| source.is_explicit());
    if known && says_standalone && config.cluster.role == Role::Standalone {
        tracing::warn!(
            data_dir = %config.storage.data_dir.display(),
            "this data directory belongs to a member of a cluster, so this node is one, although FLYMQ_ROLE (cluster.role) says \
             standalone: a broker of its own needs another directory (FLYMQ_DATA_DIR)"
        );
    }
    known || config.cluster.wants_cluster()
}

/// What a member is: as it is told, or else as it came into the cluster.
fn role(configured: Role, founder: bool) -> Role {
    match (configured, founder) {
        (Role::Bootstrap | Role::Agent, _) => configured,
        (Role::Standalone, true) => Role::Bootstrap,
        (Role::Standalone, false) => Role::Agent,
    }
}

/// How many nodes the configuration names, this one among them: 1 where it names none.
pub(crate) fn expected_nodes(config: &Config, bound: &Addresses) -> usize {
    let own = cluster_address(config, bound);
    1 + config.cluster.peers.iter().filter(|peer| Some(*peer) != own.as_ref()).count()
}

fn is_known(data: &Path) -> bool {
    data.join("raft").is_dir() || identity::directory(data).is_dir()
}
