//! Handing the leadership over without losing what only the leader has (rule 12).
//!
//! ```text
//!             successor named              it has all that there is         newer metadata
//! as usual ──────────────────► holds back ────────────────────────► asked ─────────────────► follows
//!    ▲                             │ too long                         │ too long, or refused
//!    │◄────────────────────────────┘                                  ▼
//!    │◄─────────────── newer metadata ──────────────────── takes `acks=all` alone
//! ```
//! Once the change is asked for it may come true at any time, until the partition epoch has moved on: a leader that goes on
//! asks for the in-sync set as it is, which moves it.

use super::leader::Leader;
use super::{BrokerId, Core, Millis, Offset, Replica, ReplicaAction, Role};

/// So long at most nothing is appended.
const LIMIT: Millis = 1_500;
/// What was given up is tried again after so long.
const AGAIN: Millis = 5_000;

/// A hand-over that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct HandOver {
    to: BrokerId,
    since: Millis,
    given_up: Option<Millis>,
    /// The partition epoch under which the change was asked for, and when last. None: none that may come true.
    asked: Option<(u32, Millis)>,
}

impl HandOver {
    /// Whether this leader may be replaced although it has given up.
    pub(super) fn is_undecided(&self) -> bool {
        self.given_up.is_some() && self.asked.is_some()
    }
}

impl Leader {
    /// Whether nothing is appended just now.
    pub(super) fn holds_back(&self) -> bool {
        self.hand_over.is_some_and(|one| one.given_up.is_none())
            && !cfg!(mutant = "replica_takes_while_it_hands_over")
    }

    /// Whether a change of leader was given up, and may come true all the same.
    pub(super) fn may_be_replaced(&self) -> bool {
        self.hand_over.as_ref().is_some_and(HandOver::is_undecided)
            && !cfg!(mutant = "replica_hand_over_is_forgotten")
    }

    /// Begins, asks, gives up, ends.
    pub(super) fn look_after_hand_over(&mut self, now: Millis, core: &Core, out: &mut Vec<ReplicaAction>) {
        let to = core.meta.successor.filter(|id| core.meta.isr.contains(id) && self.peers.contains_key(id));
        let epoch = core.meta.partition_epoch;
        if let Some(one) = &mut self.hand_over {
            one.asked = one.asked.filter(|(asked, _)| *asked == epoch);
            let again = one.given_up.is_some_and(|at| now.saturating_sub(at) >= AGAIN);
            if one.asked.is_none() && (again || Some(one.to) != to) {
                self.hand_over = None;
            }
        }
        let Some(to) = to else { return };
        let begun = HandOver { to, since: now, given_up: None, asked: None };
        let mut one = *self.hand_over.get_or_insert(begun);
        if one.given_up.is_some() {
            return;
        }
        if now.saturating_sub(one.since) >= LIMIT {
            one.given_up = Some(now);
        } else if self.has_all(core, to)
            && one.asked.is_none_or(|(_, sent)| now.saturating_sub(sent) >= core.settings.resend_after)
        {
            one.asked = Some((epoch, now));
            out.push(ReplicaAction::HandOver { partition_epoch: epoch, to });
        }
        self.hand_over = Some(one);
    }

    /// Whether that replica could lead, and nobody would miss anything; who waits for `acks=all` has been answered, unless
    /// too few are in sync for that.
    fn has_all(&self, core: &Core, to: BrokerId) -> bool {
        let durable = self.peers.get(&to).and_then(|peer| peer.durable()).unwrap_or(Offset::ZERO);
        let answered = self.waiting.is_empty() && self.deletes.is_empty() || !core.has_enough_in_sync();
        durable >= core.log.end && answered || cfg!(mutant = "replica_hands_over_too_early")
    }

    /// The metadata group will not have it: there is no point in waiting.
    pub(super) fn on_hand_over_refused(
        &mut self,
        now: Millis,
        core: &mut Core,
        partition_epoch: u32,
        out: &mut Vec<ReplicaAction>,
    ) {
        if let Some(one) = &mut self.hand_over
            && one.asked.is_some_and(|(asked, _)| asked == partition_epoch)
        {
            one.given_up.get_or_insert(now);
            self.advance(now, core, out);
        }
    }
}

impl Replica {
    /// Whether batches had better wait: the leadership is being handed over, which is decided soon. Until then they are refused
    /// with [`HandingOver`](super::ReplicaError::HandingOver), and nothing is appended.
    pub fn holds_back(&self) -> bool {
        matches!(&self.role, Role::Leader(leader) if leader.holds_back())
    }
}
