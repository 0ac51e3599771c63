//! The real broker, in this process: for tests and for `connect(":memory:")`.

use std::sync::{Arc, Mutex};

use flymq_client::{ClientError, ErrorCode};
use flymq_server::RunningBroker;
use pyo3::prelude::*;

use crate::operation::Operation;

/// A running broker on free loopback ports.
#[pyclass(frozen, module = "pyflymq._core")]
pub struct Broker {
    running: Arc<Mutex<Option<RunningBroker>>>,
    /// `host:port` of 0xAF.
    #[pyo3(get)]
    address: String,
    /// `host:port` of gRPC.
    #[pyo3(get)]
    grpc_address: String,
    /// `host:port` of REST.
    #[pyo3(get)]
    rest_address: Option<String>,
}

#[pymethods]
impl Broker {
    /// An operation that gives a broker on a data directory.
    #[staticmethod]
    fn start(data_dir: std::path::PathBuf) -> Operation {
        Operation::new(async move {
            let running = flymq_server::start(flymq_server::Config::embedded(data_dir))
                .await
                .map_err(|e| ClientError::new(ErrorCode::Unavailable, e.to_string()))?;
            Ok(Self {
                address: running.native_addr().to_string(),
                grpc_address: running.grpc_addr().to_string(),
                rest_address: running.rest_addr().map(|addr| addr.to_string()),
                running: Arc::new(Mutex::new(Some(running))),
            })
        })
    }

    /// Stops it in order; nothing to do when it is stopped.
    fn stop(&self) -> Operation {
        let running = Arc::clone(&self.running);
        Operation::new(async move {
            let running = running.lock().ok().and_then(|mut running| running.take());
            if let Some(running) = running {
                running.shutdown().await;
            }
            Ok(())
        })
    }
}
