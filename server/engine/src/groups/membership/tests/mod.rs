//! Groups step by step, and by chance.

mod chance;
mod steps;
mod stored;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use flymq_types::{PartitionId, TopicName};

use super::*;
use crate::groups::GroupState;

/// The session of every member here.
const SESSION: Duration = Duration::from_secs(9);

fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

fn place(name: &str, partition: u32) -> Place {
    (topic(name), PartitionId(partition))
}

fn topics(all: &[(&str, u32)]) -> BTreeMap<TopicName, u32> {
    all.iter().map(|(name, count)| (topic(name), *count)).collect()
}

fn join(id: &str, filters: &[&str]) -> Join {
    Join {
        id: id.into(),
        filters: TopicFilters::new(filters.iter().copied()).unwrap(),
        session: SESSION,
        patience: SESSION * 5,
        ..Join::default()
    }
}

fn places(assigned: &Assigned) -> BTreeSet<Place> {
    let all = assigned.assignment.iter();
    all.flat_map(|(topic, numbers)| numbers.iter().map(|number| (topic.clone(), *number))).collect()
}

/// A member's process: it applies what it is told, and echoes it.
#[derive(Debug, Clone)]
struct Client {
    id: String,
    epoch: u64,
    generation: u64,
    owned: BTreeSet<Place>,
}

impl Client {
    fn of(group: &Group, id: &str) -> Self {
        let mut client = Self { id: id.to_owned(), epoch: 0, generation: 0, owned: BTreeSet::new() };
        client.apply(&group.assigned(id).unwrap());
        client
    }

    fn apply(&mut self, told: &Assigned) {
        (self.epoch, self.generation, self.owned) = (told.epoch, told.generation, places(told));
    }

    fn beat(&self) -> Beat {
        Beat { epoch: self.epoch, generation: self.generation, owned: self.owned.clone() }
    }

    fn heartbeat(&mut self, group: &mut Group, now: Duration) -> Result<(), Refusal> {
        group.heartbeat(now, &self.id, &self.beat())?;
        self.apply(&group.assigned(&self.id).unwrap());
        Ok(())
    }
}

/// Heartbeats of all until the group is stable; how many rounds that took.
fn settle(group: &mut Group, clients: &mut [Client], now: Duration) -> usize {
    for round in 0.. {
        assert!(round < 10, "it does not settle");
        if group.view().state == GroupState::Stable {
            return round;
        }
        for client in &mut *clients {
            client.heartbeat(group, now).unwrap();
        }
    }
    unreachable!("the loop ends by a return")
}
