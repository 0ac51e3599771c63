//! B9: reads and writes that are interrupted, refused once, or that claim to have written what they did not.

use std::{path::Path, time::Duration};

use rand::{Rng as _, rngs::StdRng};

use crate::{
    checker::Fault,
    effort,
    load::Writers,
    row::Scenario,
    run::Run,
    strace::{Injection, strace},
};

const WRITES: &str = "pwrite64,pwritev,pwritev2";
/// Reads that the program's own start makes.
const LOADER: u32 = 10;
/// How long the broker lives under load, ms.
const LIFE_MS: std::ops::Range<u64> = 300..900;

/// What a call answers.
#[derive(Debug, Clone, Copy)]
enum Answer {
    /// A signal came: do it again.
    Interrupted,
    /// Not now. A file never says so; whoever hears it must not take it for done.
    Again,
    /// The same of reads.
    ReadInterrupted,
    /// Seven bytes are written, says the disk; there are none.
    Lie,
}

#[tokio::test(flavor = "multi_thread")]
async fn b09_an_interrupted_call_makes_no_wrong_bytes() {
    let _alone = super::alone().await;
    let fault = "EINTR and EAGAIN on reads and writes, writes that claim 7 bytes (strace)";
    let Some(mut scenario) = Scenario::begin("B9", fault, "lives") else { return };
    if strace().is_none() {
        return scenario.skip("strace is not installed");
    }
    let (cycles, mut rng) = (effort::cycles(4, 60), effort::rng("B9"));
    let dir = tempfile::tempdir().expect("a directory");
    let mut injected = 0;
    for cycle in 0..cycles {
        let answers = [Answer::Interrupted, Answer::Again, Answer::ReadInterrupted, Answer::Lie];
        let answer = answers[usize::try_from(cycle % 4).expect("below 4")];
        let place = dir.path().join(cycle.to_string());
        injected += life(&mut scenario, &mut rng, answer, &place).await;
        scenario.cycle(cycles);
    }
    assert!(injected > 0, "no call was ever hit");
    scenario.note(format!("{injected} calls answered so"));
    scenario.finish();
}

/// One life with that answer, one without; returns how often it was given.
async fn life(scenario: &mut Scenario, rng: &mut StdRng, answer: Answer, place: &Path) -> u64 {
    std::fs::create_dir(place).expect("a directory");
    let (first, step) = (rng.random_range(5..40), rng.random_range(2..9));
    let (call, what, fault) = match answer {
        Answer::Interrupted => (WRITES, format!("error=EINTR:when={first}+{step}"), Fault::Kill),
        Answer::Again => (WRITES, format!("error=EAGAIN:when={first}"), Fault::Kill),
        Answer::ReadInterrupted => {
            ("pread64", format!("error=EINTR:when={}+{step}", LOADER + first), Fault::Kill)
        }
        Answer::Lie => (WRITES, format!("retval=7:when={first}"), Fault::Lie),
    };
    let injection = Injection::new(&place.join("strace"), call, &what);
    let mut run = Run::new("b9", &place.join("data"), fault);
    let broker = run.start(scenario).await;
    broker.kill();
    let launch = run.launch.clone().under(injection.command().expect("strace is there"));
    let broker = run.start_with(&launch, scenario).await;
    let clients = run.load(&broker, Writers::All).await;
    tokio::time::sleep(Duration::from_millis(rng.random_range(LIFE_MS))).await;
    broker.kill();
    run.ended(clients).await;
    let injected = injection.injected().len() as u64;
    // A disk that lies about a vital file may keep the broker from starting, with a word about it.
    match run.launch.try_start() {
        Ok(broker) => {
            scenario.started(broker.start);
            run.look(&broker, true).await;
            broker.kill();
        }
        Err(refusal) if fault == Fault::Lie && refusal.log.iter().any(|line| line.contains("damaged")) => {}
        Err(refusal) => scenario.boot_failed(&refusal.log.join("\n")),
    }
    run.finish(scenario);
    injected
}
