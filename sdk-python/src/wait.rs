//! Blocking waits of Python threads.

use std::time::{Duration, Instant};

use futures::{FutureExt as _, future::BoxFuture};
use pyo3::prelude::*;

/// How long a signal such as Ctrl-C may go unnoticed.
const SLICE: Duration = Duration::from_millis(50);

/// Waits for a future with the interpreter lock released; `None` when `limit` is over.
///
/// # Errors
/// What a signal handler raises (`KeyboardInterrupt`); the future is dropped then, which cancels its request.
pub fn block<T: Send>(
    py: Python<'_>,
    mut future: BoxFuture<'static, T>,
    limit: Option<Duration>,
) -> PyResult<Option<T>> {
    if let Some(done) = ready(&mut future) {
        return Ok(Some(done));
    }
    let deadline = limit.map(|limit| Instant::now() + limit);
    loop {
        let slice = deadline.map_or(SLICE, |at| SLICE.min(at.saturating_duration_since(Instant::now())));
        let done = py.detach(|| {
            let slice = async { tokio::time::timeout(slice, future.as_mut()).await };
            flymq_client::runtime().block_on(slice).ok()
        });
        if done.is_some() {
            return Ok(done);
        }
        py.check_signals()?;
        if deadline.is_some_and(|at| Instant::now() >= at) {
            return Ok(None);
        }
    }
}

/// The value of a future that needs no wait, such as a poll of messages that were fetched ahead: with the lock held,
/// since to release and take it costs more than that.
fn ready<T>(future: &mut BoxFuture<'static, T>) -> Option<T> {
    let _timers = flymq_client::runtime().enter();
    future.now_or_never()
}
