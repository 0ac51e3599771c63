//! Transactions of version 1 before their commit: what was produced in each waits in this node's memory.
//!
//! An id works on any connection of the same user, as it always did. All buffers together are bounded, and one that nobody
//! touches for `idle` is emptied; its id is remembered for as long again, so that its commit says why it fails.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use flymq_types::{Rng as _, SystemRng};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use super::error::Failure;

/// Bytes of one transaction, its overhead included.
const MAX_BYTES: usize = 16 << 20;
/// Of all of them.
const MAX_BYTES_TOGETHER: usize = 64 << 20;
/// Transactions at one time.
const MAX_OPEN: usize = 1_000;
/// Memory that a value takes beside its bytes.
const OVERHEAD: usize = 96;

/// The values of a transaction by topic: topics in the order of their first one, values in theirs.
pub(super) type Values = Vec<(String, Vec<Bytes>)>;

/// The transactions of all connections of the door.
#[derive(Debug)]
pub(crate) struct Buffers {
    all: Mutex<All>,
    idle: Duration,
}

#[derive(Debug, Default)]
struct All {
    by_id: HashMap<String, Buffer>,
    bytes: usize,
}

#[derive(Debug)]
struct Buffer {
    user: Option<String>,
    state: State,
    touched: Instant,
    bytes: usize,
    values: Values,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Active,
    /// Its values are being written.
    Committing,
    /// Its values are dropped: nobody touched it for too long.
    Expired,
}

impl Buffers {
    pub(crate) fn new(idle: Duration) -> Arc<Self> {
        Arc::new(Self { all: Mutex::default(), idle })
    }

    /// A new transaction's id: as long as those of the original server, which clients keep as opaque text.
    pub(super) fn begin(self: &Arc<Self>, user: Option<&str>) -> Result<String, Failure> {
        let digits = || SystemRng.next_u64() % 10_u64.pow(19);
        let id = format!("txn-producer-{:019}-{:019}", digits(), digits());
        let mut all = self.all.lock();
        if all.by_id.len() >= MAX_OPEN {
            return Err(Failure::text(format!("{MAX_OPEN} transactions are open at this node, try later")));
        }
        let user = user.map(str::to_owned);
        let touched = Instant::now();
        let buffer = Buffer { user, state: State::Active, touched, bytes: 0, values: Vec::new() };
        all.by_id.insert(id.clone(), buffer);
        tokio::spawn(expire(Arc::downgrade(self), id.clone(), touched + self.idle));
        Ok(id)
    }

    pub(super) fn add(&self, user: Option<&str>, id: &str, topic: &str, value: &[u8]) -> Result<(), Failure> {
        let mut all = self.all.lock();
        let together = all.bytes;
        let buffer = all.active(user, id)?;
        let size = OVERHEAD + topic.len() + value.len();
        if buffer.bytes + size > MAX_BYTES {
            return Err(Failure::text(format!("a transaction holds at most {MAX_BYTES} bytes")));
        }
        if together + size > MAX_BYTES_TOGETHER {
            return Err(Failure::text("the transactions of this node hold too much memory, try later"));
        }
        // A frame's payload lies in one allocation with what came behind it: the value alone is kept.
        let value = Bytes::copy_from_slice(value);
        match buffer.values.iter_mut().find(|(known, _)| known == topic) {
            Some((_, values)) => values.push(value),
            None => buffer.values.push((topic.to_owned(), vec![value])),
        }
        buffer.bytes += size;
        buffer.touched = Instant::now();
        all.bytes += size;
        Ok(())
    }

    /// Its values, to be written. Meanwhile nobody else commits, changes or drops it.
    pub(super) fn take(&self, user: Option<&str>, id: &str) -> Result<Values, Failure> {
        let mut all = self.all.lock();
        let buffer = all.active(user, id)?;
        buffer.state = State::Committing;
        Ok(std::mem::take(&mut buffer.values))
    }

    /// Nothing of what was taken was committed: it can be tried again.
    pub(super) fn give_back(&self, id: &str, values: Values) {
        if let Some(buffer) = self.all.lock().by_id.get_mut(id) {
            (buffer.state, buffer.values, buffer.touched) = (State::Active, values, Instant::now());
        }
    }

    /// Forgets one that was taken.
    pub(super) fn finish(&self, id: &str) {
        self.all.lock().remove(id);
    }

    /// Whether there was something to drop.
    pub(super) fn roll_back(&self, user: Option<&str>, id: &str) -> bool {
        let mut all = self.all.lock();
        let dropped = all.active(user, id).is_ok();
        if dropped {
            all.remove(id);
        }
        dropped
    }

    /// Whether the id is known to this user, be it expired.
    pub(super) fn knows(&self, user: Option<&str>, id: &str) -> bool {
        self.all.lock().by_id.get(id).is_some_and(|buffer| buffer.user.as_deref() == user)
    }
}

impl All {
    fn active(&mut self, user: Option<&str>, id: &str) -> Result<&mut Buffer, Failure> {
        let known = self.by_id.get_mut(id).filter(|buffer| buffer.user.as_deref() == user);
        let buffer = known.ok_or_else(|| Failure::text(format!("transaction not found: {id}")))?;
        match buffer.state {
            State::Active => Ok(buffer),
            State::Committing => Err(Failure::text("transaction is not active: committing")),
            State::Expired => Err(Failure::text("transaction is not active: expired")),
        }
    }

    fn remove(&mut self, id: &str) {
        if let Some(gone) = self.by_id.remove(id) {
            self.bytes -= gone.bytes;
        }
    }
}

/// Empties a transaction that is not touched any more, and forgets it later.
async fn expire(buffers: Weak<Buffers>, id: String, mut at: Instant) {
    loop {
        sleep_until(at).await;
        let Some(buffers) = buffers.upgrade() else { return };
        let mut all = buffers.all.lock();
        let Some(buffer) = all.by_id.get_mut(&id) else { return };
        let now = Instant::now();
        at = buffer.touched + buffers.idle;
        if at > now {
            continue;
        }
        at = now + buffers.idle;
        let dropped = match buffer.state {
            State::Committing => 0,
            State::Active => {
                (buffer.state, buffer.values, buffer.touched) = (State::Expired, Vec::new(), now);
                std::mem::take(&mut buffer.bytes)
            }
            State::Expired => return all.remove(&id),
        };
        all.bytes -= dropped;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(len: usize) -> Bytes {
        vec![7; len].into()
    }

    /// Waits until `done`.
    async fn until(done: impl Fn() -> bool) {
        while !done() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn one_that_nobody_touches_is_emptied_and_then_forgotten() {
        let buffers = Buffers::new(Duration::from_millis(30));
        let (id, other) = (buffers.begin(None).unwrap(), buffers.begin(None).unwrap());
        assert_eq!(id.len(), 52);
        buffers.add(None, &other, "t", &value(1)).unwrap();
        assert_eq!(buffers.take(None, &other).unwrap(), [("t".to_owned(), vec![value(1)])]);
        buffers.add(None, &id, "t", &value(10)).unwrap();
        let is_expired = || buffers.all.lock().by_id.get(&id).is_none_or(|it| it.state == State::Expired);
        until(is_expired).await;
        assert_eq!(buffers.all.lock().bytes, OVERHEAD + 2, "of the other one");
        until(|| !buffers.knows(None, &id)).await;
        assert!(buffers.knows(None, &other), "one that commits is never dropped");
        buffers.finish(&other);
        let all = buffers.all.lock();
        assert_eq!((all.by_id.len(), all.bytes), (0, 0));
    }

    #[tokio::test]
    async fn an_expired_one_says_so() {
        let buffers = Buffers::new(Duration::from_secs(60));
        let id = buffers.begin(None).unwrap();
        buffers.all.lock().by_id.get_mut(&id).unwrap().state = State::Expired;
        assert_eq!(buffers.take(None, &id).unwrap_err().text, "transaction is not active: expired");
        assert!(buffers.knows(None, &id) && !buffers.roll_back(None, &id));
    }

    #[tokio::test]
    async fn memory_and_numbers_are_bounded_and_given_back() {
        let buffers = Buffers::new(Duration::from_secs(60));
        let ids: Vec<_> = (0..MAX_OPEN).map(|_| buffers.begin(None).unwrap()).collect();
        assert!(buffers.begin(None).unwrap_err().text.contains("1000 transactions"));
        let add = |n: usize, len| buffers.add(None, &ids[n], "t", &value(len));
        assert!(add(0, MAX_BYTES).unwrap_err().text.contains("at most"));
        for n in 0..4 {
            add(n, MAX_BYTES - OVERHEAD - 1).unwrap();
        }
        assert!(add(4, 1).unwrap_err().text.contains("memory"));
        assert!(buffers.roll_back(None, &ids[0]) && !buffers.roll_back(None, &ids[0]));
        add(4, 1).unwrap();
        assert!(buffers.begin(None).is_ok());
    }

    #[tokio::test]
    async fn an_id_is_its_users_own_and_one_that_commits_stays_as_it_is() {
        let buffers = Buffers::new(Duration::from_secs(60));
        let id = buffers.begin(Some("ann")).unwrap();
        for other in [None, Some("bob")] {
            assert!(buffers.add(other, &id, "t", &value(1)).unwrap_err().text.contains("not found"));
            assert!(!buffers.roll_back(other, &id) && !buffers.knows(other, &id));
        }
        buffers.add(Some("ann"), &id, "t", &value(1)).unwrap();
        let taken = buffers.take(Some("ann"), &id).unwrap();
        assert!(buffers.take(Some("ann"), &id).is_err() && !buffers.roll_back(Some("ann"), &id));
        buffers.give_back(&id, taken.clone());
        assert_eq!(buffers.take(Some("ann"), &id).unwrap(), taken);
    }
}
