use flymq_wire::batch::{BatchBuilder, HEADER_LEN, NewRecord, ServerFields, stamp_header};
use futures::{FutureExt as _, stream};

use super::*;

/// A batch of one record of `len` bytes at `offset`.
fn batch(offset: u64, len: usize) -> Bytes {
    let mut builder = BatchBuilder::new();
    let value = vec![0; len];
    builder.push(&NewRecord { value: Some(&value), ..NewRecord::default() }).expect("small");
    let mut bytes = builder.build().expect("one record").to_vec();
    stamp_header(&mut bytes, &ServerFields { base_offset: offset, ..ServerFields::default() })
        .expect("sound");
    bytes.into()
}

/// A run of `count` batches of `len` bytes from offset `first` on.
fn run(first: u64, count: u64, len: usize) -> pb::SubscribeResponse {
    pb::SubscribeResponse {
        topic: "t".to_owned(),
        next_offset: first + count,
        high_watermark: 100,
        batches: (first..first + count).map(|offset| batch(offset, len)).collect(),
        ..Default::default()
    }
}

fn opened(
    runs: Vec<Result<pb::SubscribeResponse, BrokerError>>,
) -> BoxFuture<'static, Result<BatchStream, BrokerError>> {
    futures::future::ready(Ok(stream::iter(runs).boxed())).boxed()
}

fn open(
    streams: &mut Streams<'_>,
    correlation: u32,
    credit: u32,
    runs: Vec<Result<pb::SubscribeResponse, BrokerError>>,
) {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    streams.open(&mut cx, correlation, credit, opened(runs)).expect("it opens");
}

fn next(streams: &mut Streams<'_>) -> Poll<Event> {
    streams.poll_event(&mut Context::from_waker(std::task::Waker::noop()))
}

fn push(streams: &mut Streams<'_>) -> (u32, PushBody) {
    match next(streams) {
        Poll::Ready(Event::Push(correlation, body)) => (correlation, body),
        Poll::Ready(Event::Ended(_) | Event::Failed(..)) | Poll::Pending => panic!("no push"),
    }
}

#[test]
fn a_stream_never_sends_more_than_its_credit_and_a_batch() {
    let one = batch(0, 1000).len();
    let mut streams = Streams::default();
    open(&mut streams, 7, (one + 1) as u32, vec![Ok(run(0, 5, 1000))]);
    let (correlation, body) = push(&mut streams);
    assert_eq!((correlation, body.runs.len(), body.next_offset), (7, 2, 2));
    assert!(next(&mut streams).is_pending(), "the credit is used up");
    streams.add_credit(7, one as u32);
    let (_, body) = push(&mut streams);
    assert_eq!((body.runs.len(), body.next_offset), (1, 3), "one byte was owed");
    streams.add_credit(7, u32::MAX);
    let (_, body) = push(&mut streams);
    assert_eq!((body.runs.len(), body.next_offset), (2, 5));
    assert!(matches!(next(&mut streams), Poll::Ready(Event::Ended(7))));
    assert_eq!(streams.len(), 0);
}

#[test]
fn a_batch_in_two_pieces_is_one_batch() {
    let split = |offset| {
        let whole = batch(offset, 1000);
        [whole.slice(..HEADER_LEN), whole.slice(HEADER_LEN..)]
    };
    let batches = (0..3).flat_map(split).collect();
    let run = pb::SubscribeResponse { batches, next_offset: 3, ..Default::default() };
    let mut streams = Streams::default();
    open(&mut streams, 7, 1200, vec![Ok(run)]);
    let (_, body) = push(&mut streams);
    assert_eq!((body.runs.len(), body.next_offset), (4, 2), "the credit is used up within the second batch");
    streams.add_credit(7, u32::MAX);
    let (_, body) = push(&mut streams);
    assert_eq!((body.runs.len(), body.next_offset), (2, 3));
}

#[test]
fn a_push_is_bounded_but_for_one_batch() {
    let mut streams = Streams::default();
    open(&mut streams, 1, u32::MAX, vec![Ok(run(0, 2, 400 << 10)), Ok(run(2, 10, 100 << 10))]);
    let counts: Vec<usize> = (0..7).map(|_| push(&mut streams).1.runs.len()).collect();
    assert_eq!(counts, [1, 1, 2, 2, 2, 2, 2]);
}

#[test]
fn streams_take_turns_and_end_alone() {
    let mut streams = Streams::default();
    let lost = BrokerError::new(flymq_api::ErrorCode::Unavailable, "stopping");
    open(&mut streams, 1, 0, vec![Ok(run(0, 1, 10)), Ok(run(1, 1, 10)), Err(lost)]);
    open(&mut streams, 2, 0, vec![Ok(run(0, 1, 10)), Ok(run(1, 1, 10))]);
    let order: Vec<u32> = (0..4).map(|_| push(&mut streams).0).collect();
    assert_eq!(order, [1, 2, 1, 2]);
    assert!(matches!(next(&mut streams), Poll::Ready(Event::Failed(1, _))));
    assert!(streams.contains(2) && !streams.contains(1));
    assert!(streams.cancel(2) && !streams.cancel(2));
    assert!(next(&mut streams).is_pending());
}
