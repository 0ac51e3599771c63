//! Chance, by trait, so that a simulation can replay a run from its seed.

use std::sync::Mutex;

/// A source of random bytes.
pub trait Rng: Send + Sync + std::fmt::Debug {
    /// Fills `bytes` with random values.
    fn fill(&self, bytes: &mut [u8]);

    /// A random number over the whole range.
    fn next_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

/// The process's cryptographic generator (ChaCha, seeded by the operating system).
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRng;

impl Rng for SystemRng {
    #[allow(clippy::disallowed_methods, reason = "the real generator")]
    fn fill(&self, bytes: &mut [u8]) {
        rand::RngCore::fill_bytes(&mut rand::rng(), bytes);
    }
}

/// A reproducible generator for tests and simulation (SplitMix64; not for secrets).
#[derive(Debug)]
pub struct SeededRng(Mutex<u64>);

impl SeededRng {
    pub const fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }

    fn step(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Rng for SeededRng {
    fn fill(&self, bytes: &mut [u8]) {
        let mut state = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&Self::step(&mut state).to_le_bytes()[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First output of SplitMix64 for seed 0, as in the reference implementation by Sebastiano Vigna.
    #[test]
    fn seeded_is_reproducible() {
        assert_eq!(SeededRng::new(0).next_u64(), 0xe220_a839_7b1d_cdaf);
        let (a, b) = (SeededRng::new(1), SeededRng::new(1));
        assert_eq!((a.next_u64(), a.next_u64()), (b.next_u64(), b.next_u64()));
    }

    #[test]
    fn system_fills_every_byte() {
        let mut seen = [0_u8; 32];
        for _ in 0..64 {
            let mut bytes = [0; 32];
            SystemRng.fill(&mut bytes);
            seen.iter_mut().zip(bytes).for_each(|(seen, byte)| *seen |= byte);
        }
        assert!(seen.iter().all(|byte| *byte != 0));
    }
}
