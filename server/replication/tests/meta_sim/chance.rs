//! All chance of a run, from its seed, shared by all that happens in it.

use std::sync::Arc;

use flymq_types::{Rng, SeededRng};

/// The same seed, the same numbers. Clones draw from one.
#[derive(Debug, Clone)]
pub struct Chance(Arc<SeededRng>);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(SeededRng::new(seed)))
    }

    /// A number of `from..=to`.
    pub fn within(&self, from: u64, to: u64) -> u64 {
        from + self.0.next_u64() % (to - from + 1)
    }

    /// True `percent` times of a hundred.
    pub fn percent(&self, percent: u64) -> bool {
        self.within(0, 99) < percent
    }

    /// One of them; there is one.
    pub fn pick<T: Copy>(&self, from: &[T]) -> T {
        from[usize::try_from(self.within(0, from.len() as u64 - 1)).unwrap()]
    }
}
