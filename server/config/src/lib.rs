//! FlyMQ's configuration: one Options struct per component, read in four layers
//! (default, file, environment, flag), checked, and shown with the source of every value.
//!
//! ```
//! use flymq_config::{Args, Config, LoadArgs};
//!
//! let args = Args::parse(["-set".to_owned(), "topics.default_partitions=3".to_owned()])?;
//! let loaded = Config::load(&args.load_args(LoadArgs::from_process()))?;
//! assert_eq!(loaded.config.topics.default_partitions, 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod args;
mod choice;
mod codec;
mod error;
mod feature;
mod file;
mod host;
mod keys;
mod listen_addr;
mod load;
mod nearest;
mod node;
mod options;
mod reference;
mod secret;
mod show;
mod source;
mod validate;

pub use args::{Args, Command, USAGE, UsageError};
pub use choice::{LogLevel, Role, SchemaValidation};
pub use error::{ConfigError, Problem};
pub use feature::{FEATURES, Feature, FeatureState};
pub use flymq_types::Acks;
pub use host::Host;
pub use keys::{KEYS, Key, TOOL_VARIABLES};
pub use listen_addr::ListenAddr;
pub use load::{FlagOverride, LoadArgs, Loaded};
pub use options::*;
pub use reference::render_reference;
pub use secret::Secret;
pub use show::render_show;
pub use source::Source;
