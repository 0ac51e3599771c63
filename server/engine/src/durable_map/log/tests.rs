use std::pin::pin;

use futures::poll;

use super::*;

/// Two batches of which the later one hears first that both are committed: its caller must not be answered before it is in the map.
#[tokio::test]
async fn what_is_told_to_be_kept_is_in_the_map() {
    let mut pending = Pending::<u8>::default();
    let first = pending.push(vec![1]);
    let second = pending.push(vec![2]);
    let mut told = pin!(pending.over(second));
    pending.came(second, Some(Offset(1)));
    assert_eq!(pending.take_known(Offset::ZERO).len(), 0);
    pending.tell();
    assert!(poll!(&mut told).is_pending(), "the first is not in the map, so the second is not");
    pending.came(first, None);
    let known = pending.take_known(Offset::ZERO);
    assert_eq!(known.iter().map(|entry| entry.outcome).collect::<Vec<_>>(), [Some(false), Some(true)]);
    pending.tell();
    assert!(poll!(&mut told).is_ready());
}

/// Another term: whatever was under way is over.
#[tokio::test]
async fn nobody_waits_for_a_term_that_is_over() {
    let mut pending = Pending::<u8>::default();
    pending.push(vec![1]);
    let last = pending.push(vec![2]);
    let told = pending.over(last);
    pending.queue.clear();
    pending.tell();
    told.await;
}
