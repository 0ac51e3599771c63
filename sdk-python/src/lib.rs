//! `pyflymq._core`: the Rust client core as Python sees it. Handles and bytes, no policy: what a call means, the
//! Python package or the client core decides.
//!
//! Whatever may wait returns an [`Operation`](operation::Operation), which Python either waits for (without the
//! interpreter lock, and open to Ctrl-C) or awaits. Control calls cross as JSON, records as bytes (docs/adr/0002).

#![expect(
    missing_debug_implementations,
    reason = "handles that only Python sees; it prints them its own way"
)]

mod broker;
mod client;
mod consumer;
mod convert;
mod encryption;
mod error;
mod gate;
mod handover;
mod operation;
mod producer;
mod queue;
mod serde;
mod transaction;
mod wait;

use pyo3::prelude::*;

/// Name of the module is fixed by `pyproject.toml`.
#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    gate::install(module)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<operation::Operation>()?;
    module.add_class::<client::Client>()?;
    module.add_class::<producer::Producer>()?;
    module.add_class::<producer::Delivery>()?;
    module.add_class::<consumer::Consumer>()?;
    module.add_class::<queue::Queue>()?;
    module.add_class::<queue::Listener>()?;
    module.add_class::<serde::SchemaSerde>()?;
    module.add_class::<transaction::TransactionalProducer>()?;
    module.add_class::<broker::Broker>()?;
    module.add_class::<encryption::Encryptor>()?;
    module.add_function(wrap_pyfunction!(encryption::generate_key, module)?)?;
    module.add_function(wrap_pyfunction!(error::error_traits, module)?)?;
    module.add_function(wrap_pyfunction!(error::error_codes, module)?)
}
