//! Three real brokers, one process each, that are killed, frozen and cut off from each other while clients write and
//! read: `make cluster-test`. Histories and rules are those of `tests/crash` (`flymq_tests::{history, checker}`).
//!
//! ```text
//! FLYMQ_CRASH=long        as many cycles as `make cluster-test` runs; without it a few, as in every test run
//! FLYMQ_CRASH_ONLY=b2,b15 only these
//! FLYMQ_CRASH_CYCLES=n    so many cycles in each
//! FLYMQ_CRASH_DOCS=1      writes the cluster's table of docs/reliability.md
//! FLYMQ_TEST_SEED=n       the chance of an earlier run
//! FLYMQ_TEST_KEEP=dir     keeps data directories, logs and histories there
//! ```
//! Where the machine lets it (root, `ip`), each node has a network namespace of its own and the network between any two
//! can be cut in either direction; elsewhere those scenarios say that they did not run.

mod clock;
mod cluster;
mod discovery;
mod gauge;
mod load;
mod look;
mod membership;
mod net;
mod run;
mod scenario;
mod trouble;

use flymq_tests::{broker, checker, effort, history, mounts, row};
