//! A call that may wait: Python chooses how.

use std::{sync::Mutex, time::Duration};

use flymq_client::ClientError;
use futures::{FutureExt as _, future::BoxFuture};
use pyo3::{IntoPyObject, IntoPyObjectExt as _, exceptions::PyRuntimeError, prelude::*};

use crate::{error::to_py, handover, wait};

pub type Finish = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;
/// What a call ended with; its value becomes a Python object where the interpreter lock is held.
pub type Outcome = Result<Finish, ClientError>;
pub type Pending = BoxFuture<'static, Outcome>;

/// A call that has not begun: `wait()` runs it in this thread, `await` in the event loop. Only one of them, once.
#[pyclass(frozen, module = "pyflymq._core")]
pub struct Operation {
    pending: Mutex<Option<Pending>>,
}

impl Operation {
    /// From a future whose value Python understands.
    pub fn new<T>(future: impl Future<Output = Result<T, ClientError>> + Send + 'static) -> Self
    where
        T: for<'py> IntoPyObject<'py> + Send + 'static,
    {
        let pending = future.map(|result| {
            result.map(|value| Box::new(move |py: Python<'_>| value.into_py_any(py)) as Finish)
        });
        Self { pending: Mutex::new(Some(pending.boxed())) }
    }

    fn take(&self) -> PyResult<Pending> {
        let taken = self.pending.lock().ok().and_then(|mut pending| pending.take());
        taken.ok_or_else(|| PyRuntimeError::new_err("this operation was waited for before"))
    }
}

#[pymethods]
impl Operation {
    /// The result. Other threads run meanwhile, and Ctrl-C ends the wait.
    #[pyo3(signature = (timeout_ms = None))]
    fn wait(&self, py: Python<'_>, timeout_ms: Option<u64>) -> PyResult<Py<PyAny>> {
        let limit = timeout_ms.map(Duration::from_millis);
        let done = wait::block(py, self.take()?, limit)?;
        match done.value {
            Some(Ok(finish)) => finish(py),
            Some(Err(error)) => Err(to_py(py, &error)),
            None => Err(to_py(py, &ClientError::timeout("the wait", limit.unwrap_or_default()))),
        }
    }

    fn __await__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let future = handover::future(py, self.take()?)?;
        future.call_method0("__await__")
    }
}
