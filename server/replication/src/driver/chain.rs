//! The chain value before a batch, from the batch itself.

use flymq_types::RecordBatch;

/// CRC-32C (Castagnoli), reflected.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The chain value that `batch` builds on. The chain is `crc32c(previous ++ payload crc)`, which loses nothing of
/// `previous`: a follower that begins with an empty log in the middle of its leader's finds out what to build on.
pub(super) fn chain_before(batch: &RecordBatch) -> u32 {
    let header = batch.header();
    let after_previous = unstep(!header.server.chain, header.payload_crc);
    // The register begins with all ones, and the first word is added to it.
    !unstep(after_previous, 0)
}

/// The register before it took the little-endian `word`.
fn unstep(register: u32, word: u32) -> u32 {
    let back = (0..u32::BITS).fold(register, |state, _bit| {
        // A step shifts right, and adds the polynomial, whose highest bit is set, where a 1 falls out.
        if state >> 31 == 1 { (state ^ POLYNOMIAL) << 1 | 1 } else { state << 1 }
    });
    back ^ word
}

#[cfg(test)]
mod tests {
    use flymq_wire::batch::{BatchBuilder, NewRecord, ServerFields, chain};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_value_that_the_batch_was_chained_to(previous: u32, value: Vec<u8>) {
            let mut builder = BatchBuilder::new();
            builder.push(&NewRecord { value: Some(&value), ..NewRecord::default() }).unwrap();
            let batch = RecordBatch::from_producer(builder.build().unwrap()).unwrap();
            let chain = chain(previous, batch.header().payload_crc);
            let batch = batch.stamp(ServerFields { chain, ..ServerFields::default() });
            prop_assert_eq!(chain_before(&batch), previous);
        }
    }
}
