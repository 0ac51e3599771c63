use bytes::Bytes;
use flymq_wire::batch::{
    BatchBuilder, BatchHeader, Compression, HEADER_LEN, NewRecord, records, validate_produced,
};
use flymq_wire::compress::{ALL, InflateLimits, claimed_len, compress, inflate};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{Damage, damage, plausible_bytes};

const LIMITS: InflateLimits = InflateLimits { max_len: 64 << 10, max_ratio: 200, free_len: 4 << 10 };
/// What a codec may hold beside its output: tables and states of fixed size, most of them gzip's and Zstandard's.
const CODEC_STATE: u64 = 256 << 10;

fn codec() -> impl Strategy<Value = Compression> {
    prop::sample::select(&ALL[1..])
}

/// Bytes that compress: a few words, many times.
fn wordy() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just(&b"{\"name\":"[..]),
        Just(&b"airport"[..]),
        Just(&b", 17}\n"[..]),
        Just(&b"\0\0\0\0"[..])
    ];
    prop_oneof![vec(word, 0..400).prop_map(|words| words.concat()), vec(any::<u8>(), 0..4_000)]
}

/// Inflates, and checks the most memory held: the output, at most the limit, and the codec's own.
fn inflate_bounded(codec: Compression, packed: &Bytes) -> Option<Bytes> {
    let mut result = None;
    let used = allocation_counter::measure(|| result = inflate(codec, packed, &LIMITS).ok()).bytes_max;
    let most = LIMITS.of(packed.len()) as u64 + CODEC_STATE;
    assert!(used <= most, "{codec}: {used} bytes of memory for {} bytes of input", packed.len());
    assert!(result.as_ref().is_none_or(|plain| plain.len() <= LIMITS.of(packed.len())));
    result
}

proptest! {
    #[test]
    fn round_trip(codec in codec(), level in prop::option::of(-5..30i32), plain in wordy()) {
        let packed = Bytes::from(compress(codec, level, &plain));
        prop_assert_eq!(claimed_len(codec, &packed, &LIMITS), Ok(Some(plain.len())));
        prop_assert_eq!(inflate_bounded(codec, &packed), Some(plain.into()));
    }

    #[test]
    fn arbitrary_bytes_are_bounded(codec in codec(), bytes in plausible_bytes(), genuine in 0..40usize) {
        let mut packed = compress(codec, None, b"the beginning is genuine, the rest is not");
        packed.truncate(genuine);
        packed.extend_from_slice(&bytes);
        inflate_bounded(codec, &packed.into());
    }

    #[test]
    fn damage_is_bounded(codec in codec(), plain in wordy(), damages in vec(damage(), 1..6)) {
        let whole = compress(codec, None, &plain);
        let mut packed = whole.clone();
        damages.iter().for_each(|damage| damage.apply(&mut packed));
        let cut = packed.len() < whole.len() && damages.iter().all(|damage| matches!(damage, Damage::Cut(_)));
        let result = inflate_bounded(codec, &packed.into());
        prop_assert!(!cut || result.is_none(), "a cut payload is never whole");
    }

    /// What a batch inflates to is checked before a record of it is seen.
    #[test]
    fn an_opened_batch_is_whole(codec in codec(), values in vec(wordy(), 1..8), damages in vec(damage(), 0..3)) {
        let mut builder = BatchBuilder::new();
        for value in &values {
            builder.push(&NewRecord { value: Some(value), ..NewRecord::default() }).unwrap();
        }
        let batch = builder.build().unwrap();
        let mut plain = batch[HEADER_LEN..].to_vec();
        damages.iter().for_each(|damage| damage.apply(&mut plain));
        let packed = compress(codec, None, &plain);
        let header = BatchHeader {
            compression: codec,
            payload_len: u32::try_from(packed.len()).unwrap(),
            payload_crc: crc32c::crc32c(&packed),
            ..BatchHeader::parse(&batch).unwrap()
        };
        let forged = Bytes::from([&header.encode()[..], &packed].concat());
        prop_assert!(validate_produced(&forged).is_ok(), "nobody looks inside at produce");
        match records(&forged, &InflateLimits::BATCH) {
            Ok(opened) => {
                let read: Vec<_> = opened.iter().map(|record| record.unwrap().value.unwrap().to_vec()).collect();
                prop_assert_eq!(read.len(), values.len());
                prop_assert!(!damages.is_empty() || read == values);
            }
            Err(_) => prop_assert!(plain[..] != batch[HEADER_LEN..]),
        }
    }
}
