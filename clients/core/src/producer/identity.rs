//! Who an idempotent producer is to the broker.

use std::sync::OnceLock;

use tokio::sync::OnceCell;

use crate::{Client, ClientError, pb, pb::ErrorCode};

/// Ids of a producer: one for the messages whose partition follows from them, one for those that may go to any. So each of
/// them is numbered by one queue alone.
#[derive(Debug, Default)]
pub(super) struct Identity {
    named: OnceCell<Option<u64>>,
    any: OnceCell<Option<u64>>,
    /// Why the producer cannot go on.
    fatal: OnceLock<ClientError>,
}

impl Identity {
    fn cell(&self, any: bool) -> &OnceCell<Option<u64>> {
        if any { &self.any } else { &self.named }
    }

    /// The id, once it was asked for; the inner `None`: the server gives none.
    pub(super) fn at_hand(&self, any: bool) -> Option<Option<u64>> {
        self.cell(any).get().copied()
    }

    /// The id; asked for once. `None` from a server that does not know of idempotent producers.
    ///
    /// # Errors
    /// Those of the call.
    pub(super) async fn get(&self, client: &Client, any: bool) -> Result<Option<u64>, ClientError> {
        let asked = self.cell(any).get_or_try_init(|| async {
            let request = pb::InitProducerRequest::default();
            match client.call::<_, pb::InitProducerResponse>("InitProducer", &request).await {
                Ok(reply) => Ok(Some(reply.producer_id)),
                Err(error) if error.code == ErrorCode::Unimplemented => Ok(None),
                // Nothing of a batch has been sent.
                Err(error) => Err(error.unsent()),
            }
        });
        asked.await.copied()
    }

    /// The producer cannot go on: what it knows to be stored, the server does not.
    pub(super) fn end(&self, why: &ClientError) -> ClientError {
        let ended = || {
            let mut error = why.clone();
            error.message = format!("this producer cannot go on: {}", error.message);
            error
        };
        self.fatal.get_or_init(ended).clone()
    }

    /// Refuses what comes after the end.
    pub(super) fn check(&self) -> Result<(), ClientError> {
        self.fatal.get().map_or(Ok(()), |error| Err(error.clone()))
    }
}
