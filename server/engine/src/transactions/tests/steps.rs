//! One event after the other.

use super::*;

/// Ongoing with epoch 0 of producer 7, begun at 10, with one partition.
fn ongoing() -> Transaction {
    let state = Transaction::new(7, TIMEOUT_MS, at(0));
    let (state, ()) = written(state.begin(by(7, 0), TIMEOUT_MS, at(10)).unwrap());
    written(state.add(by(7, 0), &place(0), at(11)).unwrap()).0
}

#[test]
fn a_transaction_is_begun_written_and_committed() {
    let state = ongoing();
    assert_eq!((state.phase, state.epoch, state.places.len()), (Phase::Ongoing, 0, 1));
    assert_eq!(state.add(by(7, 0), &place(0), at(12)), Ok(Step::Answer(())), "it is there already");
    let prepared = ended(state.end(by(7, 0), Outcome::Commit, at(20)).unwrap());
    assert_eq!((prepared.phase, prepared.epoch), (Phase::Prepare(Outcome::Commit), 1));
    assert_eq!(prepared.places, state.places, "they all get a marker");
    assert_eq!(prepared.end(by(7, 0), Outcome::Commit, at(21)), Ok(Step::Finish));
    assert_eq!(prepared.begin(by(7, 1), TIMEOUT_MS, at(21)), Ok(Step::Finish), "it waits");
    let complete = prepared.completed(at(22)).unwrap();
    assert_eq!((complete.phase, complete.epoch), (Phase::Complete(Outcome::Commit), 1));
    assert!(complete.places.is_empty() && complete.completed(at(23)).is_none());
    assert_eq!(complete.end(by(7, 0), Outcome::Commit, at(24)), Ok(Step::Answer(1)));
    assert!(matches!(complete.begin(by(7, 1), TIMEOUT_MS, at(25)), Ok(Step::Write(..))));
}

#[test]
fn a_begin_may_be_repeated_until_something_is_written() {
    let state = Transaction::new(7, TIMEOUT_MS, at(0));
    assert_eq!(state.add(by(7, 0), &place(0), at(1)), Err(Refusal::NotBegun));
    assert_eq!(state.end(by(7, 0), Outcome::Commit, at(1)), Err(Refusal::NotBegun));
    let (state, ()) = written(state.begin(by(7, 0), TIMEOUT_MS, at(10)).unwrap());
    assert_eq!(state.begin(by(7, 0), TIMEOUT_MS, at(11)), Ok(Step::Answer(())));
    assert_eq!(ongoing().begin(by(7, 0), TIMEOUT_MS, at(12)), Err(Refusal::Open));
}

#[test]
fn the_same_end_is_answered_again_and_the_other_one_refused() {
    let prepared = ended(ongoing().end(by(7, 0), Outcome::Abort, at(20)).unwrap());
    let complete = prepared.completed(at(21)).unwrap();
    let (next, ()) = written(complete.begin(by(7, 1), TIMEOUT_MS, at(22)).unwrap());
    for state in [prepared, complete.clone(), next] {
        let other = state.end(by(7, 0), Outcome::Commit, at(30));
        assert_eq!(other, Err(Refusal::Ended(Outcome::Abort)), "{:?}", state.phase);
        assert_eq!(state.add(by(7, 0), &place(1), at(30)), Err(Refusal::Ended(Outcome::Abort)));
    }
    assert_eq!(complete.end(by(7, 0), Outcome::Abort, at(30)), Ok(Step::Answer(1)));
}

/// The fault of Kafka before KIP-890: a commit that was late committed the transaction after its own.
#[test]
fn a_late_end_never_ends_the_next_one() {
    let complete =
        ended(ongoing().end(by(7, 0), Outcome::Commit, at(20)).unwrap()).completed(at(21)).unwrap();
    let (next, ()) = written(complete.begin(by(7, 1), TIMEOUT_MS, at(22)).unwrap());
    assert_eq!(next.end(by(7, 0), Outcome::Commit, at(23)), Ok(Step::Answer(1)), "the first one's answer");
    let after = ended(next.end(by(7, 1), Outcome::Abort, at(24)).unwrap()).completed(at(25)).unwrap();
    let late = after.end(by(7, 0), Outcome::Commit, at(26));
    assert_eq!(late, Err(Refusal::Fenced { current: 2 }));
    assert_eq!(after.end(by(7, 3), Outcome::Commit, at(26)), Err(Refusal::Unknown { current: 2 }));
}

#[test]
fn a_timeout_aborts_and_fences() {
    let state = ongoing();
    assert_eq!(state.expire(at(10 + 1_000)), None);
    let aborted = state.expire(at(11 + 1_000)).unwrap();
    assert_eq!((aborted.phase, aborted.epoch), (Phase::Prepare(Outcome::Abort), 1));
    for outcome in [Outcome::Commit, Outcome::Abort] {
        assert_eq!(aborted.end(by(7, 0), outcome, at(2_000)), Err(Refusal::Fenced { current: 1 }));
    }
    assert_eq!(aborted.add(by(7, 0), &place(1), at(2_000)), Err(Refusal::Fenced { current: 1 }));
    assert_eq!(aborted.expire(at(9_000)), None, "it is over");
    // A clock that goes back does no harm.
    assert_eq!(state.expire(at(-5_000)), None);
}

#[test]
fn who_comes_next_fences_who_was_there() {
    let state = ongoing();
    let aborted = ended(state.init(99, TIMEOUT_MS, at(20)));
    assert_eq!(aborted.phase, Phase::Prepare(Outcome::Abort));
    assert_eq!(aborted.init(99, TIMEOUT_MS, at(21)), Step::Finish);
    let (fresh, producer) = written(aborted.completed(at(22)).unwrap().init(99, TIMEOUT_MS, at(23)));
    assert_eq!((producer, fresh.phase), (by(7, 2), Phase::Empty));
    for epoch in [0, 1] {
        let fenced = Err(Refusal::Fenced { current: 2 });
        assert_eq!(fresh.begin(by(7, epoch), TIMEOUT_MS, at(24)), fenced, "epoch {epoch}");
        assert_eq!(fresh.end(by(7, epoch), Outcome::Commit, at(24)).map(drop), fenced.map(drop::<Step<()>>));
    }
}

#[test]
fn epochs_that_are_used_up_give_another_producer_id() {
    let mut state = ongoing();
    state.epoch = LAST_EPOCH - 1;
    let ended = ended(state.end(by(7, LAST_EPOCH - 1), Outcome::Commit, at(20)).unwrap());
    let complete = ended.completed(at(21)).unwrap();
    assert_eq!(complete.epoch, LAST_EPOCH);
    assert_eq!(complete.begin(by(7, LAST_EPOCH), TIMEOUT_MS, at(22)), Err(Refusal::Exhausted));
    let (state, producer) = written(complete.init(99, TIMEOUT_MS, at(23)));
    assert_eq!(producer, by(99, 0));
    assert_eq!(state.begin(by(7, LAST_EPOCH), TIMEOUT_MS, at(24)), Err(Refusal::Fenced { current: 0 }));
    assert_eq!(state.end(by(7, LAST_EPOCH - 1), Outcome::Commit, at(24)), Ok(Step::Answer(LAST_EPOCH)));
}
