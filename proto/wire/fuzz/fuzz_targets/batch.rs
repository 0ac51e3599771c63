#![no_main]
//! A batch as it is, or (first byte odd) a payload that is given a header with the right length and checksum.

use bytes::Bytes;
use flymq_wire::batch::*;
use libfuzzer_sys::fuzz_target;

fn with_header(input: &[u8]) -> Option<Vec<u8>> {
    let (count, payload) = input.split_first()?;
    let mut builder = BatchBuilder::new();
    builder.push(&NewRecord::default()).ok()?;
    let header = BatchHeader {
        payload_len: u32::try_from(payload.len()).ok()?,
        payload_crc: crc32c::crc32c(payload),
        record_count: u32::from(*count).max(1),
        flags: BatchFlags::HAS_TTL,
        ..BatchHeader::parse(&builder.build().ok()?).ok()?
    };
    Some([&header.encode()[..], payload].concat())
}

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else { return };
    let bytes = if kind & 1 == 0 { Some(rest.to_vec()) } else { with_header(rest) };
    let Some(bytes) = bytes.map(Bytes::from) else { return };
    let valid = validate_produced(&bytes);
    let _ = verify(&bytes);
    if let Ok(header) = BatchHeader::parse(&bytes) {
        let _ = Marker::parse(&header, &bytes.slice(HEADER_LEN..));
    }
    BatchSlices::new(bytes.clone()).for_each(drop);
    let mut read = 0;
    let mut failed = false;
    match RecordIter::new(&bytes) {
        Ok(records) => {
            for record in records {
                match record {
                    Ok(record) => {
                        read += 1;
                        record.headers().for_each(drop);
                        assert_eq!(record.value_bytes().as_deref(), record.value);
                    }
                    Err(_) => failed = true,
                }
            }
        }
        Err(_) => failed = true,
    }
    if let Ok(header) = valid
        && header.compression == Compression::None
    {
        assert!(!failed && read == header.record_count);
    }
});
