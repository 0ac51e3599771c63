//! Prometheus metrics: what the process counted, and what the broker says at the time of the scrape.

mod broker;
mod recorder;
mod serve;
mod text;
mod topics;

pub use recorder::install;
pub use serve::{MetricsOptions, serve_metrics};
