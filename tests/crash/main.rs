//! The crash and fault harness: each scenario (`scenario/bNN_….rs`, numbered as in `docs/reliability.md`) does one kind of
//! harm to a broker under load, and one checker holds one format of history against what the broker promises.
//!
//! ```text
//! FLYMQ_CRASH=long        as many cycles as `make crash` runs; without it a few, as in every test run
//! FLYMQ_CRASH_ONLY=b1,b12 only these; the other rows of the table stay
//! FLYMQ_CRASH_CYCLES=n    so many cycles in each
//! FLYMQ_CRASH_DOCS=1      writes the table of docs/reliability.md
//! FLYMQ_TEST_SEED=n       the chance of an earlier run
//! FLYMQ_TEST_HISTORY=file keeps the history; after a violation it is kept in any case, and its path printed
//! ```

mod injury;
mod load;
mod read_back;
mod run;
mod scenario;
mod specimen;
mod strace;

use flymq_tests::{broker, checker, effort, history, mounts, row, transactions};
