//! What is not a record: commits and topics.

use std::collections::{HashMap, HashSet};

use crate::history::Phase;

/// The span in which a group's commit must lie.
#[derive(Debug, Default, Clone, Copy)]
struct Span {
    acked: u64,
    tried: u64,
}

#[derive(Debug, Default, Clone)]
pub struct Commits(HashMap<(String, i32), Span>);

impl Commits {
    pub fn commit(&mut self, phase: Phase, (group, partition): (&str, i32), offset: u64) {
        let span = self.0.entry((group.to_owned(), partition)).or_default();
        match phase {
            Phase::Invoke => span.tried = span.tried.max(offset),
            Phase::Ok => span.acked = span.acked.max(offset),
            Phase::Fail | Phase::Info => {}
        }
    }

    /// What is wrong with the commit that was read.
    pub fn committed(&self, (group, partition): (&str, i32), offset: u64) -> Option<String> {
        let span = self.0.get(&(group.to_owned(), partition)).copied().unwrap_or_default();
        let fits = (span.acked..=span.tried).contains(&offset);
        (!fits).then(|| {
            format!("{group}/{partition} is at {offset}, acknowledged {}, tried {}", span.acked, span.tried)
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    There,
    Gone,
    Either,
}

#[derive(Debug, Default, Clone)]
pub struct Topics(HashMap<String, State>);

impl Topics {
    /// A create (`there`) or a delete; each topic sees one of each.
    pub fn change(&mut self, phase: Phase, topic: &str, there: bool) {
        let state = match (phase, there) {
            (Phase::Invoke | Phase::Info, _) => State::Either,
            (Phase::Ok, true) | (Phase::Fail, false) => State::There,
            (Phase::Ok, false) | (Phase::Fail, true) => State::Gone,
        };
        self.0.insert(topic.to_owned(), state);
    }

    /// What is wrong with a list of all topics.
    pub fn listed(&self, topics: &[String]) -> Vec<String> {
        let listed: HashSet<&String> = topics.iter().collect();
        let known = self.0.iter().filter_map(|(topic, state)| match (state, listed.contains(topic)) {
            (State::There, false) => Some(format!("{topic} was created and is gone")),
            (State::Gone, true) => Some(format!("{topic} was deleted and is there")),
            (State::There, true) | (State::Gone, false) | (State::Either, _) => None,
        });
        let foreign = topics.iter().filter(|topic| !self.0.contains_key(*topic));
        known.chain(foreign.map(|topic| format!("{topic} was never created"))).collect()
    }
}
