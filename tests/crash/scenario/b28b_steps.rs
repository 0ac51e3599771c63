//! B28b: the broker is killed at each state that a transaction goes through, as its disk says, for commit and for abort.
//!
//! A tracer makes every write and every sync take longer, so that each state can be seen on the disk before the next one is
//! there. What the disk said in the end decides how the transaction must have ended.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rand::{Rng as _, rngs::StdRng};

use super::transaction_state::{Place, State};
use crate::{
    broker::{Launch, Process},
    effort,
    row::Scenario,
    strace::{Injection, strace},
    transactions::{self, Steps, TIMEOUT_S},
};

const CALLS: &str = "pwrite64,pwritev,pwritev2,fdatasync";
/// What each of them takes longer, microseconds.
const DELAY_US: u64 = 25_000;
/// No state is waited for longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// One life of the broker.
#[derive(Debug, Clone, Copy)]
struct Life {
    at: State,
    commit: bool,
    /// Another producer takes the id after the kill, and nobody asks again for the end.
    replaced: bool,
}

/// Where it was killed: with this outcome asked for, or to be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct At {
    commit: bool,
    /// None: nothing of it was on the disk.
    state: Option<State>,
}

/// Every state with both outcomes; what comes after the kill is in turn.
fn lives(round: usize) -> Vec<Life> {
    let states = State::all(transactions::places());
    let both = states.into_iter().flat_map(|at| [true, false].map(|commit| (at, commit)));
    let life = |(n, (at, commit)): (usize, (State, bool))| Life {
        at,
        commit,
        replaced: (n / 2 + n + round).is_multiple_of(2),
    };
    both.enumerate().map(life).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn b28b_a_kill_at_each_state_of_the_coordinator_leaves_all_or_nothing() {
    let _alone = super::alone().await;
    let fault = "`kill -9` at each state of a transaction on the disk: begun, each place added, prepared, each marker written, completed";
    let Some(mut scenario) = Scenario::begin("B28b", fault, "kills") else { return };
    let (dir, mut rng) = (tempfile::tempdir().expect("a directory"), effort::rng("B28b"));
    let injection = Injection::new(&dir.path().join("strace"), CALLS, &format!("delay_enter={DELAY_US}"));
    if strace().is_none() {
        return scenario.skip("strace is not installed");
    }
    let (address, launch) = super::at_a_fixed_address(dir.path());
    let data = dir.path().join("data");
    let launch = launch.with("TRANSACTION_TIMEOUT", &TIMEOUT_S.to_string());
    let slow = launch.clone().under(injection.command().expect("strace is there"));
    let mut lives = chosen(&mut rng);
    let broker = launch.start();
    scenario.started(broker.start);
    let client = transactions::connect(&address).await;
    transactions::prepare(&client).await;
    let mut steps = Steps::new(&address).await;
    steps.init().await.expect("the first one of its id");
    let place = Place::find(&client, &data).await;
    broker.kill();
    let mut broker = slow.start();
    let (mut counts, mut wrong) = (BTreeMap::<At, u64>::new(), 0);
    let all = lives.len() as u64;
    let mut again = if effort::is_long() { lives.len() } else { 0 };
    while let Some(life) = lives.pop() {
        let (state, after) = kill_at(life, broker, &slow, &mut steps, &place, &mut rng, &mut scenario).await;
        broker = after;
        *counts.entry(state).or_default() += 1;
        if state.state != Some(life.at) && again > 0 {
            // The kill came too late for it.
            again -= 1;
            lives.push(life);
        }
        let looked = steps.look(&mut scenario).await;
        wrong += looked.wrong();
        scenario.cycle(all);
        if looked.wrong() > 0 || lives.is_empty() {
            scenario.read(looked.read);
            looked.note(&mut scenario);
            break;
        }
    }
    drop(broker);
    tell(&counts, wrong, &mut scenario);
    scenario.finish();
}

/// How often it was killed at each of them.
fn tell(counts: &BTreeMap<At, u64>, wrong: u64, scenario: &mut Scenario) {
    let all: Vec<At> = State::all(transactions::places())
        .into_iter()
        .flat_map(|state| [At { commit: true, state: Some(state) }, At { commit: false, state: Some(state) }])
        .collect();
    let missed: Vec<_> = all.iter().filter(|at| !counts.contains_key(*at)).collect();
    assert!(!effort::is_long() || wrong > 0 || missed.is_empty(), "never killed at {missed:?}: {counts:?}");
    let of = |commit| {
        let each = counts.iter().filter(|(at, _)| at.commit == commit);
        let name = |at: &At| at.state.map_or_else(|| "not begun".to_owned(), |state| state.to_string());
        each.map(|(at, times)| format!("{} {times}", name(at))).collect::<Vec<_>>().join(", ")
    };
    scenario.note(format!(
        "killed at {} of {} states; to be committed: {}; to be aborted: {}; wrong after any of them {wrong}",
        all.len() - missed.len(),
        all.len(),
        of(true),
        of(false)
    ));
}

/// In a short run a few by chance; in a long one each, some times over.
fn chosen(rng: &mut StdRng) -> Vec<Life> {
    let rounds = usize::try_from(effort::cycles(1, 3)).expect("a few");
    let mut all: Vec<Life> = (0..rounds).flat_map(lives).collect();
    if !effort::is_long() {
        let pick = |_| all[rng.random_range(0..all.len())];
        all = (0..5).map(pick).collect();
    }
    all.reverse();
    all
}

/// Runs a transaction until the disk says that it is in the state, kills the broker, and starts it again; which state it was
/// in then, with the outcome that was asked for.
async fn kill_at(
    life: Life,
    broker: Process,
    launch: &Launch,
    steps: &mut Steps,
    place: &Place,
    rng: &mut StdRng,
    scenario: &mut Scenario,
) -> (At, Process) {
    let producer = steps.init().await.expect("nothing keeps it");
    let before = place.look();
    let work = steps.start(producer, life.commit);
    let began = Instant::now();
    while place.since(&before) < Some(life.at) && began.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Before the sync of what is written, in it, or behind it.
    tokio::time::sleep(Duration::from_micros(rng.random_range(0..DELAY_US))).await;
    broker.kill();
    let was = place.since(&before);
    if life.replaced {
        work.abort();
    }
    let broker = launch.start();
    scenario.started(broker.start);
    let mut committed = life.commit;
    if life.replaced {
        steps.init().await.expect("nothing keeps it");
        committed &= was >= Some(State::PREPARED);
    } else if let Err(error) = work.await.expect("it does not panic") {
        scenario.violated(&format!("{life:?}, killed at {was:?}: the producer was refused: {error}"));
    }
    steps.ended(committed);
    (At { commit: life.commit, state: was }, broker)
}
