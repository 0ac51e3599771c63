//! The last 96 bytes of a sealed segment file.

use crate::layout::{self, Verdict, get_u64, put};

use super::tip::Tip;

/// Bytes after the last batch of a sealed segment.
pub(crate) const FOOTER_BYTES: usize = 96;

const MAGIC: &[u8; 8] = b"FQSEGEND";

mod at {
    pub const INCARNATION: usize = 16;
    pub const TIP: usize = 24;
}

/// Encodes the footer of a segment that ends at `tip`; the tip's `headers_crc` is the hash of the whole segment.
pub(crate) fn encode(incarnation: u64, tip: &Tip) -> [u8; FOOTER_BYTES] {
    let mut block = [0; FOOTER_BYTES];
    put(&mut block, at::INCARNATION, incarnation.to_le_bytes());
    tip.write(&mut block, at::TIP);
    layout::seal(&mut block, MAGIC);
    block
}

/// The tip in a good footer of the segment file of `incarnation` that has `file_bytes`; `None` for anything else.
/// A later format shows in the segment's header, not here.
pub(crate) fn decode(block: &[u8; FOOTER_BYTES], incarnation: u64, file_bytes: u64) -> Option<Tip> {
    if layout::judge(block, MAGIC) != Verdict::Good || get_u64(block, at::INCARNATION) != incarnation {
        return None;
    }
    let tip = Tip::read(block, at::TIP);
    (tip.position + FOOTER_BYTES as u64 == file_bytes).then_some(tip)
}
