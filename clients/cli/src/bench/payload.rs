//! Pseudo-random values that differ from message to message and cost nothing to make.

use bytes::Bytes;
use rand::{RngCore as _, SeedableRng as _, rngs::StdRng};

/// Bytes of the pool beside one value's length.
const POOL: usize = 4 << 20;
/// A step that is odd, so that positions repeat late.
const STEP: usize = 7_919;

/// Values cut out of a random pool at moving positions.
#[derive(Debug, Clone)]
pub struct Payloads {
    pool: Bytes,
    size: usize,
    position: usize,
}

impl Payloads {
    /// Values of `size` bytes; runs with the same seed send the same bytes.
    pub fn new(size: u32, seed: u64) -> Self {
        let size = usize::try_from(size).expect("32 bits fit");
        let mut pool = vec![0; POOL + size];
        StdRng::seed_from_u64(seed).fill_bytes(&mut pool);
        Self { pool: pool.into(), size, position: 0 }
    }

    /// The next value; shares the pool's memory.
    pub fn next(&mut self) -> Bytes {
        self.position = (self.position + STEP) % POOL;
        self.pool.slice(self.position..self.position + self.size)
    }
}
