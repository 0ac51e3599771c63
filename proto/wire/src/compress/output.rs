//! Where inflated bytes go.

use bytes::Bytes;
use memmap2::MmapMut;

/// From this size on the system's own pages are used: they cost memory only where they are written, and go back at once,
/// whereas an allocator keeps large blocks, one for each thread that had one.
const MAPPED: usize = 1 << 20;

/// Zeros of a fixed length, to be filled from the front.
#[derive(Debug)]
pub(super) enum Output {
    Heap(Vec<u8>),
    Mapped(MmapMut),
}

impl Output {
    pub fn new(len: usize) -> Self {
        let mapped = (len >= MAPPED).then(|| MmapMut::map_anon(len).ok()).flatten();
        mapped.map_or_else(|| Self::Heap(vec![0; len]), Self::Mapped)
    }

    pub fn bytes(&mut self) -> &mut [u8] {
        match self {
            Self::Heap(bytes) => bytes,
            Self::Mapped(bytes) => bytes,
        }
    }

    /// The first `len` bytes.
    pub fn into_bytes(self, len: usize) -> Bytes {
        match self {
            Self::Heap(mut bytes) => {
                bytes.truncate(len);
                bytes.shrink_to_fit(); // where nothing was claimed, it has the size of the limit
                Bytes::from(bytes)
            }
            Self::Mapped(bytes) => Bytes::from_owner(bytes).slice(..len),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_outputs_hold_what_was_written() {
        for len in [0, 1, 1000, MAPPED - 1, MAPPED, 3 * MAPPED + 1] {
            let mut output = Output::new(len);
            assert_eq!(output.bytes().len(), len);
            output.bytes().fill(7);
            for kept in [0, len / 2, len] {
                let mut copy = Output::new(len);
                copy.bytes().copy_from_slice(output.bytes());
                assert_eq!(copy.into_bytes(kept), vec![7; kept]);
            }
        }
    }
}
