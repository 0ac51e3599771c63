//! Blocking waits of Python threads.

use std::time::{Duration, Instant};

use futures::{FutureExt as _, future::BoxFuture};
use pyo3::prelude::*;

use crate::gate::{self, Pass};

/// How long a signal such as Ctrl-C may go unnoticed.
const SLICE: Duration = Duration::from_millis(50);

/// The end of a wait.
pub struct Done<T> {
    /// `None` when the time was over.
    pub value: Option<T>,
    /// Held until the caller has made a Python object of the value; none if the lock was never released.
    _inside: Option<Pass>,
}

/// Waits for a future with the interpreter lock released, until it has a value or `limit` is over.
///
/// # Errors
/// What a signal handler raises (`KeyboardInterrupt`); the future is dropped then, which cancels its request.
pub fn block<T: Send>(
    py: Python<'_>,
    mut future: BoxFuture<'static, T>,
    limit: Option<Duration>,
) -> PyResult<Done<T>> {
    if let Some(done) = ready(&mut future) {
        return Ok(Done { value: Some(done), _inside: None });
    }
    let deadline = limit.map(|limit| Instant::now() + limit);
    loop {
        let slice = deadline.map_or(SLICE, |at| SLICE.min(at.saturating_duration_since(Instant::now())));
        let (value, inside) = py.detach(|| {
            let slice = async { tokio::time::timeout(slice, future.as_mut()).await };
            let value = flymq_client::runtime().block_on(slice).ok();
            (value, gate::enter_or_park())
        });
        if value.is_none() {
            py.check_signals()?;
        }
        if value.is_some() || deadline.is_some_and(|at| Instant::now() >= at) {
            return Ok(Done { value, _inside: Some(inside) });
        }
    }
}

/// The value of a future that needs no wait, such as a poll of messages that were fetched ahead: with the lock held,
/// since to release and take it costs more than that.
fn ready<T>(future: &mut BoxFuture<'static, T>) -> Option<T> {
    let _timers = flymq_client::runtime().enter();
    future.now_or_never()
}
