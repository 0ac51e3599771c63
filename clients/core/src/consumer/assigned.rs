//! A consumer that reads what its group gives it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Consumer,
    membership::{Membership, Place, Told},
};
use crate::{ClientError, pb};

/// Waits for another assignment; for ever without membership.
pub(super) async fn changes(membership: &mut Option<Membership>) {
    match membership {
        Some(membership) => membership.changed().await,
        None => std::future::pending().await,
    }
}

impl Consumer {
    /// Joins at first use, and waits for the first assignment; after that, applies what has changed.
    pub(super) async fn attend(&mut self) -> Result<(), ClientError> {
        if self.membership.is_none()
            && let (Some(member), Some(group)) = (&self.config.member, &self.config.group)
        {
            for topic in self.config.topics.iter().filter(|topic| !is_pattern(topic)) {
                // The group would wait for a topic to come; whoever misspells a name wants to know.
                self.client.partition_count(topic).await?;
            }
            if self.here_before.is_none() {
                self.here_before = Some(self.topics_here().await?);
            }
            let mut membership = Membership::start(&self.client, group, &self.config, member);
            membership.changed().await;
            if let Some(error) = membership.told().failed {
                // The next poll tries again.
                return Err(error);
            }
            self.membership = Some(membership);
        }
        self.follow_assignment().await
    }

    /// The topics that there are before it joins: one that a pattern brings later on begins with its first message.
    async fn topics_here(&self) -> Result<BTreeSet<String>, ClientError> {
        let mut here = BTreeSet::new();
        for topic in &self.config.topics {
            if !is_pattern(topic) {
                here.insert(topic.clone());
                continue;
            }
            let levels = topic.split('/').take_while(|level| *level != "+" && *level != "#");
            let request =
                pb::ListTopicsRequest { prefix: levels.collect::<Vec<_>>().join("/"), ..Default::default() };
            let listed: pb::ListTopicsResponse = self.client.call("ListTopics", &request).await?;
            here.extend(listed.topics.into_iter().map(|topic| topic.name));
        }
        Ok(here)
    }

    /// Lets go of what is no longer its own, after a commit, and begins what has become it.
    pub(super) async fn follow_assignment(&mut self) -> Result<(), ClientError> {
        let Some(membership) = &mut self.membership else { return Ok(()) };
        let told = membership.told();
        let (life, epoch) = membership.applied();
        if life != told.life {
            // Others may have read and committed since: nothing of before counts.
            self.let_go(|_| false);
            self.notices.lose_all();
        }
        if let Some(error) = told.failed {
            return Err(error);
        }
        if (life, epoch) != (told.life, told.epoch) {
            if self.notices.revoke_except(&told.places) {
                // The application hears of it first, and may commit.
                return Ok(());
            }
            self.give_up(&told).await;
            if let Some(membership) = &self.membership {
                membership.apply(&told);
            }
        }
        self.begin(&told.places).await?;
        self.notices.assign(&told.places);
        Ok(())
    }

    async fn give_up(&mut self, told: &Told) {
        let stays = |place: &Place| told.places.contains(place);
        self.fetchers.retain(|fetcher| {
            let (topic, partition) = fetcher.place();
            stays(&(topic.to_owned(), partition))
        });
        let lost = self.positions.all().into_iter().any(|at| !stays(&(at.topic, at.partition)));
        if lost && self.config.enable_auto_commit {
            // Failing that, the next owner reads some messages again.
            if let Err(error) = self.commit_if_owned().await {
                tracing::debug!(%error, "could not commit before giving partitions up");
            }
        }
        self.let_go(stays);
    }

    pub(super) fn let_go(&mut self, stays: impl Fn(&Place) -> bool) {
        self.positions.forget(&stays);
        self.fetchers.retain(|fetcher| {
            let (topic, partition) = fetcher.place();
            stays(&(topic.to_owned(), partition))
        });
        self.buffered.retain(|message| stays(&(message.topic.to_string(), message.partition)));
    }

    async fn begin(&mut self, places: &BTreeSet<Place>) -> Result<(), ClientError> {
        let mut fresh: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in places {
            if !self.positions.knows(topic, *partition) {
                fresh.entry(topic.clone()).or_default().push(*partition);
            }
        }
        if fresh.is_empty() {
            return Ok(());
        }
        for (topic, partitions) in &fresh {
            let committed = self.group_offsets(topic).await?;
            // Whoever began a partition left its mark (below): one without is new, and holds nothing to be skipped.
            let created_later = self.here_before.as_ref().is_some_and(|here| !here.contains(topic));
            let added_later = created_later || !committed.is_empty();
            self.start(topic, partitions, &committed, added_later).await?;
            let unmarked = |at: &pb::PartitionOffset| {
                let known = committed.iter().any(|mark| mark.partition == at.partition);
                at.topic == *topic && partitions.contains(&at.partition) && !known
            };
            // The next owner is to go on from here also if nothing comes meanwhile.
            let marks: Vec<_> = self.positions.all().into_iter().filter(unmarked).collect();
            match self.commit_these(marks).await {
                Err(error) if !is_over(&error) => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Commits. What is another member's by now is its business: the next assignment will say so.
    pub(super) async fn commit_if_owned(&mut self) -> Result<(), ClientError> {
        match self.commit().await {
            Err(error) if self.membership.is_some() && is_over(&error) => Ok(()),
            other => other,
        }
    }

    /// Member id and generation of its commits; nothing without membership.
    pub(crate) fn commits_as(&self) -> (String, i64) {
        let Some(membership) = &self.membership else { return Default::default() };
        (membership.member_id.clone(), membership.generation())
    }
}

pub(crate) fn is_pattern(topic: &str) -> bool {
    topic.split('/').any(|level| level == "+" || level == "#")
}

fn is_over(error: &ClientError) -> bool {
    matches!(error.code, pb::ErrorCode::UnknownMember | pb::ErrorCode::IllegalGeneration)
}
