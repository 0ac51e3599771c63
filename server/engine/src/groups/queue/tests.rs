//! The rules against a model that knows of each record how often it was handed out, who holds it, and how it ended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use flymq_types::{Timestamp, TopicName};
use proptest::prelude::*;

use super::acquire::{Ask, Offered, WINDOW, acquire};
use super::state::{Act, Cause, Delivery, Fate, NotHeld, Phase, RetryPolicy};

const POLICY: RetryPolicy =
    RetryPolicy { max_retries: Some(2), delay_ms: 10, backoff_percent: 200, max_delay_ms: 600_000 };
const LOCK: Duration = Duration::from_millis(50);

/// What is kept of one partition in a group, as the book has it.
#[derive(Default)]
struct Kept {
    records: BTreeMap<u64, Delivery>,
    next: u64,
    now: i64,
}

fn topic() -> TopicName {
    TopicName::new("t").unwrap()
}

impl Kept {
    fn now(&self) -> Timestamp {
        Timestamp(self.now)
    }

    fn set(&mut self, offset: u64, kept: Option<Delivery>) {
        match kept {
            Some(kept) => drop(self.records.insert(offset, kept)),
            None => drop(self.records.remove(&offset)),
        }
    }

    fn over(&mut self, offset: u64) {
        let settled = Delivery { phase: Phase::Settled, ..Delivery::untouched(&topic(), None, Timestamp(0)) };
        self.set(offset, (offset >= self.next).then_some(settled));
    }

    fn acquire(&mut self, member: &str, max: usize, ordered: bool, keys: &[Option<u32>]) -> Vec<u64> {
        let records = (self.next..keys.len() as u64).map(|offset| (offset, keys[offset as usize]));
        let offered = Offered { from: self.next, upto: keys.len() as u64, records: records.collect() };
        let ask = Ask { member: member.into(), max, lock: LOCK, ordered, policy: POLICY };
        let kept: Vec<_> = self.records.iter().map(|(offset, kept)| (*offset, kept.clone())).collect();
        let view = kept.iter().map(|(offset, kept)| (*offset, kept));
        let taken = acquire(&topic(), view, self.next, &offered, &ask, self.now());
        for (offset, kept) in taken.changes {
            self.set(offset, kept);
        }
        self.next = taken.next.unwrap_or(self.next);
        taken.records.into_iter().map(|(offset, _)| offset).collect()
    }

    fn act(&mut self, offset: u64, key: Option<u32>, by: &str, act: &Act) -> Result<(), NotHeld> {
        let fate = match self.records.get(&offset) {
            Some(known) => known.act(by, act, self.now())?,
            None => Delivery::first_act((&topic(), key), offset < self.next, act, self.now())?,
        };
        match fate {
            Fate::Unchanged => {}
            Fate::Kept(kept) => self.set(offset, Some(kept)),
            Fate::Over => self.over(offset),
        }
        Ok(())
    }

    /// Every record that is to be moved is.
    fn bury(&mut self) -> Vec<u64> {
        let doomed = |kept: &Delivery| matches!(kept.phase, Phase::Doomed { .. });
        let all: Vec<_> = self.records.iter().filter(|(_, kept)| doomed(kept)).map(|(at, _)| *at).collect();
        all.iter().for_each(|offset| self.over(*offset));
        all
    }
}

#[derive(Debug, Clone)]
enum Step {
    Acquire { member: usize, max: usize },
    Act { member: usize, offset: u64, act: usize },
    Wait { ms: i64 },
    Bury,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..3_usize, 1..5_usize).prop_map(|(member, max)| Step::Acquire { member, max }),
        6 => (0..3_usize, 0..20_u64, 0..5_usize).prop_map(|(member, offset, act)| Step::Act { member, offset, act }),
        2 => (1..80_i64).prop_map(|ms| Step::Wait { ms }),
        1 => Just(Step::Bury),
    ];
    proptest::collection::vec(step, 1..120)
}

fn act_of(number: usize) -> Act {
    let error: Arc<str> = "boom".into();
    match number {
        0 => Act::Accept,
        1 => Act::Fail { policy: POLICY, error },
        2 => Act::Reject { error },
        3 => Act::Release,
        _ => Act::Extend(LOCK),
    }
}

proptest! {
    /// One reader at a time holds a record; each ends once, accepted or buried; none is lost; failures are counted; with order
    /// no record of a key is handed out while an earlier one is open.
    #[test]
    fn each_record_ends_exactly_once(steps in steps(), ordered: bool, keys in proptest::collection::vec(proptest::option::of(0..3_u32), 20)) {
        let members = ["a", "b", "c"];
        let mut kept = Kept::default();
        let mut held: BTreeMap<u64, (&str, i64)> = BTreeMap::new();
        let (mut accepted, mut buried) = (BTreeSet::new(), BTreeSet::new());
        for step in steps {
            match step {
                Step::Wait { ms } => kept.now += ms,
                Step::Bury => for offset in kept.bury() {
                    prop_assert!(buried.insert(offset) && !accepted.contains(&offset), "{offset} ends twice");
                },
                Step::Acquire { member, max } => {
                    let got = kept.acquire(members[member], max, ordered, &keys);
                    prop_assert!(got.len() <= max);
                    for &offset in &got {
                        prop_assert!(!accepted.contains(&offset) && !buried.contains(&offset), "{offset} is over");
                        let other = held.insert(offset, (members[member], kept.now + 50));
                        prop_assert!(other.is_none_or(|(_, until)| until <= kept.now), "{offset} is held");
                        let key = keys[offset as usize];
                        let same = |at: &u64| ordered && key.is_some() && keys[*at as usize] == key;
                        let before = (0..offset).filter(|at| !accepted.contains(at) && !buried.contains(at)).find(same);
                        prop_assert_eq!(before, None, "{} overtakes one of its key", offset);
                    }
                }
                Step::Act { member, offset, act } => {
                    let (by, act) = (members[member], act_of(act));
                    let before = kept.records.get(&offset).cloned();
                    let done = kept.act(offset, keys[offset as usize], by, &act);
                    if let (Ok(()), Some((holder, _)), Some(Phase::Locked { .. })) = (&done, held.get(&offset), before.as_ref().map(|b| &b.phase)) {
                        prop_assert_eq!(*holder, by, "a stranger answers for {}", offset);
                    }
                    if done.is_ok() {
                        match act {
                            Act::Accept => drop(accepted.insert(offset)),
                            Act::Extend(_) => drop(held.insert(offset, (by, kept.now + 50))),
                            _ => drop(held.remove(&offset)),
                        }
                        prop_assert!(!(accepted.contains(&offset) && buried.contains(&offset)), "{offset} ends twice");
                    } else {
                        prop_assert_eq!(before, kept.records.get(&offset).cloned(), "a refusal changes nothing");
                    }
                }
            }
            let over = |offset: &u64| accepted.contains(offset) || buried.contains(offset);
            for offset in 0..kept.next {
                let open = kept.records.get(&offset).is_some_and(Delivery::is_open);
                prop_assert_eq!(open, !over(&offset), "{} is neither open nor over", offset);
            }
        }
        // Whoever goes on comes to an end: nothing is stuck.
        for _ in 0..200 {
            kept.now += 1_000;
            for offset in kept.acquire("z", 100, ordered, &keys) {
                kept.act(offset, None, "z", &Act::Accept).unwrap();
                accepted.insert(offset);
            }
            buried.extend(kept.bury());
        }
        prop_assert_eq!(accepted.len() + buried.len(), keys.len());
        prop_assert!(kept.records.is_empty() && kept.next == keys.len() as u64);
    }
}

#[test]
fn waits_double_and_are_bounded() {
    let policy = RetryPolicy { max_retries: None, delay_ms: 1_000, ..POLICY };
    let waits: Vec<_> = [1, 2, 3, 10, 11, 100].map(|attempts| policy.delay_ms(attempts)).into();
    assert_eq!(waits, [1_000, 2_000, 4_000, 512_000, 600_000, 600_000]);
}

#[test]
fn a_record_is_redelivered_as_often_as_the_policy_says() {
    let mut record = Delivery::untouched(&topic(), None, Timestamp(0));
    for attempt in 1..=3 {
        record = record.failed(&POLICY, "x".into(), Timestamp(attempt));
        assert_eq!(matches!(record.phase, Phase::Doomed { .. }), attempt == 3, "after {attempt}");
    }
    assert_eq!((record.first_failed, record.last_failed, record.attempts), (Timestamp(1), Timestamp(3), 3));
    let endless = RetryPolicy { max_retries: None, delay_ms: 0, ..POLICY };
    let failed = record.failed(&endless, "x".into(), Timestamp(9));
    assert!(matches!(failed.phase, Phase::Waiting { .. }));
}

#[test]
fn an_aborted_move_leaves_the_record_where_it_was() {
    let doomed = Delivery {
        phase: Phase::Doomed { by: Some((1, 2)) },
        ..Delivery::untouched(&topic(), None, Timestamp(0))
    };
    assert_eq!(doomed.moved(true), Fate::Over);
    assert!(matches!(doomed.moved(false), Fate::Kept(Delivery { phase: Phase::Doomed { by: None }, .. })));
    let replay = Delivery { cause: Cause::Replay, ..doomed };
    assert_eq!(replay.moved(false), Fate::Over, "a dead letter still, of which nothing is kept");
}

#[test]
fn the_window_is_bounded() {
    let mut kept = Kept::default();
    let keys = vec![None; WINDOW + 10];
    assert_eq!(kept.acquire("a", usize::MAX, false, &keys).len(), WINDOW);
    assert_eq!(kept.acquire("a", usize::MAX, false, &keys).len(), 0);
    kept.act(7, None, "a", &Act::Accept).unwrap();
    assert_eq!(kept.acquire("a", usize::MAX, false, &keys), [WINDOW as u64]);
}
