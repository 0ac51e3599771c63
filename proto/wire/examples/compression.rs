//! What each codec gains on the lines of a file, and what it costs on one core:
//! `cargo run --release -p flymq-wire --example compression -- LINES.jsonl`

use std::time::{Duration, Instant};

use bytes::Bytes;
use flymq_wire::batch::{BatchBuilder, Compression, HEADER_LEN, NewRecord};
use flymq_wire::compress::{InflateLimits, compress, inflate};

/// What is measured: codec and level.
const CODECS: [(Compression, Option<i32>); 7] = [
    (Compression::Lz4, None),
    (Compression::Snappy, None),
    (Compression::Zstd, Some(1)),
    (Compression::Zstd, Some(3)),
    (Compression::Zstd, Some(9)),
    (Compression::Gzip, Some(1)),
    (Compression::Gzip, Some(6)),
];
/// Bytes of a batch before compression.
const BATCHES: [usize; 3] = [16 << 10, 64 << 10, 256 << 10];
/// Of one measurement.
const TIME: Duration = Duration::from_millis(400);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: compression LINES.jsonl")?;
    let text = std::fs::read_to_string(path)?;
    println!("| Codec | Gain at 16 KiB | at 64 KiB | at 256 KiB | Compress, MB/s | Open, MB/s |");
    println!("|---|---|---|---|---|---|");
    for (codec, level) in CODECS {
        let gains = BATCHES.map(|size| {
            let batches = payloads(&text, size);
            let packed: usize =
                batches.iter().map(|plain| HEADER_LEN + compress(codec, level, plain).len()).sum();
            let plain: usize = batches.iter().map(|plain| HEADER_LEN + plain.len()).sum();
            format!("{:.1}", plain as f64 / packed as f64)
        });
        let (pack, open) = speeds(codec, level, &payloads(&text, BATCHES[1]));
        let name = level.map_or_else(|| codec.to_string(), |level| format!("{codec} {level}"));
        println!("| {name} | {} | {pack:.0} | {open:.0} |", gains.join(" | "));
    }
    Ok(())
}

/// The lines as payloads of about `size` bytes.
fn payloads(text: &str, size: usize) -> Vec<Bytes> {
    let mut payloads = Vec::new();
    let mut builder = BatchBuilder::new();
    for line in text.lines() {
        let record = NewRecord { value: Some(line.as_bytes()), timestamp: 1, ..NewRecord::default() };
        if builder.size() + line.len() > size && !builder.is_empty() {
            let batch = std::mem::take(&mut builder).build().expect("it has records");
            payloads.push(batch.slice(HEADER_LEN..));
        }
        builder.push(&record).expect("a line fits");
    }
    payloads.extend(builder.build().ok().map(|batch| batch.slice(HEADER_LEN..)));
    payloads
}

/// Uncompressed megabytes a second, one way and back.
fn speeds(codec: Compression, level: Option<i32>, plain: &[Bytes]) -> (f64, f64) {
    let packed: Vec<Bytes> = plain.iter().map(|p| compress(codec, level, p).into()).collect();
    let pack = rate(plain, |i| compress(codec, level, &plain[i]).len());
    let open =
        rate(plain, |i| inflate(codec, &packed[i], &InflateLimits::BATCH).expect("our own bytes").len());
    (pack, open)
}

fn rate(plain: &[Bytes], work: impl Fn(usize) -> usize) -> f64 {
    let (mut bytes, began) = (0, Instant::now());
    while began.elapsed() < TIME {
        for (i, payload) in plain.iter().enumerate() {
            std::hint::black_box(work(i));
            bytes += payload.len();
        }
    }
    bytes as f64 / 1e6 / began.elapsed().as_secs_f64()
}
