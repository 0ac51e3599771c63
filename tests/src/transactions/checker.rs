//! Histories of transactions, and what in them must not be: the anomalies that Jepsen looks for in logs (inconsistent offsets, G1a,
//! lost writes, duplicates, skipped and nonmonotonic polls, G1c), and torn transactions.
//!
//! At the end everything is read, so that a value that nobody has seen by then is lost.

use std::collections::{BTreeMap, HashMap, HashSet};

/// Topic and partition.
pub type Key = (String, i32);
/// Of each partition the offsets and values, in order.
pub type Logs = BTreeMap<Key, Vec<(u64, String)>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Committed,
    /// Also what was refused, and what a producer that was replaced has sent.
    Aborted,
    /// Nobody said; all of it or nothing.
    Unknown,
}

/// What one client did at once: a transaction, or a single send or poll (which count as committed).
#[derive(Debug, Clone)]
pub struct Unit {
    pub client: u32,
    pub end: End,
    /// Values, unique in the history, in the order in which they were sent.
    pub sent: Vec<(Key, String)>,
    /// Offsets and values, in the order in which they came. A client reads a partition on and on.
    pub polled: Vec<(Key, u64, String)>,
}

/// What was found; all but `write_cycles` must be zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Anomalies {
    /// Two values at one offset.
    pub inconsistent: u64,
    /// A value of an aborted transaction was read (G1a).
    pub aborted_read: u64,
    /// A part of a transaction is there.
    pub torn: u64,
    /// A committed value is not there.
    pub lost: u64,
    /// A value is there twice.
    pub duplicate: u64,
    /// Values of a transaction stand in another order than they were sent in.
    pub inverted: u64,
    /// A value that nobody has sent.
    pub phantom: u64,
    /// A client read past a value.
    pub skipped: u64,
    /// A client got an offset that it had had.
    pub nonmonotonic: u64,
    /// Transactions that read each other's writes (G1c).
    pub read_cycles: u64,
    /// Transactions whose writes stand before and behind each other's (G0): allowed, a log does not isolate writers.
    pub write_cycles: u64,
    /// The first few of them in words.
    pub examples: Vec<String>,
}

impl Anomalies {
    /// How many there are of what must not be.
    pub fn wrong(&self) -> u64 {
        [
            self.inconsistent,
            self.aborted_read,
            self.torn,
            self.lost,
            self.duplicate,
            self.inverted,
            self.phantom,
            self.skipped,
            self.nonmonotonic,
            self.read_cycles,
        ]
        .iter()
        .sum()
    }

    fn example(&mut self, text: impl FnOnce() -> String) -> u64 {
        if self.examples.len() < 10 {
            self.examples.push(text());
        }
        1
    }
}

/// Holds a history against what was read at its end: of each partition all offsets and values, in order.
pub fn check(units: &[Unit], last: &Logs) -> Anomalies {
    let mut found = Anomalies::default();
    let writers: HashMap<&str, usize> = units
        .iter()
        .enumerate()
        .flat_map(|(index, unit)| unit.sent.iter().map(move |(_, value)| (value.as_str(), index)))
        .collect();
    places(units, last, &mut found);
    values(units, last, &writers, &mut found);
    atomic(units, last, &mut found);
    polls(units, last, &mut found);
    found.read_cycles = cycles(units.len(), &reads(units, &writers)).len() as u64;
    found.write_cycles = cycles(units.len(), &writes(last, &writers)).len() as u64;
    found
}

fn places(units: &[Unit], last: &Logs, found: &mut Anomalies) {
    let read = last.iter().flat_map(|(key, values)| values.iter().map(move |(at, value)| (key, *at, value)));
    let polled = units.iter().flat_map(|unit| unit.polled.iter().map(|(key, at, value)| (key, *at, value)));
    let mut known: HashMap<(&Key, u64), &String> = HashMap::new();
    for (key, at, value) in read.chain(polled) {
        let before = known.entry((key, at)).or_insert(value);
        if *before != value {
            found.inconsistent += found.example(|| format!("{key:?} {at}: {before} and {value}"));
        }
    }
}

fn values(units: &[Unit], last: &Logs, writers: &HashMap<&str, usize>, found: &mut Anomalies) {
    let mut seen = HashSet::new();
    let at_the_end = last.values().flatten().map(|(_, value)| value);
    for value in at_the_end.clone() {
        if !seen.insert(value) {
            found.duplicate += found.example(|| format!("twice: {value}"));
        }
    }
    let polled = units.iter().flat_map(|unit| unit.polled.iter().map(|(.., value)| value));
    let mut judged = HashSet::new();
    for value in at_the_end.chain(polled).filter(|value| judged.insert(value.as_str())) {
        match writers.get(value.as_str()).map(|writer| units[*writer].end) {
            None => found.phantom += found.example(|| format!("nobody sent {value}")),
            Some(End::Aborted) => found.aborted_read += found.example(|| format!("aborted: {value}")),
            Some(End::Committed | End::Unknown) => {}
        }
    }
}

/// All of a transaction, or nothing; in order.
fn atomic(units: &[Unit], last: &Logs, found: &mut Anomalies) {
    let at: HashMap<&str, u64> =
        last.values().flatten().map(|(offset, value)| (value.as_str(), *offset)).collect();
    for unit in units.iter().filter(|unit| unit.end != End::Aborted && !unit.sent.is_empty()) {
        let there = unit.sent.iter().filter(|(_, value)| at.contains_key(value.as_str())).count();
        if there != 0 && there != unit.sent.len() {
            found.torn += found.example(|| format!("{there} of {}: {unit:?}", unit.sent.len()));
        }
        if unit.end == End::Committed && there != unit.sent.len() {
            found.lost += found.example(|| format!("lost of {unit:?}"));
        }
        let mut before: HashMap<&Key, u64> = HashMap::new();
        for (key, value) in &unit.sent {
            let Some(offset) = at.get(value.as_str()) else { continue };
            if before.insert(key, *offset).is_some_and(|before| before >= *offset) {
                found.inverted += found.example(|| format!("out of order: {unit:?}"));
            }
        }
    }
}

fn polls(units: &[Unit], last: &Logs, found: &mut Anomalies) {
    let mut before: HashMap<(u32, &Key), u64> = HashMap::new();
    for unit in units {
        for (key, offset, value) in &unit.polled {
            let Some(previous) = before.insert((unit.client, key), *offset) else { continue };
            if previous >= *offset {
                found.nonmonotonic +=
                    found.example(|| format!("client {}: {value} at {offset} after {previous}", unit.client));
                continue;
            }
            let values = last.get(key).map_or(&[][..], Vec::as_slice);
            let next = values.partition_point(|(at, _)| *at <= previous);
            if values.get(next).is_some_and(|(at, _)| at < offset) {
                found.skipped += found.example(|| {
                    format!("client {}: {:?} between {previous} and {offset}", unit.client, values[next])
                });
            }
        }
    }
}

/// From who wrote a value to who read it.
fn reads(units: &[Unit], writers: &HashMap<&str, usize>) -> Vec<(usize, usize)> {
    let committed = units.iter().enumerate().filter(|(_, unit)| unit.end == End::Committed);
    let polled = committed
        .flat_map(|(reader, unit)| unit.polled.iter().map(move |(.., value)| (reader, value.as_str())));
    polled
        .filter_map(|(reader, value)| Some((*writers.get(value)?, reader)))
        .filter(|(writer, reader)| writer != reader)
        .collect()
}

/// From who wrote a value to who wrote the next one in its partition.
fn writes(last: &Logs, writers: &HashMap<&str, usize>) -> Vec<(usize, usize)> {
    let pairs = last.values().flat_map(|values| values.windows(2));
    pairs
        .filter_map(|pair| Some((*writers.get(pair[0].1.as_str())?, *writers.get(pair[1].1.as_str())?)))
        .filter(|(before, after)| before != after)
        .collect()
}

/// Strongly connected components of more than one node (Tarjan, without recursion).
fn cycles(nodes: usize, edges: &[(usize, usize)]) -> Vec<Vec<usize>> {
    const NEW: usize = usize::MAX;
    let mut next = vec![Vec::new(); nodes];
    edges.iter().for_each(|(from, to)| next[*from].push(*to));
    let (mut index, mut low) = (vec![NEW; nodes], vec![0; nodes]);
    let (mut stack, mut on_stack) = (Vec::new(), vec![false; nodes]);
    let (mut count, mut found) = (0, Vec::new());
    for root in 0..nodes {
        if index[root] != NEW {
            continue;
        }
        let mut work = vec![(root, 0)];
        while let Some((node, edge)) = work.pop() {
            if edge == 0 {
                (index[node], low[node]) = (count, count);
                count += 1;
                stack.push(node);
                on_stack[node] = true;
            }
            if let Some(&to) = next[node].get(edge) {
                work.push((node, edge + 1));
                if index[to] == NEW {
                    work.push((to, 0));
                } else if on_stack[to] {
                    low[node] = low[node].min(index[to]);
                }
                continue;
            }
            if let Some((parent, _)) = work.last() {
                low[*parent] = low[*parent].min(low[node]);
            }
            if low[node] == index[node] {
                let first = stack.iter().rposition(|other| *other == node).expect("it was put there");
                let component = stack.split_off(first);
                component.iter().for_each(|other| on_stack[*other] = false);
                if component.len() > 1 {
                    found.push(component);
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(partition: i32) -> Key {
        ("t".to_owned(), partition)
    }

    fn unit(client: u32, end: End, sent: &[(i32, &str)], polled: &[(i32, u64, &str)]) -> Unit {
        let sent = sent.iter().map(|(partition, value)| (key(*partition), (*value).to_owned()));
        let polled = polled.iter().map(|(partition, at, value)| (key(*partition), *at, (*value).to_owned()));
        Unit { client, end, sent: sent.collect(), polled: polled.collect() }
    }

    fn log(values: &[(i32, u64, &str)]) -> Logs {
        let mut last = Logs::new();
        for (partition, at, value) in values {
            last.entry(key(*partition)).or_default().push((*at, (*value).to_owned()));
        }
        last
    }

    #[test]
    fn a_sound_history_has_nothing() {
        let units = [
            unit(1, End::Committed, &[(0, "a"), (1, "b"), (0, "c")], &[]),
            unit(2, End::Aborted, &[(0, "x")], &[]),
            unit(3, End::Unknown, &[(1, "d"), (0, "e")], &[]),
            unit(2, End::Committed, &[(1, "f")], &[(0, 0, "a"), (0, 2, "c"), (1, 0, "b")]),
        ];
        let last = log(&[(0, 0, "a"), (0, 2, "c"), (1, 0, "b"), (1, 4, "f")]);
        assert_eq!(check(&units, &last), Anomalies::default());
    }

    #[test]
    fn each_anomaly_is_found() {
        use End::{Aborted, Committed, Unknown};
        type Case = (Vec<Unit>, Logs, fn(&Anomalies) -> u64);
        let cases: [Case; 10] = [
            (
                vec![unit(1, Committed, &[(0, "a"), (0, "b")], &[]), unit(2, Committed, &[], &[(0, 1, "a")])],
                log(&[(0, 0, "a"), (0, 1, "b")]),
                |found| found.inconsistent,
            ),
            (vec![unit(1, Aborted, &[(0, "a")], &[])], log(&[(0, 0, "a")]), |found| found.aborted_read),
            (vec![unit(1, Unknown, &[(0, "a"), (1, "b")], &[])], log(&[(0, 0, "a")]), |found| found.torn),
            (vec![unit(1, Committed, &[(0, "a")], &[])], log(&[]), |found| found.lost),
            (vec![unit(1, Committed, &[(0, "a")], &[])], log(&[(0, 0, "a"), (0, 1, "a")]), |found| {
                found.duplicate
            }),
            (
                vec![unit(1, Committed, &[(0, "a"), (0, "b")], &[])],
                log(&[(0, 0, "b"), (0, 1, "a")]),
                |found| found.inverted,
            ),
            (vec![], log(&[(0, 0, "a")]), |found| found.phantom),
            (
                vec![
                    unit(1, Committed, &[(0, "a"), (0, "b"), (0, "c")], &[]),
                    unit(2, Committed, &[], &[(0, 0, "a"), (0, 2, "c")]),
                ],
                log(&[(0, 0, "a"), (0, 1, "b"), (0, 2, "c")]),
                |found| found.skipped,
            ),
            (
                vec![
                    unit(1, Committed, &[(0, "a")], &[]),
                    unit(2, Committed, &[], &[(0, 0, "a"), (0, 0, "a")]),
                ],
                log(&[(0, 0, "a")]),
                |found| found.nonmonotonic,
            ),
            (
                vec![
                    unit(1, Committed, &[(0, "a")], &[(1, 0, "b")]),
                    unit(2, Committed, &[(1, "b")], &[(0, 0, "a")]),
                ],
                log(&[(0, 0, "a"), (1, 0, "b")]),
                |found| found.read_cycles,
            ),
        ];
        for (n, (units, last, count)) in cases.iter().enumerate() {
            let found = check(units, last);
            assert!(count(&found) > 0 && found.wrong() > 0, "case {n}: {found:?}");
        }
    }

    #[test]
    fn writes_that_stand_between_each_other_are_counted_and_allowed() {
        let units = [
            unit(1, End::Committed, &[(0, "a"), (1, "b")], &[]),
            unit(2, End::Committed, &[(0, "c"), (1, "d")], &[]),
        ];
        let found = check(&units, &log(&[(0, 0, "a"), (0, 1, "c"), (1, 0, "d"), (1, 1, "b")]));
        assert_eq!((found.wrong(), found.write_cycles), (0, 1));
    }

    #[test]
    fn components_are_those_of_tarjan() {
        let mut of = cycles(7, &[(0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (4, 3), (5, 6)]);
        of.iter_mut().for_each(|component| component.sort_unstable());
        of.sort();
        assert_eq!(of, [vec![0, 1, 2], vec![3, 4]]);
    }
}
