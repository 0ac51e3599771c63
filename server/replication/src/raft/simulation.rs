//! A thread on which one seed decides all that is left to chance: what is drawn, and which of several ready tasks goes on.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use flymq_types::{Rng, SeededRng};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::oneshot;

thread_local! {
    static RUN: RefCell<Option<Rc<Run>>> = const { RefCell::new(None) };
}

/// The task that [`Simulation::drive`] was given.
const MAIN: u64 = 0;

/// From [`Simulation::begin`] until it is dropped, on this thread, openraft's chance comes from the seed, disk work is a task like any
/// other, and tasks are run here and not by tokio, whose order of waking is not to be repeated (its watch channels draw lots). Under a tokio
/// runtime of this thread alone with a paused clock a run is a function of its seed.
#[derive(Debug)]
pub struct Simulation(Rc<Run>);

/// A task of the simulation; answers with what it ended with. Goes on when this is dropped.
#[derive(Debug)]
pub struct SimulatedTask<T> {
    id: u64,
    outcome: oneshot::Receiver<T>,
}

/// The task was aborted.
#[derive(Debug)]
pub struct Aborted;

struct Run {
    chance: SeededRng,
    order: Order,
    tasks: RefCell<BTreeMap<u64, BoxFuture<'static, ()>>>,
    /// So many were started.
    started: Cell<u64>,
    ready: Arc<Ready>,
}

/// Who goes on first of those that can: some orders are seldom met by chance.
#[derive(Debug, Clone, Copy)]
enum Order {
    Any,
    OldestFirst,
    NewestFirst,
}

#[derive(Default)]
struct Ready {
    tasks: Mutex<BTreeSet<u64>>,
    /// Of the future that drives them.
    driver: Mutex<Option<Waker>>,
}

struct TaskWaker {
    task: u64,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.ready.tasks.lock().insert(self.task);
        if let Some(driver) = self.ready.driver.lock().as_ref() {
            driver.wake_by_ref();
        }
    }
}

impl Simulation {
    /// From now on, on this thread.
    pub fn begin(seed: u64) -> Self {
        let chance = SeededRng::new(seed);
        let order = match chance.next_u64() % 4 {
            0 => Order::OldestFirst,
            1 => Order::NewestFirst,
            _ => Order::Any,
        };
        let run = Rc::new(Run {
            chance,
            order,
            tasks: RefCell::default(),
            started: Cell::new(MAIN),
            ready: Arc::default(),
        });
        RUN.set(Some(run.clone()));
        Self(run)
    }

    /// Runs `main` and all tasks that it starts, until `main` is done.
    pub async fn drive<F: Future>(&self, main: F) -> F::Output {
        let mut main = pin!(main);
        self.0.ready.tasks.lock().insert(MAIN);
        // Tokio would have it yield after some operations; the tasks that did not get to run would then wait for nobody.
        tokio::task::unconstrained(poll_fn(|context| self.0.turn(context, main.as_mut()))).await
    }

    /// Disk work, which takes its time before and after it has its effect. Panics on a thread without a simulation.
    pub(crate) fn work<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> SimulatedTask<T> {
        let [before, after] = [(); 2].map(|()| with_chance(disk_time));
        Self::spawn(async move {
            tokio::time::sleep(before).await;
            let done = work();
            tokio::time::sleep(after).await;
            done
        })
    }

    /// Starts a task. Panics on a thread without a simulation.
    pub fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> SimulatedTask<T> {
        RUN.with_borrow(|run| run.as_ref().map(|run| run.start(task))).unwrap_or_else(|| {
            panic!("there is no simulation on this thread");
        })
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        // What is dropped may start something.
        while let Some((_, task)) = self.0.take_first() {
            drop(task);
        }
        RUN.set(None);
    }
}

impl Run {
    fn start<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> SimulatedTask<T> {
        let id = self.started.get() + 1;
        self.started.set(id);
        let (tell, outcome) = oneshot::channel();
        let task = async move {
            // Nobody has to wait for it.
            let _unheard = tell.send(task.await);
        };
        self.tasks.borrow_mut().insert(id, Box::pin(task));
        self.wake(id).wake();
        SimulatedTask { id, outcome }
    }

    fn wake(&self, task: u64) -> Arc<TaskWaker> {
        Arc::new(TaskWaker { task, ready: self.ready.clone() })
    }

    fn take_first(&self) -> Option<(u64, BoxFuture<'static, ()>)> {
        self.tasks.borrow_mut().pop_first()
    }

    /// One of those that can go on.
    fn next(&self) -> Option<u64> {
        let mut ready = self.ready.tasks.lock();
        let task = match self.order {
            Order::OldestFirst => ready.first().copied()?,
            Order::NewestFirst => ready.last().copied()?,
            Order::Any => {
                let nth = self.chance.next_u64().checked_rem(ready.len() as u64)?;
                ready.iter().copied().nth(usize::try_from(nth).ok()?)?
            }
        };
        ready.remove(&task);
        Some(task)
    }

    /// Goes on with whatever can, until nothing does or `main` is done.
    fn turn<F: Future>(&self, context: &Context<'_>, mut main: Pin<&mut F>) -> Poll<F::Output> {
        *self.ready.driver.lock() = Some(context.waker().clone());
        while let Some(id) = self.next() {
            let waker = Waker::from(self.wake(id));
            let mut context = Context::from_waker(&waker);
            if id == MAIN {
                if let Poll::Ready(output) = main.as_mut().poll(&mut context) {
                    return Poll::Ready(output);
                }
                continue;
            }
            let task = self.tasks.borrow_mut().remove(&id);
            if let Some(mut task) = task
                && task.as_mut().poll(&mut context).is_pending()
            {
                self.tasks.borrow_mut().insert(id, task);
            }
        }
        Poll::Pending
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Run").field("started", &self.started).finish_non_exhaustive()
    }
}

impl<T> SimulatedTask<T> {
    /// Ends it where it waits; not from within itself.
    pub fn abort(&self) {
        let task = RUN.with_borrow(|run| run.as_ref()?.tasks.borrow_mut().remove(&self.id));
        drop(task);
    }
}

impl<T> Future for SimulatedTask<T> {
    type Output = Result<T, Aborted>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.outcome).poll(context).map_err(|_| Aborted)
    }
}

/// Often nothing, seldom long.
fn disk_time(chance: Option<&SeededRng>) -> Duration {
    let drawn = chance.map_or(0, Rng::next_u64);
    Duration::from_millis(match drawn % 64 {
        0 => (drawn >> 6) % 100,
        1..=31 => (drawn >> 6) % 4,
        _ => 0,
    })
}

/// Whether this thread runs a [`Simulation`].
pub(crate) fn is_simulated() -> bool {
    RUN.with_borrow(Option::is_some)
}

/// With the simulation's chance, where there is one.
pub(super) fn with_chance<T>(draw: impl FnOnce(Option<&SeededRng>) -> T) -> T {
    RUN.with_borrow(|run| draw(run.as_ref().map(|run| &run.chance)))
}
