//! Locks and atomics of what waits for a watermark: the real ones, or those of loom, which runs a model in every order that
//! threads can take (`make loom`).

#[cfg(not(all(loom, test)))]
pub(crate) use parking_lot::Mutex;
#[cfg(not(all(loom, test)))]
pub(crate) use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};

#[cfg(all(loom, test))]
pub(crate) use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
#[cfg(all(loom, test))]
pub(crate) use modelled::Mutex;

#[cfg(all(loom, test))]
mod modelled {
    use loom::sync::MutexGuard;

    /// loom's lock with the face of the real one.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("loom does not poison")
        }
    }
}
