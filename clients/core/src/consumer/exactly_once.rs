//! What a transactional producer needs of the consumer whose messages it transforms.

use std::collections::BTreeSet;

use super::{Consumer, membership::Place};
use crate::ClientError;

/// A group, and who commits for it: member id and generation.
pub(crate) type CommitsFor = (String, Option<(String, i64)>);

impl Consumer {
    /// For whom a transaction commits the offsets of what this consumer has handed out.
    ///
    /// # Errors
    /// `InvalidArgument` for a consumer that is no member of a group, or that commits by itself.
    pub(crate) fn commits_for(&self) -> Result<CommitsFor, ClientError> {
        let Some(group) = self.config.group.clone().filter(|_| self.config.member.is_some()) else {
            return Err(ClientError::invalid("exactly once needs a consumer that is a member of a group"));
        };
        if self.config.enable_auto_commit {
            return Err(ClientError::invalid("exactly once needs a consumer without auto-commit"));
        }
        let (member_id, generation) = self.commits_as();
        let member = (!member_id.is_empty()).then_some((member_id, generation));
        Ok((group, member))
    }

    /// Nobody knows whether the work on what was polled of these partitions counts: the next poll goes on from what the group has
    /// committed by then, where they are still its own. For members alone.
    pub fn rewind(&mut self, places: &[(String, i32)]) {
        // Whoever is no member may have nothing committed to go back to.
        if self.membership.is_some() {
            let places: BTreeSet<&Place> = places.iter().collect();
            self.let_go(|place| !places.contains(place));
        }
    }
}
