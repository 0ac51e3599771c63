//! What a connection is for. One connection for each pair of nodes, direction and lane, so that nothing waits behind
//! what it must not wait for.

use std::time::Duration;

use super::options::PeerSettings;
use crate::replica;

/// The numbers are on the wire: one is never used again for another lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum PeerLane {
    /// The metadata group: votes, entries, proposals.
    Meta = 1,
    /// Sessions with the metadata leader.
    Heartbeat = 2,
    /// Frames of replicas that acknowledgements wait for.
    Live = 3,
    /// Large ranges for replicas that are far behind.
    CatchUp = 4,
    /// Forwarded requests of clients.
    Calls = 5,
    /// A node that is no member: it may ask to become one, nothing else.
    Join = 6,
    /// Pieces of snapshots of the metadata: large, so that nothing an election waits for may wait behind them.
    Snapshot = 7,
}

impl PeerLane {
    pub const ALL: [Self; 7] =
        [Self::Meta, Self::Heartbeat, Self::Live, Self::CatchUp, Self::Calls, Self::Join, Self::Snapshot];

    /// By its number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| *lane as u32 == number)
    }

    /// In metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Heartbeat => "heartbeat",
            Self::Live => "live",
            Self::CatchUp => "catch_up",
            Self::Calls => "calls",
            Self::Join => "join",
            Self::Snapshot => "snapshot",
        }
    }

    /// Whether who connects must be a registered broker under its current broker epoch. The metadata group has its own
    /// terms, and a member must reach it before it is registered.
    pub(super) fn for_brokers_only(self) -> bool {
        !matches!(self, Self::Meta | Self::Snapshot | Self::Join)
    }

    /// Whether large packets are what it is for.
    pub(super) fn is_bulk(self) -> bool {
        matches!(self, Self::CatchUp | Self::Snapshot)
    }

    /// Bytes that wait for the socket; what does not fit is dropped.
    pub(super) fn queue_bytes(self, settings: &PeerSettings) -> usize {
        match self {
            Self::Live => settings.live_queue_bytes,
            Self::CatchUp => settings.catch_up_queue_bytes,
            Self::Meta | Self::Calls | Self::Join | Self::Snapshot => settings.calls_queue_bytes,
            Self::Heartbeat => settings.heartbeat_queue_bytes,
        }
    }

    /// After how much silence the other side counts as dead.
    pub(super) fn dead_after(self, settings: &PeerSettings) -> Duration {
        match self {
            Self::CatchUp | Self::Snapshot => settings.bulk_dead_after,
            Self::Meta | Self::Heartbeat | Self::Live | Self::Calls | Self::Join => settings.dead_after,
        }
    }
}

impl From<replica::Lane> for PeerLane {
    fn from(lane: replica::Lane) -> Self {
        match lane {
            replica::Lane::Live => Self::Live,
            replica::Lane::CatchUp => Self::CatchUp,
        }
    }
}
