//! Memory for requests while a door reads them: the layers bound what runs, this bounds what arrives.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::{BrokerError, ErrorCode};

/// Bytes that all requests of a door may hold together from their first byte until they are answered.
#[derive(Debug, Clone)]
pub struct ReadBudget {
    left: Arc<AtomicUsize>,
    limit: usize,
    /// What holds it.
    what: &'static str,
}

impl ReadBudget {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { left: Arc::new(AtomicUsize::new(limit)), limit, what: "requests being read" }
    }

    /// A budget of `limit` bytes for answers that are not written yet.
    pub fn of_answers(limit: usize) -> Self {
        Self { what: "answers that their clients do not read", ..Self::new(limit) }
    }

    /// The share of one request, empty at first.
    pub fn share(&self) -> ReadShare {
        ReadShare { budget: self.clone(), taken: AtomicUsize::new(0) }
    }
}

/// What one request holds of a [`ReadBudget`]; given back when it is dropped.
#[derive(Debug)]
pub struct ReadShare {
    budget: ReadBudget,
    taken: AtomicUsize,
}

impl ReadShare {
    /// Takes `bytes` more.
    ///
    /// # Errors
    /// `OVERLOADED` when others hold too much, `FRAME_TOO_LARGE` when the request would not fit an empty broker either.
    pub fn take(&self, bytes: usize) -> Result<(), BrokerError> {
        let took = self
            .budget
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        if took.is_ok() {
            self.taken.fetch_add(bytes, Ordering::Relaxed);
            return Ok(());
        }
        let limit = self.budget.limit;
        let whole = self.taken.load(Ordering::Relaxed).saturating_add(bytes);
        if whole > limit {
            let text = format!("the request takes about {whole} bytes of memory; {limit} are the limit");
            return Err(BrokerError::new(ErrorCode::FrameTooLarge, text).with("limit", limit));
        }
        let text = format!("{} hold all of the {limit} bytes they may hold together", self.budget.what);
        Err(BrokerError::new(ErrorCode::Overloaded, text).with("limit", limit))
    }
}

impl Drop for ReadShare {
    fn drop(&mut self) {
        self.budget.left.fetch_add(*self.taken.get_mut(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_come_back() {
        let budget = ReadBudget::new(100);
        let (first, second) = (budget.share(), budget.share());
        first.take(60).expect("fits");
        assert_eq!(second.take(50).expect_err("too much together").code, ErrorCode::Overloaded);
        second.take(40).expect("fits");
        drop(first);
        second.take(60).expect("given back");
        assert_eq!(second.take(1).expect_err("more than all").code, ErrorCode::FrameTooLarge);
        drop(second);
        budget.share().take(100).expect("all of it");
    }
}
