//! A broker that goes away while messages are read.

use std::time::Duration;

use flymq_client::ClientError;

use crate::output;

/// Between two attempts at a broker that is away.
pub const AGAIN: Duration = Duration::from_secs(1);

/// A broker that was there comes back; one that never was is an error.
#[derive(Debug, Default)]
pub struct Away {
    read: bool,
    away: bool,
}

impl Away {
    /// It has answered.
    pub fn is_back(&mut self) {
        (self.read, self.away) = (true, false);
    }

    /// Whether to try again after [`AGAIN`]; says so the first time.
    ///
    /// # Errors
    /// The error, where trying again is of no use.
    pub fn may_pass(&mut self, error: ClientError) -> Result<(), ClientError> {
        if !error.retryable || !self.read {
            return Err(error);
        }
        if !std::mem::replace(&mut self.away, true) {
            output::warn(&format!("{}; trying again until it is back (Ctrl-C ends)", error.message));
        }
        Ok(())
    }
}
