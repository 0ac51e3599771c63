//! Results of core threads, brought to an asyncio event loop.

use std::mem;

use pyo3::{
    exceptions::PyRuntimeError,
    prelude::*,
    sync::PyOnceLock,
    types::{PyCFunction, PyModule},
};
use tokio::task::AbortHandle;

use crate::{
    error::to_py,
    gate,
    operation::{Outcome, Pending},
};

static RUNNING_LOOP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static SETTLE: PyOnceLock<Py<PyCFunction>> = PyOnceLock::new();

/// An asyncio future of the running loop that gets the call's result; its cancellation cancels the call.
///
/// # Errors
/// `RuntimeError` without a running loop, or while the interpreter ends.
pub fn future(py: Python<'_>, pending: Pending) -> PyResult<Bound<'_, PyAny>> {
    if gate::is_closed() {
        return Err(PyRuntimeError::new_err("nothing can be awaited while the interpreter ends"));
    }
    let event_loop = RUNNING_LOOP.import(py, "asyncio", "get_running_loop")?.call0()?;
    let future = event_loop.call_method0("create_future")?;
    let recipient = Recipient { event_loop: event_loop.unbind(), future: future.clone().unbind() };
    let task = flymq_client::runtime().spawn(async move { recipient.take(pending.await) });
    future.call_method1("add_done_callback", (Cancel { task: task.abort_handle() },))?;
    Ok(future)
}

/// Where a result goes.
struct Recipient {
    event_loop: Py<PyAny>,
    future: Py<PyAny>,
}

impl Recipient {
    /// Hands the result over, unless the interpreter ends.
    fn take(self, outcome: Outcome) {
        let Some(_inside) = gate::enter() else {
            // To give the references back would touch the interpreter.
            mem::forget(self);
            return;
        };
        Python::attach(|py| {
            // The loop is closed: nobody waits for the result any more.
            drop(self.hand_over(py, outcome));
        });
    }

    fn hand_over(self, py: Python<'_>, outcome: Outcome) -> PyResult<()> {
        let value = match outcome {
            Ok(finish) => finish(py),
            Err(error) => Err(to_py(py, &error)),
        };
        let (setter, value) = match value {
            Ok(value) => ("set_result", value),
            Err(error) => ("set_exception", error.into_value(py).into_any()),
        };
        let settle = settle(py)?;
        self.event_loop.call_method1(py, "call_soon_threadsafe", (settle, self.future, setter, value))?;
        Ok(())
    }
}

fn settle(py: Python<'_>) -> PyResult<&Py<PyCFunction>> {
    SETTLE.get_or_try_init(py, || {
        let module = PyModule::new(py, "pyflymq._core")?;
        Ok(wrap_pyfunction!(set_unless_done, &module)?.unbind())
    })
}

/// In the loop's thread: the awaiting side may have been cancelled meanwhile.
#[pyfunction]
fn set_unless_done(future: &Bound<'_, PyAny>, setter: &str, value: Bound<'_, PyAny>) -> PyResult<()> {
    if !future.call_method0("done")?.is_truthy()? {
        future.call_method1(setter, (value,))?;
    }
    Ok(())
}

/// Stops the call of a future that was cancelled.
#[pyclass(frozen, module = "pyflymq._core")]
struct Cancel {
    task: AbortHandle,
}

#[pymethods]
impl Cancel {
    /// As a done callback: a call that has ended is not changed by it.
    fn __call__(&self, _future: &Bound<'_, PyAny>) {
        self.task.abort();
    }
}
