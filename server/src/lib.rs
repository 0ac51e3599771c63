//! FlyMQ, the broker: the composition root. The one place that sees every component, and only puts them together.
//!
//! ```text
//! main ─► cli (arguments, exit codes) ─► start(Config) ─► RunningBroker
//!                                         bind listeners ─► data directory ─► metadata ─► engine ─► layers ─► doors
//!                                         (a member of a cluster enters it between data directory and metadata)
//! ```
//!
//! Programs and SDKs run the real broker in their own process:
//!
//! ```no_run
//! # async fn run() -> Result<(), flymq_server::StartError> {
//! let broker = flymq_server::start(flymq_server::Config::embedded("/tmp/flymq-data")).await?;
//! println!("listening on {}", broker.native_addr());
//! broker.shutdown().await;
//! # Ok(()) }
//! ```

mod advertise;
mod banner;
mod build;
pub mod cli;
mod cluster;
pub mod dev;
mod doors;
mod encryption;
mod error;
mod listen;
mod logging;
mod open_files;
mod retention;
mod running;
mod scrub;
mod start;

pub use error::StartError;
pub use flymq_config::Config;
pub use running::RunningBroker;
pub use start::{start, start_loaded};

/// Version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
