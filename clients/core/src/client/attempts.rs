//! One request with its repeats, within its time.

use std::{ops::ControlFlow, time::Duration};

use tokio::time::{Instant, sleep, timeout_at};

use super::Client;
use crate::{ClientError, retry::Retries};

/// What a request is about, as far as that says which node has to answer it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum To<'a> {
    /// Any node can, or sends it on.
    Any,
    /// The node that leads this partition.
    Leader { topic: &'a str, partition: i32 },
}

/// The attempts at one request.
pub(crate) struct Attempts<'a> {
    client: &'a Client,
    what: &'a str,
    idempotent: bool,
    retries: Retries,
    limit: Duration,
    deadline: Instant,
    /// Why the last attempt failed.
    last: Option<ClientError>,
}

impl<'a> Attempts<'a> {
    /// A request that may take `limit` from now; `idempotent`: a repeat of one that took effect does no harm.
    pub(crate) fn new(client: &'a Client, what: &'a str, idempotent: bool, limit: Duration) -> Self {
        let config = client.config();
        let retries = Retries::new(config.max_retries, config.retry_backoff);
        Self { client, what, idempotent, retries, limit, deadline: Instant::now() + limit, last: None }
    }

    /// With repeats of its own, and since an earlier moment.
    pub(crate) fn with(self, retries: Retries, since: std::time::Instant) -> Self {
        Self { retries, deadline: Instant::from_std(since) + self.limit, ..self }
    }

    /// Makes an attempt, and the wait that follows one which failed. Break: the result; Continue: try again.
    pub(crate) async fn step<T>(
        &mut self,
        to: To<'_>,
        attempt: impl Future<Output = Result<T, ClientError>>,
    ) -> ControlFlow<Result<T, ClientError>> {
        self.client.keep_up();
        let error = match timeout_at(self.deadline, attempt).await {
            Ok(Ok(reply)) => return ControlFlow::Break(Ok(reply)),
            Ok(Err(error)) => error,
            Err(_elapsed) => {
                // Who was asked may have stood still: the next request asks who leads now.
                let error = self.timed_out();
                self.client.learn(to, &error);
                return ControlFlow::Break(Err(error));
            }
        };
        self.client.learn(to, &error);
        let others = self.client.has_others();
        let Some(wait) = self.retries.after(&error, self.idempotent, others) else {
            return ControlFlow::Break(Err(error));
        };
        if Instant::now() + wait >= self.deadline {
            return ControlFlow::Break(Err(self.given_up(error)));
        }
        tracing::debug!(what = self.what, retries = ?self.retries, %error, ?wait, "retrying");
        self.last = Some(error);
        sleep(wait).await;
        ControlFlow::Continue(())
    }

    fn timed_out(&self) -> ClientError {
        let mut error = ClientError::timeout(self.what, self.limit);
        if let Some(last) = &self.last {
            error.message = format!("{}; the attempt before failed: {}", error.message, last.message);
        }
        error
    }

    /// The failure itself, and for how long it has been like that.
    fn given_up(&self, mut error: ClientError) -> ClientError {
        error.message = format!("{} (tried for {} ms)", error.message, self.limit.as_millis());
        error
    }
}
