//! How fast one core looks through JSON lines: `cargo bench -p flymq-filter --bench filters`.
//!
//! What the broker does to a fetched run: the records of each batch of 1,000 are read where they stand and asked. MB/s are of
//! values, at two rates of matches.

#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::{hint::black_box, time::Instant};

use bytes::Bytes;
use flymq_filter::{Filter, FilterKind, Record};
use flymq_wire::{
    batch::{BatchBuilder, NewRecord, Records, records},
    compress::InflateLimits,
};

const BATCHES: usize = 200;
const PER_BATCH: usize = 1_000;

/// A line of some 230 bytes, as services log them; every `every`-th one is an error.
fn line(n: usize, every: usize) -> String {
    let level = if n.is_multiple_of(every) { "ERROR" } else { "info" };
    format!(
        "{{\"ts\":\"2026-11-22T20:{:02}:{:02}.{:03}Z\",\"level\":\"{level}\",\"service\":\"checkout\",\"trace\":\"{:032x}\",\"user\":{{\"id\":{n},\"country\":\"SE\"}},\"ms\":{},\"msg\":\"payment of order {n} went through the second gateway\"}}",
        n / 60_000 % 60,
        n / 1_000 % 60,
        n % 1_000,
        n as u128 * 0x9e37_79b9_7f4a_7c15,
        n % 977
    )
}

fn run(every: usize) -> (Vec<Records>, usize) {
    let mut bytes = 0;
    let batch = |batch: usize, bytes: &mut usize| {
        let mut builder = BatchBuilder::new();
        for n in batch * PER_BATCH..(batch + 1) * PER_BATCH {
            let value = line(n, every);
            *bytes += value.len();
            let record =
                NewRecord { key: Some(b"checkout"), value: Some(value.as_bytes()), ..NewRecord::default() };
            builder.push(&record).expect("it fits");
        }
        let built: Bytes = builder.build().expect("a batch");
        records(&built, &InflateLimits::BATCH).expect("it opens")
    };
    let batches = (0..BATCHES).map(|number| batch(number, &mut bytes)).collect();
    (batches, bytes)
}

fn main() {
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let filters = [
        (FilterKind::Text, "\"level\":\"ERROR\""),
        (FilterKind::Any, "error"),
        (FilterKind::Regex, "\"level\":\"(ERROR|FATAL)\""),
        (FilterKind::Path, "$.user.country"),
        (FilterKind::Cel, "text.contains('ERROR')"),
        (FilterKind::Cel, "value.level == 'ERROR' && value.user.id > 10"),
    ];
    for every in [100, 100_000] {
        let (batches, bytes) = run(every);
        for (kind, text) in filters {
            let filter = Filter::new(kind, text).expect("a filter");
            let mut best = f64::MAX;
            let mut hits = 0;
            for _ in 0..5 {
                let begun = Instant::now();
                hits = batches.iter().map(|batch| look_through(&filter, batch)).sum::<usize>();
                best = best.min(begun.elapsed().as_secs_f64());
            }
            let rate = bytes as f64 / best / 1e6;
            println!("1 in {every:6}  {:5} {text:45} {rate:7.0} MB/s  {hits} matches", kind.name());
        }
    }
}

fn look_through(filter: &Filter, batch: &Records) -> usize {
    if !filter.may_match(batch.payload()) {
        return 0;
    }
    let hit = |view| filter.matches(&Record::stored("logs", 0, &view)) == Ok(true);
    batch.iter().flatten().filter(|view| black_box(hit(*view))).count()
}
