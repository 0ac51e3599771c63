#![no_main]
//! The first byte names a codec; the rest is its input. Never a panic, never more than the limit.

use bytes::Bytes;
use flymq_wire::compress::{ALL, InflateLimits, claimed_len, inflate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((codec, packed)) = input.split_first() else { return };
    let codec = ALL[usize::from(*codec) % ALL.len()];
    let limits = InflateLimits { max_len: 1 << 16, max_ratio: 200, free_len: 1 << 12 };
    let packed = Bytes::copy_from_slice(packed);
    let claimed = claimed_len(codec, &packed, &limits);
    if let Ok(plain) = inflate(codec, &packed, &limits) {
        assert!(plain.len() <= limits.of(packed.len()));
        assert!(claimed.is_ok_and(|claimed| claimed.is_none_or(|claimed| claimed == plain.len())));
    }
});
