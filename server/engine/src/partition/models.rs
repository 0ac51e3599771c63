//! The watermark and its waiters in every order that threads can take: nobody who waits is forgotten, and of an append and
//! a reader who comes to wait at the same time one always asks for the group commit. Run by `make loom`.

use std::sync::Arc;

use flymq_types::Offset;
use loom::future::block_on;
use loom::model::Builder;
use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use loom::thread;

use super::{HighWatermark, ReadyQueue, Stop};

/// Runs the model with at most two preemptions: enough for every such bug that is known, and it takes seconds.
fn model(body: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(body);
}

#[test]
fn b36_who_waits_for_an_offset_is_woken() {
    model(|| {
        let mark = Arc::new(HighWatermark::new(Offset(0)));
        let syncer = mark.clone();
        let round = thread::spawn(move || {
            syncer.advance(Offset(1));
            syncer.advance(Offset(3));
        });
        let other = mark.clone();
        let near = thread::spawn(move || block_on(other.reached(Offset(1))).is_ok());
        assert!(block_on(mark.reached(Offset(2))).is_ok(), "a lost wake-up would never end");
        assert!(near.join().expect("it did not panic"));
        assert!(mark.get() >= Offset(2));
        round.join().expect("it did not panic");
    });
}

#[test]
fn b36_a_stop_ends_every_wait() {
    model(|| {
        let mark = Arc::new(HighWatermark::new(Offset(0)));
        let (syncer, closer) = (mark.clone(), mark.clone());
        let round = thread::spawn(move || syncer.advance(Offset(1)));
        let stop = thread::spawn(move || closer.stop(Stop::Deleted));
        // Reached or stopped, never forgotten; what is reached counts also after a stop.
        if block_on(mark.reached(Offset(1))).is_ok() {
            assert_eq!(mark.get(), Offset(1));
        }
        assert!(matches!(block_on(mark.reached(Offset(2))), Err(Stop::Deleted)));
        round.join().expect("it did not panic");
        stop.join().expect("it did not panic");
    });
}

/// A log's end, and how often a group commit was asked for: what append and fetch do around the watermark.
#[derive(Default)]
struct Log {
    end: AtomicU64,
    asked: AtomicUsize,
}

#[test]
fn b36_an_append_or_the_reader_asks_for_the_commit() {
    model(|| {
        let (mark, log) = (Arc::new(HighWatermark::new(Offset(0))), Arc::new(Log::default()));
        let (appender, written) = (mark.clone(), log.clone());
        let append = thread::spawn(move || {
            written.end.store(1, Ordering::Release);
            if appender.has_readers() {
                written.asked.fetch_add(1, Ordering::SeqCst);
            }
        });
        let reader = mark.enter_reader();
        if log.end.load(Ordering::Acquire) > mark.get().get() {
            log.asked.fetch_add(1, Ordering::SeqCst);
        }
        append.join().expect("it did not panic");
        assert!(log.asked.load(Ordering::SeqCst) > 0, "the reader would wait for the next interval");
        drop(reader);
        assert!(!mark.has_readers());
    });
}

#[test]
fn b36_a_subscription_hears_of_every_rise() {
    model(|| {
        let mark = Arc::new(HighWatermark::new(Offset(0)));
        let queue = Arc::new(ReadyQueue::new(1));
        let listening = mark.listen(&queue, 0);
        let syncer = mark.clone();
        let round = thread::spawn(move || {
            syncer.advance(Offset(1));
            syncer.advance(Offset(2));
        });
        while mark.get() < Offset(2) {
            assert_eq!(block_on(queue.next()), 0, "a lost rise would never end");
        }
        round.join().expect("it did not panic");
        drop(listening);
        assert!(!mark.has_readers());
    });
}
