//! Golden bytes of a compressed batch for each codec. Compressors differ from release to release, so the bytes need not be made
//! again: they must be read, by us and by whoever writes a client in another language.

use bytes::Bytes;
use flymq_wire::batch::{BatchBuilder, Compression, HEADER_LEN, NewRecord, records, validate_produced};
use flymq_wire::compress::{ALL, InflateLimits};

const FIXTURE: &str = include_str!("fixtures/compressed-batches.hex");

fn builder() -> BatchBuilder {
    let mut builder = BatchBuilder::new();
    for (n, (key, city)) in
        [("IL", "Chicago"), ("GA", "Atlanta"), ("IL", "Chicago"), ("TX", "Dallas")].iter().enumerate()
    {
        let value = format!("{{\"state\":\"{key}\",\"city\":\"{city}\",\"country\":\"USA\"}}");
        let record = NewRecord {
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            timestamp: 1_767_225_600_000 + n as i64,
            expires_at: None,
        };
        builder.push_with_headers(&record, [("trace", &b"abc"[..])]).expect("a small record");
    }
    builder
}

fn golden(codec: Compression) -> Bytes {
    let line =
        FIXTURE.lines().find_map(|line| line.strip_prefix(codec.name())).expect("a line for each codec");
    let hex = line.trim();
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal"))
        .collect::<Vec<_>>()
        .into()
}

#[test]
fn golden_batches_of_every_codec_are_read() {
    let plain = builder().build().unwrap();
    for codec in ALL {
        let batch = golden(codec);
        let header = validate_produced(&batch).unwrap();
        assert_eq!((header.compression, header.record_count), (codec, 4), "{codec}");
        let opened = records(&batch, &InflateLimits::BATCH).unwrap();
        assert_eq!(opened.payload(), &plain[HEADER_LEN..], "{codec}");
    }
}

/// `PRINT_GOLDEN=1 cargo test -p flymq-wire --test compressed -- --nocapture` prints the fixture.
#[test]
fn what_is_compressed_today_is_read_as_well() {
    for codec in ALL {
        let batch = builder().build_compressed(codec, None).unwrap();
        if std::env::var_os("PRINT_GOLDEN").is_some() {
            let hex: String = batch.iter().map(|byte| format!("{byte:02x}")).collect();
            println!("{} {hex}", codec.name());
        }
        assert_eq!(records(&batch, &InflateLimits::BATCH).unwrap().iter().count(), 4);
    }
}
