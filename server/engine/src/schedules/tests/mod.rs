//! The book by chance: what every prefix of a log says, also one whose beginning was cut, beside a list of what must be there.

use std::collections::BTreeMap;

use flymq_types::{Offset, TopicId, TopicName};
use proptest::prelude::*;

use super::book::Book;
use super::id::Key;
use super::record::{Change, Shot, decode, encode};
use crate::durable_map::DurableMap as _;

const TOPICS: u8 = 3;

fn topic(number: u8) -> (TopicId, TopicName) {
    (TopicId::from_bytes([number; 16]), TopicName::new(&format!("t{number}")).unwrap())
}

/// What a test may do next; what does not fit the state is left out.
#[derive(Debug, Clone, Copy)]
enum Step {
    Add {
        topic: u8,
        due: i64,
        recurring: bool,
    },
    /// The first few that are due.
    Fire {
        now: i64,
        most: usize,
    },
    /// The n-th batch ends; recurring messages are due so much later, and all are put back where it was refused.
    End {
        which: usize,
        refused: bool,
    },
    Cancel {
        which: usize,
    },
    Move {
        which: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..TOPICS, 0i64..50, prop::bool::weighted(0.2))
            .prop_map(|(topic, due, recurring)| Step::Add { topic, due, recurring }),
        2 => (0i64..60, 1usize..4).prop_map(|(now, most)| Step::Fire { now, most }),
        2 => (any::<usize>(), prop::bool::weighted(0.2)).prop_map(|(which, refused)| Step::End { which, refused }),
        1 => any::<usize>().prop_map(|which| Step::Cancel { which }),
        1 => any::<usize>().prop_map(|which| Step::Move { which }),
    ]
}

/// A book with the log that it came from, and what the test knows.
#[derive(Default)]
struct World {
    book: Book,
    log: Vec<Change>,
    /// Pending: topic, recurring, where it stands.
    pending: BTreeMap<Key, (u8, bool, u64)>,
    /// On their way, by topic.
    firing: BTreeMap<u8, (Shot, Vec<Key>)>,
    /// Times that each message was delivered, by number.
    delivered: BTreeMap<u64, u32>,
    next: u64,
}

impl World {
    fn write(&mut self, change: Change) -> u64 {
        let at = self.log.len() as u64;
        // As it comes back from the disk.
        let (key, value) = encode(&change);
        let (key, value) = (key, value.filter(|value| !value.is_empty()));
        let read = match &change {
            Change::Message { .. } => change.clone(),
            _ => decode(&key, value.as_deref()).expect("this build's"),
        };
        self.book.apply_at(read, Offset(at));
        self.log.push(change);
        at
    }

    fn message(&mut self, number: u8, key: Key, recurring: bool) {
        let (id, name) = topic(number);
        let at = self.write(Change::Message { topic: id, name, key, recurring, body: Default::default() });
        self.pending.insert(key, (number, recurring, at));
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Add { topic, due, recurring } => {
                self.next += 1;
                self.message(topic, (due, self.next), recurring);
            }
            Step::Fire { now, most } => self.fire(now, most),
            Step::End { which, refused } => self.end(which, refused),
            Step::Cancel { which } => {
                if let Some((key, number)) = self.nth(which) {
                    self.write(Change::Cancelled { topic: topic(number).0, key });
                    self.pending.remove(&key);
                }
            }
            Step::Move { which } => {
                if let Some((key, number)) = self.nth(which) {
                    let recurring = self.pending[&key].1;
                    self.message(number, key, recurring);
                }
            }
        }
    }

    /// Of those that are not on their way.
    fn nth(&self, which: usize) -> Option<(Key, u8)> {
        let away: Vec<Key> = self.firing.values().flat_map(|(_, keys)| keys.clone()).collect();
        let here: Vec<_> = self.pending.iter().filter(|(key, _)| !away.contains(key)).collect();
        (!here.is_empty()).then(|| here[which % here.len()]).map(|(key, one)| (*key, one.0))
    }

    fn fire(&mut self, now: i64, most: usize) {
        for number in 0..TOPICS {
            let due = self.book.due(now, most, 100);
            let of_topic = |at| self.book.goal(at).id == topic(number).0;
            let keys: Vec<Key> = due.iter().filter(|(_, at)| of_topic(*at)).map(|(key, _)| *key).collect();
            // The first that are due of a topic with nothing on its way, in order.
            let expected = self.pending.iter().filter(|(key, one)| key.0 <= now && one.0 == number);
            let expected: Vec<Key> = expected.map(|(key, _)| *key).take(most).collect();
            assert_eq!(keys, if self.firing.contains_key(&number) { Vec::new() } else { expected });
            if keys.is_empty() {
                continue;
            }
            self.next += 1;
            let shot = Shot { producer: self.next, epoch: 0 };
            let place = (topic(number).0, 0);
            let ticket = self.book.claim_place(place).expect("nothing is on its way");
            self.book.name_shot(place, ticket, shot);
            self.write(Change::Firing { topic: topic(number).0, partition: 0, shot, keys: keys.clone() });
            self.firing.insert(number, (shot, keys));
        }
    }

    fn end(&mut self, which: usize, refused: bool) {
        let count = self.firing.len();
        let Some(number) = (count > 0).then(|| *self.firing.keys().nth(which % count).expect("there")) else {
            return;
        };
        let (shot, keys) = self.firing.remove(&number).expect("there");
        let recurring = |key: &Key| self.pending.get(key).is_some_and(|one| one.1);
        let next = |key: &Key| if refused { Some(key.0) } else { recurring(key).then_some(key.0 + 10) };
        let next: Vec<(Key, Option<i64>)> = keys.iter().map(|key| (*key, next(key))).collect();
        self.write(Change::Fired { topic: topic(number).0, partition: 0, shot, next: next.clone() });
        for (key, due) in next {
            let one = self.pending.remove(&key).expect("it was pending");
            if !refused {
                *self.delivered.entry(key.1).or_default() += 1;
            }
            if let Some(due) = due {
                self.pending.insert((due, key.1), one);
            }
        }
    }

    fn check(&self, book: &Book) {
        let mut there = BTreeMap::new();
        for number in 0..TOPICS {
            let listed = book.list(topic(number).0, None, usize::MAX);
            there.extend(listed.into_iter().map(|(key, at)| (key, (number, at.offset))));
        }
        let away: Vec<Key> = self.firing.values().flat_map(|(_, keys)| keys.clone()).collect();
        let expected = self.pending.iter().filter(|(key, _)| !away.contains(key));
        let expected: BTreeMap<_, _> = expected.map(|(key, one)| (*key, (one.0, one.2))).collect();
        assert_eq!(there, expected);
        assert_eq!(book.len(), self.pending.len());
        for (number, (shot, _)) in &self.firing {
            assert!(book.is_firing((topic(*number).0, 0), *shot));
        }
    }
}

proptest! {
    #[test]
    fn the_log_says_what_is_pending_also_without_what_nothing_needs(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::default();
        for step in steps {
            world.take(step);
            world.check(&world.book);
            let (needed, _) = world.book.needed(0, 1);
            let from = needed.map_or(world.log.len(), |at| at as usize);
            for from in [0, from] {
                let mut read = Book::default();
                for (at, change) in world.log.iter().enumerate().skip(from) {
                    read.apply_at(change.clone(), Offset(at as u64));
                }
                world.check(&read);
                // A leader that takes over has the same.
                let mut taken = Book::default();
                taken.replace(0, 1, read);
                world.check(&taken);
            }
        }
        // What is delivered once is not pending, and what comes once came once.
        for (number, times) in &world.delivered {
            let recurring = world.log.iter().any(|change| matches!(
                change, Change::Message { key, recurring: true, .. } if key.1 == *number
            ));
            prop_assert!(recurring || *times == 1);
        }
    }
}
