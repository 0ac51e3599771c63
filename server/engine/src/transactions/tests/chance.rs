//! Producers of one transactional id that come, write, end, repeat and are late; a coordinator that crashes between any two steps.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

#[derive(Debug, Clone)]
enum Event {
    /// A process begins: it gets a producer of its own.
    Init,
    /// A process, of those that there ever were.
    Begin(Index),
    Write(Index, u32),
    End(Index, bool),
    /// What was sent before comes again.
    Late(Index),
    Pass(i64),
    /// The coordinator goes on with what is on the disk.
    Sweep,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        1 => Just(Event::Init),
        4 => any::<Index>().prop_map(Event::Begin),
        5 => (any::<Index>(), 0..3u32).prop_map(|(who, place)| Event::Write(who, place)),
        5 => (any::<Index>(), any::<bool>()).prop_map(|(who, commit)| Event::End(who, commit)),
        3 => any::<Index>().prop_map(Event::Late),
        1 => (1..2_000i64).prop_map(Event::Pass),
        1 => Just(Event::Sweep),
    ]
}

/// What a call says when it is sent.
#[derive(Debug, Clone)]
enum Call {
    Init,
    Begin(Producer),
    Write(Producer, u32),
    End(Producer, Outcome),
}

/// A partition: what is open there, and the epoch that counts.
#[derive(Debug, Default)]
struct Kept {
    open: BTreeSet<u16>,
    epoch: u16,
}

/// The coordinator's disk, the partitions, and what was told to whom.
#[derive(Debug, Default)]
struct World {
    disk: Option<Transaction>,
    places: BTreeMap<u32, Kept>,
    /// Of transactions (by epoch; the test's producer keeps its id): what markers said.
    outcomes: BTreeMap<u16, Outcome>,
    told: BTreeMap<u16, Outcome>,
    processes: Vec<Producer>,
    sent: Vec<Call>,
    now: i64,
    /// So many more steps until the coordinator crashes.
    until_crash: Option<usize>,
}

/// The coordinator crashed.
struct Crash;

impl World {
    fn step(&mut self) -> Result<(), Crash> {
        match &mut self.until_crash {
            Some(0) => {
                self.until_crash = None;
                Err(Crash)
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn write(&mut self, next: Transaction) -> Result<(), Crash> {
        self.step()?;
        if let (Some(Phase::Prepare(before)), Phase::Prepare(after)) =
            (self.disk.as_ref().map(|disk| disk.phase), next.phase)
        {
            assert_eq!(before, after, "an outcome never changes");
        }
        self.disk = Some(next);
        self.step()
    }

    /// Markers, and the completion, of what is on the disk.
    fn finish(&mut self) -> Result<(), Crash> {
        let prepared = self.disk.clone().expect("a state");
        let Phase::Prepare(outcome) = prepared.phase else {
            panic!("a marker before Prepare was on the disk")
        };
        let over = prepared.epoch - 1;
        for place in &prepared.places {
            self.step()?;
            let Place::Partition { partition, .. } = place else { continue };
            let kept = self.places.entry(partition.0).or_default();
            kept.epoch = kept.epoch.max(prepared.epoch);
            let before = self.outcomes.insert(over, outcome);
            assert!(before.is_none_or(|before| before == outcome), "both outcomes of one transaction");
            kept.open.retain(|epoch| *epoch == prepared.epoch);
        }
        self.write(prepared.completed(at(self.now)).expect("a Prepare"))
    }

    fn run<T>(
        &mut self,
        event: impl Fn(Option<&Transaction>, Timestamp) -> Result<Step<T>, Refusal>,
    ) -> Result<Result<T, Refusal>, Crash> {
        loop {
            match event(self.disk.as_ref(), at(self.now)) {
                Err(refusal) => return Ok(Err(refusal)),
                Ok(Step::Answer(answer)) => return Ok(Ok(answer)),
                Ok(Step::Write(next, answer)) => {
                    self.write(next)?;
                    return Ok(Ok(answer));
                }
                Ok(Step::End(next)) => {
                    self.write(next)?;
                    self.finish()?;
                }
                Ok(Step::Finish) => self.finish()?,
            }
        }
    }

    fn call(&mut self, call: &Call) -> Result<(), Crash> {
        match *call {
            Call::Init => {
                let init = |state: Option<&Transaction>, now| {
                    Ok(match state {
                        Some(state) => state.init(99, TIMEOUT_MS, now),
                        None => {
                            let state = Transaction::new(7, TIMEOUT_MS, now);
                            let producer = state.producer();
                            Step::Write(state, producer)
                        }
                    })
                };
                if let Ok(producer) = self.run(init)? {
                    assert!(self.processes.iter().all(|other| other.epoch < producer.epoch), "given twice");
                    self.processes.push(producer);
                }
            }
            Call::Begin(by) => drop(self.run(|state, now| known(state)?.begin(by, TIMEOUT_MS, now))?),
            Call::Write(by, number) => {
                let fenced = self.places.get(&number).is_some_and(|kept| kept.epoch > by.epoch);
                let open = self.places.get(&number).is_some_and(|kept| kept.open.contains(&by.epoch));
                if fenced
                    || !open && self.run(|state, now| known(state)?.add(by, &place(number), now))?.is_err()
                {
                    return Ok(());
                }
                self.step()?;
                // Where it is open the outcome takes in what comes before the marker; nowhere else does anything begin.
                assert!(
                    open || !self.outcomes.contains_key(&by.epoch),
                    "begun in a transaction that is over"
                );
                assert!(self.will_end(by, number), "nobody will end what is written there");
                self.places.entry(number).or_default().open.insert(by.epoch);
            }
            Call::End(by, outcome) => {
                if let Ok(next) = self.run(|state, now| known(state)?.end(by, outcome, now))? {
                    assert_eq!(next, by.epoch + 1);
                    let told = self.told.insert(by.epoch, outcome);
                    assert!(told.is_none_or(|told| told == outcome), "told otherwise before");
                    let open = self.places.values().any(|kept| kept.open.contains(&by.epoch));
                    assert!(!open, "told before every marker was written");
                    if let Some(process) = self.processes.iter_mut().find(|process| process.epoch == by.epoch)
                    {
                        process.epoch = next;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the coordinator knows on its disk that the transaction writes there, and that it is not over.
    fn will_end(&self, by: Producer, number: u32) -> bool {
        self.disk.as_ref().is_some_and(|disk| {
            let epoch = match disk.phase {
                Phase::Ongoing => disk.epoch,
                Phase::Prepare(_) => disk.epoch - 1,
                Phase::Empty | Phase::Complete(_) => return false,
            };
            epoch == by.epoch && disk.places.contains(&place(number))
        })
    }

    fn sweep(&mut self) -> Result<(), Crash> {
        let swept = self.run(|state, now| {
            let Some(state) = state else { return Ok(Step::Answer(())) };
            Ok(match (state.expire(now), state.phase) {
                (Some(aborted), _) => Step::End(aborted),
                (None, Phase::Prepare(_)) => Step::Finish,
                (None, _) => Step::Answer(()),
            })
        });
        swept.map(drop)
    }
}

fn known(state: Option<&Transaction>) -> Result<&Transaction, Refusal> {
    state.ok_or(Refusal::NotBegun)
}

fn run(events: &[(Event, Option<usize>)]) -> World {
    let mut world = World::default();
    for (event, crash) in events {
        world.until_crash = *crash;
        let processes = world.processes.clone();
        let who = |index: &Index| (!processes.is_empty()).then(|| processes[index.index(processes.len())]);
        let call = match event {
            Event::Init => Some(Call::Init),
            Event::Begin(index) => who(index).map(Call::Begin),
            Event::Write(index, place) => who(index).map(|by| Call::Write(by, *place)),
            Event::End(index, commit) => {
                let outcome = if *commit { Outcome::Commit } else { Outcome::Abort };
                who(index).map(|by| Call::End(by, outcome))
            }
            Event::Late(index) if !world.sent.is_empty() => {
                Some(world.sent[index.index(world.sent.len())].clone())
            }
            Event::Late(_) => None,
            Event::Pass(ms) => {
                world.now += ms;
                None
            }
            Event::Sweep => {
                drop(world.sweep());
                None
            }
        };
        if let Some(call) = call {
            drop(world.call(&call));
            world.sent.push(call);
        }
        world.until_crash = None;
    }
    world
}

proptest! {
    #[test]
    fn there_is_one_outcome_and_everybody_is_told_it(
        events in prop::collection::vec((event(), prop::option::weighted(0.3, 0..8usize)), 1..80),
    ) {
        let mut world = run(&events);
        // Nothing stays open: at the latest the timeout ends it.
        world.now += i64::from(TIMEOUT_MS) + 1;
        prop_assert!(world.sweep().is_ok());
        prop_assert!(world.places.values().all(|kept| kept.open.is_empty()), "{:?}", world.places);
        for (epoch, told) in &world.told {
            prop_assert!(world.outcomes.get(epoch).is_none_or(|outcome| outcome == told));
        }
    }
}
