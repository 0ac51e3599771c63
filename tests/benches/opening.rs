//! What it costs a broker to look into a batch before it is acknowledged: `cargo bench -p flymq-tests --bench opening`.
//!
//! One thread, batches of JSON lines: the checksum alone (all that a broker would look at if it took compressed batches on trust), and the
//! checksum with all records checked, inflated where they are compressed (what it does, docs/adr/0010-compressed-batches.md).

#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use flymq_wire::batch::{BatchBuilder, BatchHeader, HEADER_LEN, NewRecord, records, verify_payload_crc};
use flymq_wire::compress::{ALL, InflateLimits};

/// How long each figure of a round is measured.
const LASTS: Duration = Duration::from_millis(300);
const ROUNDS: usize = 7;

fn main() {
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    println!("MB of records a second and core, median (least to most) of {ROUNDS} rounds\n");
    println!("| Codec | Records | Sent as | Checksum alone | All that is checked |");
    println!("|---|---|---|---|---|");
    for lines in [100, 8_000] {
        for codec in ALL {
            let batch = lines_of_json(lines).build_compressed(codec, None).expect("records");
            let plain = lines_of_json(lines).build().expect("records").len() - HEADER_LEN;
            let sizes = format!("{:.0} KiB | {:.0} KiB", plain as f64 / 1024.0, batch.len() as f64 / 1024.0);
            let checksum = rate(plain, || checksum(&batch));
            println!("| {codec} | {sizes} | {checksum} | {} |", rate(plain, || all(&batch)));
        }
    }
}

fn lines_of_json(count: usize) -> BatchBuilder {
    let mut builder = BatchBuilder::new();
    for n in 0..count {
        let (user, amount) = (n * 7919 % 10_007, n * 104_729 % 99_991);
        let value = format!(
            "{{\"id\":{n},\"user\":\"user-{user}\",\"amount\":{amount},\"currency\":\"EUR\",\"state\":\"paid\"}}"
        );
        let key = format!("user-{user}");
        let record =
            NewRecord { key: Some(key.as_bytes()), value: Some(value.as_bytes()), ..NewRecord::default() };
        builder.push(&record).expect("small");
    }
    builder
}

fn checksum(batch: &Bytes) -> usize {
    let header = BatchHeader::parse(batch).expect("a batch");
    verify_payload_crc(&header, &batch[HEADER_LEN..]).expect("right");
    header.record_count as usize
}

fn all(batch: &Bytes) -> usize {
    let header = flymq_wire::batch::validate_produced(batch).expect("a batch");
    if header.compression != flymq_wire::batch::Compression::None {
        records(batch, &InflateLimits::BATCH).expect("opens");
    }
    header.record_count as usize
}

fn rate(bytes: usize, mut once: impl FnMut() -> usize) -> String {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let (begun, mut times) = (Instant::now(), 0_usize);
            while begun.elapsed() < LASTS {
                std::hint::black_box(once());
                times += 1;
            }
            (bytes * times) as f64 / 1e6 / begun.elapsed().as_secs_f64()
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    format!("{:.0} ({:.0} to {:.0})", rounds[ROUNDS / 2], rounds[0], rounds[ROUNDS - 1])
}
