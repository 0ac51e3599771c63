//! Answers pay for their bytes until these are written: a client that does not read holds only its share of the memory.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use flymq_api::{BrokerError, ReadBudget, ReadShare};
use http_body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use tonic::{Status, body::Body};

/// Messages up to this size are not counted.
const SMALL: usize = 16 * 1024;

/// What the messages of one call hold between their encoding and the connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unwritten(Arc<Mutex<Vec<ReadShare>>>);

impl Unwritten {
    /// Pays for a message that is sent next.
    ///
    /// # Errors
    /// `OVERLOADED` while others that nobody reads hold all of the budget.
    pub fn pay(&self, budget: &ReadBudget, bytes: usize) -> Result<(), BrokerError> {
        if bytes > SMALL {
            let share = budget.share();
            share.take(bytes)?;
            self.0.lock().push(share);
        }
        Ok(())
    }

    /// The body whose bytes hold what was paid for them, for as long as they are anywhere.
    pub fn body(self, body: Body) -> Body {
        Body::new(Paid { body, shares: self })
    }
}

struct Paid {
    body: Body,
    shares: Unwritten,
}

struct Held {
    bytes: Bytes,
    _shares: Vec<ReadShare>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HttpBody for Paid {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let hold = |bytes: Bytes| {
            let shares = std::mem::take(&mut *self.shares.0.lock());
            if shares.is_empty() { bytes } else { Bytes::from_owner(Held { bytes, _shares: shares }) }
        };
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(hold))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
