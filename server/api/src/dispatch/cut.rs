//! Cutting what was fetched into replies, off the runtime's threads where that means to inflate.

use flymq_engine::Fetched;
use flymq_types::{Limits, Offset};

use crate::{
    BrokerError, ErrorCode,
    convert::{Opener, Page, Shape, inflates},
};

/// Memory of all inflated batches together, from the read until the last reply with their records is written. Several times
/// the largest batch, so that readers of ordinary ones never wait for each other.
const INFLATED_BYTES: usize = 128 << 20;

/// Cuts replies for all readers of the process.
#[derive(Debug, Clone)]
pub(super) struct Cutter {
    limits: Limits,
    opener: Opener,
}

impl Cutter {
    pub fn new(limits: Limits) -> Self {
        Self { limits, opener: Opener::new(&limits, INFLATED_BYTES) }
    }

    /// What opens batches, within the budget of all readers.
    pub fn opener(&self) -> &Opener {
        &self.opener
    }

    /// The page, and `fetched` back.
    ///
    /// # Errors
    /// Those of [`Page::cut`].
    pub async fn cut(
        &self,
        from: Offset,
        fetched: Fetched,
        shape: Shape,
    ) -> Result<(Page, Fetched), BrokerError> {
        if !inflates(&fetched, shape) {
            return Ok((Page::cut(from, &fetched, shape, &self.limits, &self.opener)?, fetched));
        }
        let Self { limits, opener } = self.clone();
        let cut = move || {
            let page = Page::cut(from, &fetched, shape, &limits, &opener);
            page.map(|page| (page, fetched))
        };
        tokio::task::spawn_blocking(cut).await.unwrap_or_else(|ended| {
            Err(BrokerError::new(ErrorCode::Internal, format!("opening batches failed: {ended}")))
        })
    }
}
