//! How much of a scenario is run, and with which chance.

use std::str::FromStr;

use rand::{SeedableRng as _, rngs::StdRng};

/// A number from the environment.
pub fn number<T: FromStr>(variable: &str) -> Option<T> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

/// `FLYMQ_CRASH=long` (`make crash`), or the short version that every test run has.
pub fn is_long() -> bool {
    std::env::var("FLYMQ_CRASH").is_ok_and(|effort| effort == "long")
}

/// `short` or `long`, by effort; `FLYMQ_CRASH_CYCLES` goes before both.
pub fn cycles(short: u64, long: u64) -> u64 {
    number("FLYMQ_CRASH_CYCLES").unwrap_or(if is_long() { long } else { short })
}

/// Whether `FLYMQ_CRASH_ONLY` (names with commas, as in `b1,b12`) leaves this scenario out.
pub fn left_out(id: &str) -> bool {
    let only = std::env::var("FLYMQ_CRASH_ONLY").unwrap_or_default();
    !only.is_empty() && !only.split(',').any(|name| name.trim().eq_ignore_ascii_case(id))
}

/// Chance that `FLYMQ_TEST_SEED` makes again what it made before.
pub fn rng(scenario: &str) -> StdRng {
    let seed = number("FLYMQ_TEST_SEED").unwrap_or_else(rand::random);
    eprintln!("{scenario}: seed {seed}");
    StdRng::seed_from_u64(seed)
}
