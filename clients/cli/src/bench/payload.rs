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

    /// As [`Payloads::new`], out of lines of JSON: constant names, changing values.
    pub fn json(size: u32, seed: u64) -> Self {
        let size = usize::try_from(size).expect("32 bits fit");
        let mut random = StdRng::seed_from_u64(seed);
        let mut pool = Vec::with_capacity(POOL + size);
        while pool.len() < POOL + size {
            let (n, ms) = (random.next_u64(), random.next_u32() % 900);
            let line = format!(
                "{{\"trace_id\":\"{n:016x}\",\"level\":\"{}\",\"service\":\"{}\",\"path\":\"/api/v1/{}\",\"status\":{},\"duration_ms\":{ms},\"user\":\"user-{}\"}}\n",
                ["info", "info", "info", "warn"][n as usize % 4],
                ["orders", "users", "gateway"][n as usize % 3],
                ["orders", "orders/search", "users", "cart/items"][n as usize / 7 % 4],
                [200, 200, 200, 404, 500][n as usize / 11 % 5],
                n / 13 % 5_000,
            );
            pool.extend_from_slice(line.as_bytes());
        }
        pool.truncate(POOL + size);
        Self { pool: pool.into(), size, position: 0 }
    }

    /// The next value; shares the pool's memory.
    pub fn next(&mut self) -> Bytes {
        self.position = (self.position + STEP) % POOL;
        self.pool.slice(self.position..self.position + self.size)
    }
}
