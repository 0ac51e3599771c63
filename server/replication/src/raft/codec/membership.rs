//! Who is in the group.

use std::collections::{BTreeMap, BTreeSet};

use super::{CodecError, Reader, get_some_log_id, put_bytes, put_some_log_id};
use crate::raft::types::{Membership, MetaPeer, RaftId, StoredMembership};

/// `u32` voter sets (two while it changes), each `u32` count · `u64` ids; `u32` members, each `u64` id · node · address.
pub(crate) fn put_membership(to: &mut Vec<u8>, membership: &Membership) {
    let configs = membership.get_joint_config();
    put_count(to, configs.len());
    for config in configs {
        put_count(to, config.len());
        for id in config {
            to.extend_from_slice(&id.to_le_bytes());
        }
    }
    put_count(to, membership.nodes().count());
    for (id, peer) in membership.nodes() {
        to.extend_from_slice(&id.to_le_bytes());
        put_bytes(to, peer.node.as_bytes());
        put_bytes(to, peer.address.as_bytes());
    }
}

/// The opposite of [`put_membership`].
pub(crate) fn get_membership(from: &mut Reader) -> Result<Membership, CodecError> {
    let mut configs = Vec::new();
    for _ in 0..from.u32()? {
        let mut config = BTreeSet::<RaftId>::new();
        for _ in 0..from.u32()? {
            config.insert(from.u64()?);
        }
        configs.push(config);
    }
    let mut peers = BTreeMap::new();
    for _ in 0..from.u32()? {
        peers.insert(from.u64()?, MetaPeer { node: from.text()?, address: from.text()? });
    }
    Ok(Membership::new(configs, peers))
}

/// Where it was logged, then who.
pub(crate) fn put_stored_membership(to: &mut Vec<u8>, stored: &StoredMembership) {
    put_some_log_id(to, stored.log_id().as_ref());
    put_membership(to, stored.membership());
}

/// The opposite of [`put_stored_membership`].
pub(crate) fn get_stored_membership(from: &mut Reader) -> Result<StoredMembership, CodecError> {
    let id = get_some_log_id(from)?;
    Ok(StoredMembership::new(id, get_membership(from)?))
}

fn put_count(to: &mut Vec<u8>, count: usize) {
    // A group has a handful of members.
    to.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}
