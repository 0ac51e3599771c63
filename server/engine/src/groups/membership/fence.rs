//! Who may not: members of before, and commits under an assignment that is over.

use super::{Group, Place};

/// Why a member's request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::groups) enum Refusal {
    /// It never joined, has left, or its session is over.
    UnknownMember,
    /// Another process has joined with the same instance id since.
    InstanceFenced {
        instance: String,
    },
    /// Of a generation or epoch that the group has not come to.
    Generation {
        asked: u64,
        current: u64,
    },
    /// The partition is not the member's, or was given to it in a later generation than it knows of.
    NotOwner {
        place: Place,
        asked: u64,
        given: Option<u64>,
        current: u64,
    },
    TooManyMembers,
}

impl Group {
    /// # Errors
    /// `UnknownMember`, `InstanceFenced`.
    pub fn check_member(&self, id: &str) -> Result<(), Refusal> {
        if self.members.contains_key(id) {
            return Ok(());
        }
        let replaced = self.members.values().find(|member| member.replaced.iter().any(|old| **old == *id));
        match replaced.and_then(|member| member.instance.as_deref()) {
            Some(instance) => Err(Refusal::InstanceFenced { instance: instance.to_owned() }),
            None => Err(Refusal::UnknownMember),
        }
    }

    /// Accepts a commit where the member owns every partition, and did in the generation that it names. A member that has
    /// not heard yet of a generation that left it a partition commits on (KIP-1251).
    ///
    /// # Errors
    /// All but `TooManyMembers`.
    pub fn check_commit<'a>(
        &self,
        id: &str,
        generation: u64,
        places: impl IntoIterator<Item = &'a Place>,
    ) -> Result<(), Refusal> {
        self.check_member(id)?;
        let member = self.members.get(id).ok_or(Refusal::UnknownMember)?;
        let (asked, current) = (generation, self.generation);
        if asked > current {
            return Err(Refusal::Generation { asked, current });
        }
        for place in places {
            let revoking = || member.revoking.get(place).map(|revoking| revoking.given);
            let given = member.assigned.get(place).copied().or_else(revoking);
            let fenced = !cfg!(mutant = "group_commit_not_fenced");
            if fenced && given.is_none_or(|given| asked < given) {
                return Err(Refusal::NotOwner { place: place.clone(), asked, given, current });
            }
        }
        Ok(())
    }
}
