//! LZ4: one frame of the LZ4 frame format. The blocks are decoded here one by one, straight into the output: the crate's
//! own reader keeps buffers of the block size that the frame claims, and takes a frame without its end for whole.

use std::io::Write;

use lz4_flex::{
    block::{DecompressError, decompress_into, decompress_into_with_dict},
    frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo},
};

use super::InflateError;
use crate::batch::Compression;

const MAGIC: [u8; 4] = 0x184D_2204_u32.to_le_bytes();
/// How far back a match can reach.
const WINDOW: usize = 64 << 10;
/// A block's bytes never inflate to more than this many each.
const MAX_EXPANSION: usize = 255;
const INVALID: InflateError = InflateError::Invalid(Compression::Lz4);

/// Bits of the FLG byte.
mod flg {
    pub const VERSION_MASK: u8 = 0xc0;
    pub const VERSION: u8 = 0x40;
    pub const INDEPENDENT: u8 = 0x20;
    pub const BLOCK_CHECKSUM: u8 = 0x10;
    pub const CONTENT_SIZE: u8 = 0x08;
    pub const CONTENT_CHECKSUM: u8 = 0x04;
    pub const RESERVED: u8 = 0x02;
    pub const DICTIONARY: u8 = 0x01;
}

pub(super) fn compress(plain: &[u8]) -> Vec<u8> {
    let info = FrameInfo::new()
        .content_size(Some(plain.len() as u64))
        .block_size(BlockSize::Max4MB)
        .block_mode(BlockMode::Linked);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::with_capacity(plain.len() / 2));
    encoder.write_all(plain).expect("writing to memory does not fail");
    encoder.finish().expect("the length in the frame is that of the bytes written")
}

pub(super) fn claimed_len(packed: &[u8]) -> Result<Option<u64>, InflateError> {
    Ok(FrameHeader::take(&mut &packed[..])?.content_size)
}

/// Most bytes that can come out.
pub(super) fn most(packed: &[u8]) -> usize {
    packed.len().saturating_mul(MAX_EXPANSION)
}

pub(super) fn inflate(packed: &[u8], plain: &mut [u8]) -> Result<usize, InflateError> {
    let mut rest = packed;
    let frame = FrameHeader::take(&mut rest)?;
    let mut filled = 0;
    loop {
        let word = take_u32(&mut rest)?;
        if word == 0 {
            break;
        }
        let (stored, length) = (word >> 31 == 1, (word & 0x7fff_ffff) as usize);
        let block = take(&mut rest, length)?;
        if frame.block_checksums {
            take_u32(&mut rest)?;
        }
        let pushed = if stored {
            push_stored(plain, filled, block)
        } else {
            frame.push_packed(plain, filled, block)?
        };
        filled += pushed.ok_or(InflateError::TooLarge { limit: plain.len() })?;
    }
    if frame.content_checksum {
        take_u32(&mut rest)?;
    }
    match rest.len() {
        0 => Ok(filled),
        extra => Err(InflateError::TrailingBytes { extra }),
    }
}

/// What the frame says of its blocks. Checksums are skipped: the batch's crc32c covers the same bytes.
struct FrameHeader {
    independent: bool,
    block_checksums: bool,
    content_checksum: bool,
    content_size: Option<u64>,
    block_max: usize,
}

impl FrameHeader {
    fn take(rest: &mut &[u8]) -> Result<Self, InflateError> {
        let [flags, sizes] = *take(rest, 6)?.strip_prefix(&MAGIC).ok_or(INVALID)? else {
            return Err(INVALID);
        };
        if flags & flg::VERSION_MASK != flg::VERSION || flags & (flg::RESERVED | flg::DICTIONARY) != 0 {
            return Err(INVALID);
        }
        let block_max = match sizes {
            0x40 => 64 << 10,
            0x50 => 256 << 10,
            0x60 => 1 << 20,
            0x70 => 4 << 20,
            _ => return Err(INVALID),
        };
        let content_size = if flags & flg::CONTENT_SIZE == 0 {
            None
        } else {
            Some(u64::from_le_bytes(take(rest, 8)?.try_into().map_err(|_| INVALID)?))
        };
        take(rest, 1)?; // the header's checksum
        Ok(Self {
            independent: flags & flg::INDEPENDENT != 0,
            block_checksums: flags & flg::BLOCK_CHECKSUM != 0,
            content_checksum: flags & flg::CONTENT_CHECKSUM != 0,
            content_size,
            block_max,
        })
    }

    /// Inflates a block behind the first `start` bytes; how long it is, `None` where it does not fit.
    fn push_packed(
        &self,
        plain: &mut [u8],
        start: usize,
        block: &[u8],
    ) -> Result<Option<usize>, InflateError> {
        let (before, room) = plain.split_at_mut(start);
        let bound = self.block_max.min(block.len().saturating_mul(MAX_EXPANSION)).min(room.len());
        let all = bound == room.len();
        let out = &mut room[..bound];
        let written = if self.independent || start == 0 {
            decompress_into(block, out)
        } else {
            decompress_into_with_dict(block, out, &before[start.saturating_sub(WINDOW)..])
        };
        match written {
            Ok(written) => Ok(Some(written)),
            Err(DecompressError::OutputTooSmall { .. }) if all => Ok(None),
            Err(_) => Err(INVALID),
        }
    }
}

fn push_stored(plain: &mut [u8], start: usize, block: &[u8]) -> Option<usize> {
    plain[start..].get_mut(..block.len())?.copy_from_slice(block);
    Some(block.len())
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], InflateError> {
    let (front, back) = rest.split_at_checked(len).ok_or(INVALID)?;
    *rest = back;
    Ok(front)
}

fn take_u32(rest: &mut &[u8]) -> Result<u32, InflateError> {
    let (front, back) = rest.split_first_chunk().ok_or(INVALID)?;
    *rest = back;
    Ok(u32::from_le_bytes(*front))
}
