//! The way to the target: one step of each member that can take one.

use std::time::Duration;

use super::Group;
use super::member::Revoking;

impl Group {
    /// Takes what is no longer to be a member's, and gives what is to be its and nobody owns.
    pub(super) fn reconcile(&mut self, now: Duration) {
        for (id, member) in &mut self.members {
            let epoch = self.epochs + 1;
            let mut changed = false;
            let taken: Vec<_> =
                member.assigned.keys().filter(|place| !member.target.contains(*place)).cloned().collect();
            for place in taken {
                if let Some(given) = member.assigned.remove(&place) {
                    let until = now + member.patience;
                    member.revoking.insert(place, Revoking { given, epoch, until });
                    changed = true;
                }
            }
            for place in &member.target {
                if member.assigned.contains_key(place) {
                    continue;
                }
                let given = match member.revoking.remove(place) {
                    Some(revoking) => revoking.given,
                    None if self.owners.contains_key(place)
                        && !cfg!(mutant = "group_gives_before_it_is_let_go") =>
                    {
                        continue;
                    }
                    None => self.generation,
                };
                self.owners.insert(place.clone(), id.clone());
                member.assigned.insert(place.clone(), given);
                changed = true;
            }
            if changed {
                self.epochs = epoch;
                member.epoch = epoch;
                self.revision += 1;
            }
        }
    }
}
