//! `flymq-cli backup` against the broker's process: what comes back is what was there, whatever is killed on the way, and
//! nothing comes back from a backup with a flaw.
//!
//! `FLYMQ_TEST_BACKUP_CYCLES`: backups under load with kills (default 6). `FLYMQ_TEST_SEED`: what is killed when.
#![allow(clippy::disallowed_methods, reason = "runs processes")]
#![allow(clippy::unwrap_used, reason = "a test ends there")]

mod broker;
mod damage;
mod kills;
mod load;
mod round_trip;
mod world;
