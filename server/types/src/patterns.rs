//! Topic patterns, and which of very many match a topic.
//!
//! Levels are separated by `/`: a level `+` stands for any one level, a last level `#` for that topic and all below it (as in
//! MQTT; `logs/#` matches `logs`, `logs/app` and `logs/app/db`). Patterns never mean internal topics.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::{InvalidName, TopicName};

const ONE: &str = "+";
const REST: &str = "#";

/// Whether a name has a level that stands for others.
pub fn is_pattern(name: &str) -> bool {
    name.split('/').any(|level| level == ONE || level == REST)
}

/// Why a text is neither a topic nor a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    #[error(transparent)]
    Name(#[from] InvalidName),
    #[error("'#' stands for all further levels, so it can only be the last one")]
    RestNotLast,
}

/// Whether `pattern` is a topic's name or a pattern.
///
/// # Errors
/// When it is no name, or goes on behind `#`.
pub fn check_pattern(pattern: &str) -> Result<(), InvalidPattern> {
    TopicName::any(pattern)?;
    let mut levels = pattern.split('/');
    if levels.any(|level| level == REST) && levels.next().is_some() {
        return Err(InvalidPattern::RestNotLast);
    }
    Ok(())
}

/// Patterns (and plain names) with what belongs to each, in a trie by level: a look-up costs as many steps as there are
/// partial matches of the topic, however many patterns there are.
#[derive(Debug, Clone)]
pub struct Patterns<T> {
    /// Every level that any pattern names. They are few: `sensors`, `1` … `n`, `temp`.
    levels: HashMap<Box<str>, Level>,
    /// The id of the next new level.
    fresh: u32,
    /// From a node by a level to the next.
    edges: HashMap<(u32, u32), u32, BuildHasherDefault<Mix>>,
    nodes: Vec<Node<T>>,
    free: Vec<u32>,
    len: usize,
}

#[derive(Debug, Clone)]
struct Level {
    id: u32,
    /// Edges by this level.
    used: u32,
}

#[derive(Debug, Clone)]
struct Node<T> {
    one: Option<u32>,
    /// Edges by a level's name.
    named: u32,
    /// Of patterns that end here.
    here: Vec<T>,
    /// Of patterns that end here with `#`.
    rest: Vec<T>,
}

impl<T> Node<T> {
    fn is_empty(&self) -> bool {
        self.one.is_none() && self.named == 0 && self.here.is_empty() && self.rest.is_empty()
    }
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self { one: None, named: 0, here: Vec::new(), rest: Vec::new() }
    }
}

impl<T> Default for Patterns<T> {
    fn default() -> Self {
        let nodes = vec![Node::default()];
        Self { levels: HashMap::new(), fresh: 0, edges: HashMap::default(), nodes, free: Vec::new(), len: 0 }
    }
}

impl<T: PartialEq> Patterns<T> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a pattern for `owner`.
    ///
    /// # Errors
    /// Those of [`check_pattern`].
    pub fn insert(&mut self, pattern: &str, owner: T) -> Result<(), InvalidPattern> {
        check_pattern(pattern)?;
        let mut at = 0;
        for level in pattern.split('/').filter(|level| *level != REST) {
            at = self.step(at, level);
        }
        let node = self.node(at);
        if pattern.rsplit('/').next() == Some(REST) {
            node.rest.push(owner);
        } else {
            node.here.push(owner);
        }
        self.len += 1;
        Ok(())
    }

    /// Takes one pattern of `owner` out; whether there was one.
    pub fn remove(&mut self, pattern: &str, owner: &T) -> bool {
        let mut path = vec![0];
        for level in pattern.split('/').filter(|level| *level != REST) {
            let Some(next) = self.next(path[path.len() - 1], level) else { return false };
            path.push(next);
        }
        let node = self.node(path[path.len() - 1]);
        let owners = if pattern.rsplit('/').next() == Some(REST) { &mut node.rest } else { &mut node.here };
        let Some(found) = owners.iter().position(|other| other == owner) else { return false };
        owners.swap_remove(found);
        self.len -= 1;
        self.prune(&path, pattern);
        true
    }

    /// Calls `found` with the owner of each pattern that matches; an owner of several patterns may be told several times.
    pub fn matching<'a>(&'a self, topic: &str, mut found: impl FnMut(&'a T)) {
        if topic.starts_with("__") {
            return;
        }
        // Branches that are still to be followed: node, and the rest of the topic.
        let mut open: Vec<(u32, Option<&str>)> = vec![(0, Some(topic))];
        while let Some((at, rest)) = open.pop() {
            let node = &self.nodes[at as usize];
            node.rest.iter().for_each(&mut found);
            let Some(rest) = rest else {
                node.here.iter().for_each(&mut found);
                continue;
            };
            let (level, rest) = match rest.split_once('/') {
                Some((level, rest)) => (level, Some(rest)),
                None => (rest, None),
            };
            open.extend(node.one.map(|next| (next, rest)));
            if node.named > 0 {
                let next = self.levels.get(level).and_then(|level| self.edges.get(&(at, level.id)));
                open.extend(next.map(|next| (*next, rest)));
            }
        }
    }

    /// Whether any matches.
    pub fn any(&self, topic: &str) -> bool {
        let mut any = false;
        self.matching(topic, |_| any = true);
        any
    }

    fn node(&mut self, at: u32) -> &mut Node<T> {
        &mut self.nodes[at as usize]
    }

    fn next(&self, at: u32, level: &str) -> Option<u32> {
        if level == ONE {
            return self.nodes[at as usize].one;
        }
        self.edges.get(&(at, self.levels.get(level)?.id)).copied()
    }

    /// The next node by a level; a new one where there is none.
    fn step(&mut self, at: u32, level: &str) -> u32 {
        if let Some(next) = self.next(at, level) {
            return next;
        }
        let fresh = match self.free.pop() {
            Some(free) => free,
            None => {
                self.nodes.push(Node::default());
                u32::try_from(self.nodes.len() - 1)
                    .expect("patterns of 4 billion levels do not fit the memory")
            }
        };
        if level == ONE {
            self.node(at).one = Some(fresh);
            return fresh;
        }
        let id = match self.levels.get_mut(level) {
            Some(known) => {
                known.used += 1;
                known.id
            }
            None => {
                let id = self.fresh;
                self.fresh =
                    self.fresh.checked_add(1).expect("4 billion levels are not added in a process's life");
                self.levels.insert(level.into(), Level { id, used: 1 });
                id
            }
        };
        self.edges.insert((at, id), fresh);
        self.node(at).named += 1;
        fresh
    }

    /// Frees the nodes of a path that nothing needs any more, from its end.
    fn prune(&mut self, path: &[u32], pattern: &str) {
        let levels: Vec<&str> = pattern.split('/').filter(|level| *level != REST).collect();
        for (index, level) in levels.iter().enumerate().rev() {
            let (before, at) = (path[index], path[index + 1]);
            if !self.nodes[at as usize].is_empty() {
                return;
            }
            self.free.push(at);
            if *level == ONE {
                self.node(before).one = None;
                continue;
            }
            self.node(before).named -= 1;
            if let Some(known) = self.levels.get_mut(*level) {
                known.used -= 1;
                let (id, unused) = (known.id, known.used == 0);
                self.edges.remove(&(before, id));
                if unused {
                    self.levels.remove(*level);
                }
            }
        }
    }
}

/// Mixes two small numbers that the trie itself gave out: nobody outside chooses them, so this need not resist anyone.
#[derive(Debug, Clone, Copy, Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0.rotate_left(32) ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests;
