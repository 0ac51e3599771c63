//! The door between core threads and an interpreter that may be ending.
//!
//! Whoever takes the interpreter lock while Python finalises is killed or hangs inside it, by version, and a killed
//! thread with Rust frames aborts the process. So every thread that is about to take it enters here first, and
//! `atexit` closes the door and waits for those inside.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, ThreadId},
    time::Duration,
};

use pyo3::prelude::*;

/// How long an exit waits for threads inside. Only a fork could use it up: its child has the count, not the threads.
const PATIENCE: Duration = Duration::from_secs(2);

static GATE: Gate = Gate::new();

struct Gate {
    state: Mutex<State>,
    left: Condvar,
}

struct State {
    inside: usize,
    /// The thread that ends the interpreter, which alone may still pass.
    closed_by: Option<ThreadId>,
}

impl Gate {
    const fn new() -> Self {
        Self { state: Mutex::new(State { inside: 0, closed_by: None }), left: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds it can panic half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to take the interpreter lock, until it is dropped.
pub struct Pass(());

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = GATE.state();
        state.inside -= 1;
        if state.inside == 0 {
            GATE.left.notify_all();
        }
    }
}

/// For a core thread before it attaches: `None` once the interpreter ends, and Python must not be touched again.
pub fn enter() -> Option<Pass> {
    let mut state = GATE.state();
    if state.closed_by.is_some_and(|closer| closer != thread::current().id()) {
        return None;
    }
    state.inside += 1;
    Some(Pass(()))
}

/// For a Python thread before it takes the lock back: once the interpreter ends it stays here for good, as a daemon
/// thread does in Python's own waits. Non-daemon threads have ended by then.
pub fn enter_or_park() -> Pass {
    loop {
        match enter() {
            Some(pass) => return pass,
            None => thread::park(),
        }
    }
}

/// Whether the interpreter ends.
pub fn is_closed() -> bool {
    GATE.state().closed_by.is_some()
}

/// Closes the door and waits, without the lock, until nobody is inside.
#[pyfunction]
fn close_gate(py: Python<'_>) {
    py.detach(|| {
        let mut state = GATE.state();
        state.closed_by = Some(thread::current().id());
        let waited = GATE.left.wait_timeout_while(state, PATIENCE, |state| state.inside > 0);
        drop(waited);
    });
}

/// Lets the interpreter's end close the door.
///
/// # Errors
/// What `atexit.register` raises.
pub fn install(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let close = wrap_pyfunction!(close_gate, module)?;
    module.py().import("atexit")?.call_method1("register", (close,))?;
    Ok(())
}
