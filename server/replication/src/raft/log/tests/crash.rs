//! Power cuts between any two steps of the disk.

use flymq_types::Rng;

use super::*;

/// What openraft was told is durable.
#[derive(Debug, Clone, Default, PartialEq)]
struct Promised {
    entries: Vec<Entry>,
    purged: Option<LogId>,
    vote: Option<Vote>,
}

impl Promised {
    fn of(log: &RaftLog) -> Self {
        let vote = log.files.lock().vote.vote();
        Self { entries: kept(log), purged: log.window.read().purged(), vote }
    }
}

/// Does one step of a node's life as `rng` says; the promise after it, also if it fails.
async fn step(log: &mut RaftLog, rng: &dyn Rng, term: &mut u64, promised: &Promised) -> (Promised, bool) {
    let mut next = promised.clone();
    let last = promised.entries.last().map(|entry| entry.log_id).or(promised.purged);
    let behind = last.map_or(0, |id| id.index + 1);
    let done = match rng.next_u64() % 8 {
        0 => {
            *term += 1;
            next.vote = Some(Vote::new(*term, 1));
            log.save_vote(&Vote::new(*term, 1)).await.is_ok()
        }
        1 if promised.entries.len() > 4 => {
            let since = promised.entries[promised.entries.len() - 2].log_id;
            next.entries.retain(|entry| entry.log_id.index < since.index);
            log.truncate(since).await.is_ok()
        }
        2 | 3 if promised.entries.len() > 6 => {
            let upto = promised.entries[3].log_id;
            next.entries.drain(..4);
            next.purged = Some(upto);
            log.purge(upto).await.is_ok()
        }
        count => {
            let entries: Vec<Entry> = (0..=count % 3).map(|n| entry((*term).max(1), behind + n)).collect();
            next.entries.extend(entries.clone());
            append(log, entries).await.is_ok()
        }
    };
    (next, done)
}

#[tokio::test]
async fn at_any_step_loses_no_entry_cut_or_vote_that_was_promised() {
    let mut rewritten = false;
    for seed in 0..300u64 {
        let disk = disk();
        let rng = SeededRng::new(seed);
        let mut promised = Promised::default();
        let mut under_way = promised.clone();
        let mut term = 0;
        for round in 0..4 {
            let mut log = open(&disk).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            let found = Promised::of(&log);
            assert!(
                found == promised || found == under_way,
                "seed {seed} round {round}: found {found:?}\npromised {promised:?}\nor {under_way:?}"
            );
            promised = found;
            disk.stop_after(rng.next_u64() % 60);
            loop {
                let (next, done) = step(&mut log, &rng, &mut term, &promised).await;
                under_way = next;
                if !done {
                    break;
                }
                promised = under_way.clone();
            }
            rewritten |= disk.files().iter().any(|path| path.ends_with("log.tmp"));
            drop(log);
            disk.crash(&rng);
        }
    }
    assert!(rewritten, "no crash hit a rewrite of the log");
}

/// Creating the files takes several steps; a crash between any two leaves a directory that opens.
#[tokio::test]
async fn while_the_files_are_made_harms_nothing() {
    for steps in 0..40 {
        for seed in 0..4 {
            let disk = disk();
            disk.stop_after(steps);
            let opened = open(&disk).is_ok();
            disk.crash(&SeededRng::new(seed));
            let log = open(&disk).unwrap_or_else(|error| panic!("{steps} steps, seed {seed}: {error}"));
            assert_eq!(Promised::of(&log), Promised::default());
            assert!(steps < 39 || opened, "39 steps are enough");
        }
    }
}
