//! What openraft runs on: tokio, or a simulation.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use flymq_types::{Rng, SystemRng};
use openraft::{AsyncRuntime, OptionalSend, TokioRuntime};
use rand_core::RngCore;

use super::simulation::{self, Aborted, SimulatedTask, Simulation};

/// [`TokioRuntime`] but for chance and tasks of a [`Simulation`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct MetaRuntime;

/// The simulation's chance, or the system's.
pub(crate) struct Chance;

impl RngCore for Chance {
    fn next_u32(&mut self) -> u32 {
        // The upper half.
        (self.next_u64() >> 32) as u32
    }

    fn next_u64(&mut self) -> u64 {
        simulation::with_chance(|seeded| match seeded {
            Some(seeded) => seeded.next_u64(),
            None => SystemRng.next_u64(),
        })
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        simulation::with_chance(|seeded| match seeded {
            Some(seeded) => seeded.fill(bytes),
            None => SystemRng.fill(bytes),
        });
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

/// A task of openraft's.
pub(crate) enum Task<T> {
    Tokio(tokio::task::JoinHandle<T>),
    Simulated(SimulatedTask<T>),
}

/// It did not end by itself.
#[derive(Debug)]
pub(crate) enum TaskError {
    Tokio(tokio::task::JoinError),
    Simulated(Aborted),
}

impl<T> Future for Task<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Tokio(task) => Pin::new(task).poll(context).map_err(TaskError::Tokio),
            Self::Simulated(task) => Pin::new(task).poll(context).map_err(TaskError::Simulated),
        }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tokio(error) => error.fmt(to),
            Self::Simulated(Aborted) => to.write_str("the task was aborted"),
        }
    }
}

impl AsyncRuntime for MetaRuntime {
    type JoinError = TaskError;
    type JoinHandle<T: OptionalSend + 'static> = Task<T>;
    type Sleep = <TokioRuntime as AsyncRuntime>::Sleep;
    type Instant = <TokioRuntime as AsyncRuntime>::Instant;
    type TimeoutError = <TokioRuntime as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = <TokioRuntime as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = Chance;
    type OneshotSender<T: OptionalSend> = <TokioRuntime as AsyncRuntime>::OneshotSender<T>;
    type OneshotReceiverError = <TokioRuntime as AsyncRuntime>::OneshotReceiverError;
    type OneshotReceiver<T: OptionalSend> = <TokioRuntime as AsyncRuntime>::OneshotReceiver<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        match simulation::is_simulated() {
            true => Task::Simulated(Simulation::spawn(future)),
            false => Task::Tokio(TokioRuntime::spawn(future)),
        }
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        TokioRuntime::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        TokioRuntime::sleep_until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        TokioRuntime::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: Self::Instant,
        future: F,
    ) -> Self::Timeout<R, F> {
        TokioRuntime::timeout_at(deadline, future)
    }

    fn is_panic(join_error: &Self::JoinError) -> bool {
        // A simulation ends with the first task that panics.
        matches!(join_error, TaskError::Tokio(error) if TokioRuntime::is_panic(error))
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        Chance
    }

    fn oneshot<T>() -> (Self::OneshotSender<T>, Self::OneshotReceiver<T>)
    where
        T: OptionalSend,
    {
        TokioRuntime::oneshot()
    }
}
