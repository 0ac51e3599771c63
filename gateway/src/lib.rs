//! The HTTP doors: REST and its OpenAPI document derived from the `google.api.http` options of the proto files, Prometheus
//! metrics, and health. Nothing here knows an rpc by name, except where metrics and health ask the broker about itself.

mod health;
mod http;
pub mod metrics;
mod openapi;
mod registry;
mod rest;

pub use health::{Health, serve_health};
pub use http::HttpLimits;
pub use metrics::{MetricsOptions, serve_metrics};
pub use openapi::document as openapi_document;
pub use rest::{RestOptions, serve_rest};
