//! Questions that wait for their answers.

use std::collections::HashMap;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::peer::PeerError;

type Answer = Result<Bytes, PeerError>;

/// The questions of one connection.
#[derive(Debug, Default)]
pub(super) struct Calls(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// The connection has ended for this reason.
    ended: Option<String>,
    last: u64,
    calls: HashMap<u64, Call>,
}

#[derive(Debug)]
struct Call {
    answer: oneshot::Sender<Answer>,
    /// Given to the socket: it may have its effect.
    written: bool,
}

impl Call {
    fn failure(&self, reason: &str) -> PeerError {
        let reason = reason.to_owned();
        if self.written { PeerError::Lost { reason } } else { PeerError::Unreachable { reason } }
    }
}

impl Calls {
    /// A new question, and where its answer comes.
    pub(super) fn begin(&self) -> Result<(u64, oneshot::Receiver<Answer>), PeerError> {
        let mut waiting = self.0.lock();
        if let Some(reason) = &waiting.ended {
            return Err(PeerError::Unreachable { reason: reason.clone() });
        }
        waiting.last += 1;
        let id = waiting.last;
        let (answer, receiver) = oneshot::channel();
        waiting.calls.insert(id, Call { answer, written: false });
        Ok((id, receiver))
    }

    /// It is about to be written; false where nobody waits for it any more.
    pub(super) fn start(&self, id: u64) -> bool {
        self.0.lock().calls.get_mut(&id).is_some_and(|call| {
            call.written = true;
            true
        })
    }

    /// Nobody waits for it any more, for this reason.
    pub(super) fn give_up(&self, id: u64, reason: &str) -> PeerError {
        let call = self.0.lock().calls.remove(&id);
        // Answered or failed just now: the answer is lost with it.
        call.map_or_else(|| PeerError::Lost { reason: reason.to_owned() }, |call| call.failure(reason))
    }

    /// The answer has come. False: nobody waits for it.
    pub(super) fn finish(&self, id: u64, answer: Answer) -> bool {
        let call = self.0.lock().calls.remove(&id);
        call.is_some_and(|call| call.answer.send(answer).is_ok())
    }

    /// The connection has ended: no answer comes any more.
    pub(super) fn end(&self, reason: &str) {
        let calls = {
            let mut waiting = self.0.lock();
            waiting.ended.get_or_insert_with(|| reason.to_owned());
            std::mem::take(&mut waiting.calls)
        };
        for call in calls.into_values() {
            let failure = call.failure(reason);
            let _ = call.answer.send(Err(failure));
        }
    }
}

/// Takes the question back when the future that waits for its answer is dropped.
pub(super) struct GiveUp<'a> {
    pub(super) calls: &'a Calls,
    pub(super) id: u64,
}

impl Drop for GiveUp<'_> {
    fn drop(&mut self) {
        self.calls.0.lock().calls.remove(&self.id);
    }
}
