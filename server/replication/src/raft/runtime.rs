//! What openraft runs on: tokio, with chance that a simulation can seed.

use std::cell::RefCell;
use std::future::Future;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use flymq_types::{Rng, SeededRng, SystemRng};
use openraft::{AsyncRuntime, OptionalSend, TokioRuntime};
use rand_core::RngCore;

thread_local! {
    static SEEDED: RefCell<Option<SeededRng>> = const { RefCell::new(None) };
}

/// A thread on which one seed decides: openraft's chance comes from it, and disk work is done on the thread itself, one piece after
/// the other. With a tokio runtime of this thread alone, whose clock is paused, a run is a function of its seed. Ends when dropped.
#[derive(Debug)]
pub struct Simulation(PhantomData<Rc<()>>);

impl Simulation {
    /// From now on, on this thread.
    pub fn begin(seed: u64) -> Self {
        SEEDED.set(Some(SeededRng::new(seed)));
        Self(PhantomData)
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        SEEDED.set(None);
    }
}

/// Whether this thread runs a [`Simulation`].
pub(crate) fn is_simulated() -> bool {
    SEEDED.with_borrow(Option::is_some)
}

/// [`TokioRuntime`] but for its chance.
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
        SEEDED.with_borrow(|seeded| match seeded {
            Some(seeded) => seeded.next_u64(),
            None => SystemRng.next_u64(),
        })
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        SEEDED.with_borrow(|seeded| match seeded {
            Some(seeded) => seeded.fill(bytes),
            None => SystemRng.fill(bytes),
        });
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl AsyncRuntime for MetaRuntime {
    type JoinError = <TokioRuntime as AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::JoinHandle<T>;
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
        TokioRuntime::spawn(future)
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
        TokioRuntime::is_panic(join_error)
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
