//! A request body that pays for its bytes as they arrive.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use flymq_api::ReadShare;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::{Code, Status, body::Body};

/// The code by which an unpaid body is known; the transport itself does not use it for requests.
pub(crate) const NO_ROOM: Code = Code::Unavailable;

/// Ends with [`NO_ROOM`] when the share is refused more bytes.
pub(crate) struct Metered {
    body: Body,
    share: Arc<ReadShare>,
}

impl Metered {
    pub fn body(body: Body, share: Arc<ReadShare>) -> Body {
        Body::new(Self { body, share })
    }
}

impl HttpBody for Metered {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            None => return Poll::Ready(None),
        };
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        Poll::Ready(Some(match self.share.take(bytes) {
            Ok(()) => Ok(frame),
            Err(error) => Err(Status::new(NO_ROOM, error.message)),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
