//! The rules one by one. What they are worth together, `tests/sim` shows.

mod hand_over;
mod pace;

use bytes::Bytes;
use flymq_types::Acks;

use super::*;

const A: BrokerId = BrokerId(1);
const B: BrokerId = BrokerId(2);
const C: BrokerId = BrokerId(3);
/// The registration of every broker here.
const REGISTERED: BrokerEpoch = BrokerEpoch(1);

fn meta(leader: BrokerId, epoch: u32, isr: &[BrokerId], partition_epoch: u32) -> PartitionMeta {
    PartitionMeta {
        replicas: vec![A, B, C],
        isr: isr.to_vec(),
        adding: Vec::new(),
        leader: Some(leader),
        successor: None,
        leader_epoch: LeaderEpoch(epoch),
        partition_epoch,
    }
}

/// A log of `end` durable records: from each offset on, that epoch.
fn log(epochs: &[(u32, u64)], end: u64) -> LogView {
    let entry = |&(epoch, start)| EpochStart { epoch: LeaderEpoch(epoch), start: Offset(start) };
    LogView {
        end: Offset(end),
        durable: Offset(end),
        epochs: EpochList::new(epochs.iter().map(entry).collect()),
        ..LogView::default()
    }
}

fn step(replica: &mut Replica, now: Millis, event: ReplicaEvent) -> Vec<ReplicaAction> {
    let mut out = Vec::new();
    replica.step(now, event, &mut out);
    out
}

/// A broker with a fresh session that has been told of `meta`, and what it did.
fn replica(me: BrokerId, log: LogView, meta: PartitionMeta) -> (Replica, Vec<ReplicaAction>) {
    let mut replica = Replica::new(me, REGISTERED, ReplicaSettings::default(), log);
    step(&mut replica, 0, ReplicaEvent::SessionRenewed { sent: 0 });
    let out = step(&mut replica, 0, ReplicaEvent::Meta(meta));
    (replica, out)
}

fn produce(replica: &mut Replica, now: Millis, acks: Acks, token: u64) -> Vec<ReplicaAction> {
    let batch = Bytes::from_static(b"batch");
    step(replica, now, ReplicaEvent::Produce { batch, records: 1, acks, token: Token(token) })
}

fn durable(replica: &mut Replica, end: u64) -> Vec<ReplicaAction> {
    let generation = replica.log().generation;
    step(replica, 1, ReplicaEvent::LocalDurable { end: Offset(end), generation })
}

fn stream(number: u32) -> StreamId {
    StreamId { broker_epoch: REGISTERED, number }
}

fn position(end: u64) -> Position {
    let end = Offset(end);
    Position { end, durable: end, log_start: Offset(0), high_watermark: Offset(0), fenced: false }
}

fn ack(epoch: u32, number: u32, position: Position) -> Frame {
    Frame::Ack { leader_epoch: LeaderEpoch(epoch), stream: stream(number), position }
}

fn frame(replica: &mut Replica, now: Millis, from: BrokerId, frame: Frame) -> Vec<ReplicaAction> {
    step(replica, now, ReplicaEvent::Frame { from, frame })
}

fn completed(out: &[ReplicaAction]) -> Vec<(u64, Result<Offset, ReplicaError>)> {
    let result = |action: &ReplicaAction| match action {
        ReplicaAction::Complete { token, result } => Some((token.0, *result)),
        _ => None,
    };
    out.iter().filter_map(result).collect()
}

fn isr_change(out: &[ReplicaAction]) -> Option<IsrChange> {
    let change = |action: &ReplicaAction| match action {
        ReplicaAction::AlterIsr(change) => Some(change.clone()),
        _ => None,
    };
    out.iter().find_map(change)
}

fn members(change: &IsrChange) -> Vec<BrokerId> {
    change.isr.iter().map(|(id, _)| *id).collect()
}

fn range(epoch: u32, first: u64, until: u64, batches: u32, prev: Option<u32>) -> Frame {
    let runs = vec![EpochStart { epoch: LeaderEpoch(batches), start: Offset(first) }];
    Frame::Range {
        head: RangeHead {
            leader_epoch: LeaderEpoch(epoch),
            stream: stream(1),
            first: Offset(first),
            prev_epoch: prev.map(LeaderEpoch),
            high_watermark: Offset(0),
            log_start: Offset(0),
        },
        chunk: Chunk { first: Offset(first), until: Offset(until), epochs: runs, raw: Bytes::new() },
    }
}

#[test]
fn all_is_answered_when_everyone_in_sync_has_it_on_disk() {
    let (mut leader, _) = replica(A, log(&[], 0), meta(A, 1, &[A, B, C], 1));
    assert!(completed(&produce(&mut leader, 1, Acks::All, 7)).is_empty());
    assert!(completed(&durable(&mut leader, 1)).is_empty());
    assert!(completed(&frame(&mut leader, 1, B, ack(1, 1, position(1)))).is_empty());
    let in_page_cache = Position { durable: Offset(0), ..position(1) };
    assert!(completed(&frame(&mut leader, 1, C, ack(1, 1, in_page_cache))).is_empty());
    let out = frame(&mut leader, 1, C, ack(1, 1, position(1)));
    assert_eq!(completed(&out), [(7, Ok(Offset(0)))]);
    assert_eq!(leader.high_watermark(), Offset(1));
}

#[test]
fn the_leaders_own_disk_counts() {
    let (mut leader, _) = replica(A, log(&[], 0), meta(A, 1, &[A, B], 1));
    produce(&mut leader, 1, Acks::All, 7);
    assert!(completed(&frame(&mut leader, 1, B, ack(1, 1, position(1)))).is_empty());
    assert_eq!(completed(&durable(&mut leader, 1)), [(7, Ok(Offset(0)))]);
}

#[test]
fn too_few_in_sync_refuses_before_the_append_and_commits_nothing() {
    let (mut leader, _) = replica(A, log(&[], 0), meta(A, 1, &[A], 1));
    let out = produce(&mut leader, 1, Acks::All, 7);
    assert_eq!(completed(&out), [(7, Err(ReplicaError::NotEnoughReplicas { in_sync: 1, needed: 2 }))]);
    assert_eq!(leader.log().end, Offset(0));
    assert_eq!(completed(&produce(&mut leader, 1, Acks::Leader, 8)), [(8, Ok(Offset(0)))]);
    durable(&mut leader, 1);
    assert_eq!(leader.high_watermark(), Offset(0), "one disk is not enough");
}

#[test]
fn a_stale_epoch_is_answered_with_the_current_one() {
    let (mut leader, _) = replica(A, log(&[], 0), meta(A, 5, &[A, B], 1));
    produce(&mut leader, 1, Acks::All, 7);
    durable(&mut leader, 1);
    let out = frame(&mut leader, 1, B, ack(4, 1, position(1)));
    let stale = Frame::StaleEpoch { leader_epoch: LeaderEpoch(5) };
    assert_eq!(out, [ReplicaAction::Send { to: B, frame: stale }]);
    assert_eq!(leader.high_watermark(), Offset(0));
}

#[test]
fn a_leader_that_hears_of_a_later_epoch_acks_no_more() {
    let (mut leader, _) = replica(A, log(&[], 0), meta(A, 5, &[A, B], 1));
    produce(&mut leader, 1, Acks::All, 7);
    let out = frame(&mut leader, 1, B, Frame::StaleEpoch { leader_epoch: LeaderEpoch(6) });
    assert_eq!(completed(&out), [(7, Err(ReplicaError::LeadershipLost { epoch: LeaderEpoch(5) }))]);
    assert_eq!(leader.role(), RoleName::Offline);
    let refused = completed(&produce(&mut leader, 1, Acks::All, 8));
    assert!(matches!(refused[..], [(8, Err(ReplicaError::NotLeader { .. }))]));
}

#[test]
fn nobody_leads_twice_in_an_epoch() {
    let (leader, out) = replica(A, log(&[(1, 0), (5, 9)], 9), meta(A, 5, &[A, B], 1));
    let resign = ReplicaAction::Resign { leader_epoch: LeaderEpoch(5), reason: ResignReason::EpochUsed };
    assert_eq!((leader.role(), out), (RoleName::Offline, vec![resign]));
}

#[test]
fn a_follower_cuts_where_the_epochs_part_and_nowhere_else() {
    // The high watermark that it knows is 0; 1 and 2 agree up to 6, its epoch 3 is of another leader.
    let (mut follower, out) = replica(B, log(&[(1, 0), (2, 4), (3, 6)], 9), meta(A, 5, &[A, B], 1));
    let ask = |last_epoch| Frame::EpochEndRequest {
        leader_epoch: LeaderEpoch(5),
        stream: stream(1),
        last_epoch: LeaderEpoch(last_epoch),
    };
    assert_eq!(out, [ReplicaAction::Send { to: A, frame: ask(3) }]);
    let reply = |asked, epoch, end| Frame::EpochEndReply {
        leader_epoch: LeaderEpoch(5),
        stream: stream(1),
        asked: LeaderEpoch(asked),
        epoch: Some(LeaderEpoch(epoch)),
        end: Offset(end),
    };
    let out = frame(&mut follower, 1, A, reply(3, 2, 7));
    let fetch = Frame::Fetch {
        leader_epoch: LeaderEpoch(5),
        stream: stream(1),
        from: Offset(6),
        prev_epoch: Some(LeaderEpoch(2)),
    };
    let cut = ReplicaAction::Truncate { end: Offset(6), generation: 1 };
    assert_eq!(out, [cut, ReplicaAction::Send { to: A, frame: fetch }]);
    assert!(frame(&mut follower, 1, A, reply(3, 2, 4)).is_empty(), "an answer counts once");
}

#[test]
fn epochs_are_compared_until_they_agree() {
    // KIP-279: the leader has no epoch 3 and no epoch 2, so one round is not enough.
    let (mut follower, _) = replica(B, log(&[(1, 0), (2, 4), (3, 6)], 9), meta(A, 5, &[A, B], 1));
    let reply = |asked, end| Frame::EpochEndReply {
        leader_epoch: LeaderEpoch(5),
        stream: stream(1),
        asked: LeaderEpoch(asked),
        epoch: Some(LeaderEpoch(1)),
        end: Offset(end),
    };
    frame(&mut follower, 1, A, reply(3, 3));
    assert_eq!(follower.log().end, Offset(3), "epoch 1 ends there");
    let (mut follower, _) = replica(B, log(&[(1, 0), (3, 6)], 9), meta(A, 5, &[A, B], 1));
    let between = Frame::EpochEndReply {
        leader_epoch: LeaderEpoch(5),
        stream: stream(1),
        asked: LeaderEpoch(3),
        epoch: Some(LeaderEpoch(2)),
        end: Offset(8),
    };
    let out = frame(&mut follower, 1, A, between);
    assert_eq!(follower.log().end, Offset(6), "its epoch 1 ends there, and has to be asked for");
    let again = Frame::EpochEndRequest {
        leader_epoch: LeaderEpoch(5),
        stream: stream(1),
        last_epoch: LeaderEpoch(1),
    };
    assert!(out.contains(&ReplicaAction::Send { to: A, frame: again }));
    frame(&mut follower, 1, A, reply(1, 3));
    assert_eq!(follower.log().end, Offset(3));
}

#[test]
fn a_range_whose_previous_epoch_differs_is_not_appended() {
    let (mut follower, _) = replica(B, log(&[(1, 0)], 3), meta(A, 5, &[A, B], 1));
    let reply = Frame::EpochEndReply {
        leader_epoch: LeaderEpoch(5),
        stream: stream(1),
        asked: LeaderEpoch(1),
        epoch: Some(LeaderEpoch(1)),
        end: Offset(9),
    };
    frame(&mut follower, 1, A, reply);
    frame(&mut follower, 1, A, range(5, 3, 5, 5, Some(4)));
    assert_eq!(follower.log().end, Offset(3));
    let (mut follower, _) = replica(B, log(&[], 0), meta(A, 5, &[A, B], 1));
    frame(&mut follower, 1, A, range(5, 0, 5, 4, None));
    assert_eq!(follower.log().end, Offset(5));
    frame(&mut follower, 1, A, range(5, 3, 9, 5, Some(4)));
    assert_eq!(follower.log().end, Offset(5), "what overlaps is of another epoch");
}

#[test]
fn a_follower_acknowledges_what_is_on_disk() {
    let (mut follower, _) = replica(B, log(&[], 0), meta(A, 1, &[A, B], 1));
    let out = frame(&mut follower, 1, A, range(1, 0, 5, 1, None));
    assert!(matches!(out[..], [ReplicaAction::AppendRange { from: Offset(0), .. }]), "{out:?}");
    let out = frame(&mut follower, 1, A, range(1, 0, 5, 1, None));
    let written = Position { durable: Offset(0), ..position(5) };
    assert_eq!(out, [ReplicaAction::Send { to: A, frame: ack(1, 1, written) }], "a repeat is answered");
    let out = durable(&mut follower, 5);
    assert_eq!(out, [ReplicaAction::Send { to: A, frame: ack(1, 1, position(5)) }]);
}

#[test]
fn a_sync_from_before_a_truncation_says_nothing() {
    let (mut follower, _) = replica(B, log(&[(1, 0)], 3), meta(A, 5, &[A, B], 1));
    let reply = Frame::EpochEndReply {
        leader_epoch: LeaderEpoch(5),
        stream: stream(1),
        asked: LeaderEpoch(1),
        epoch: Some(LeaderEpoch(1)),
        end: Offset(1),
    };
    frame(&mut follower, 1, A, reply);
    frame(&mut follower, 1, A, range(5, 1, 9, 5, Some(1)));
    step(&mut follower, 1, ReplicaEvent::LocalDurable { end: Offset(3), generation: 0 });
    assert_eq!((follower.log().end, follower.log().durable), (Offset(9), Offset(1)));
}

#[test]
fn who_lags_leaves_but_counts_until_that_is_committed() {
    let (mut leader, _) = replica(A, log(&[], 0), meta(A, 1, &[A, B, C], 1));
    produce(&mut leader, 1, Acks::All, 7);
    durable(&mut leader, 1);
    frame(&mut leader, 1, B, ack(1, 1, position(1)));
    assert_eq!(isr_change(&step(&mut leader, 900, ReplicaEvent::Tick)), None);
    let out = step(&mut leader, 1_002, ReplicaEvent::Tick);
    assert_eq!(members(&isr_change(&out).unwrap()), [A, B]);
    let later = step(&mut leader, 1_003, ReplicaEvent::Tick);
    assert!(completed(&out).is_empty() && completed(&later).is_empty(), "not committed yet");
    let out = step(&mut leader, 1_010, ReplicaEvent::Meta(meta(A, 1, &[A, B], 2)));
    assert_eq!(completed(&out), [(7, Ok(Offset(0)))]);
}

#[test]
fn who_joins_has_the_start_of_the_epoch_and_counts_from_the_wish_on() {
    let (mut leader, _) = replica(A, log(&[(1, 0)], 5), meta(A, 2, &[A, B], 1));
    let out = frame(&mut leader, 1, C, ack(2, 1, position(4)));
    assert_eq!(isr_change(&out), None, "the high watermark is 0, but the epoch begins at 5");
    let out = frame(&mut leader, 1, C, ack(2, 1, position(5)));
    assert_eq!(members(&isr_change(&out).unwrap()), [A, B, C]);
    produce(&mut leader, 1, Acks::All, 7);
    durable(&mut leader, 6);
    frame(&mut leader, 1, B, ack(2, 1, position(6)));
    assert_eq!(leader.high_watermark(), Offset(5), "C may be in sync already");
    frame(&mut leader, 1, C, ack(2, 1, position(6)));
    assert_eq!(leader.high_watermark(), Offset(6));
}

#[test]
fn a_refused_wish_may_still_come_true() {
    let (mut leader, _) = replica(A, log(&[], 0), meta(A, 1, &[A, B], 1));
    assert!(isr_change(&frame(&mut leader, 1, C, ack(1, 1, position(0)))).is_some());
    step(&mut leader, 2, ReplicaEvent::IsrRefused { partition_epoch: 1 });
    produce(&mut leader, 2, Acks::All, 7);
    durable(&mut leader, 1);
    let out = frame(&mut leader, 2, B, ack(1, 1, position(1)));
    assert!(completed(&out).is_empty(), "a copy of the wish may be on its way");
    let out = step(&mut leader, 200, ReplicaEvent::Tick);
    assert_eq!(members(&isr_change(&out).unwrap()), [A, B], "the present set, to move the partition epoch");
    let out = step(&mut leader, 210, ReplicaEvent::Meta(meta(A, 1, &[A, B], 2)));
    assert_eq!(completed(&out), [(7, Ok(Offset(0)))]);
}

#[test]
fn a_wish_is_repeated_for_the_process_that_it_was_for() {
    let (mut leader, _) = replica(A, log(&[], 0), meta(A, 1, &[A, B], 1));
    let first = isr_change(&frame(&mut leader, 1, C, ack(1, 1, position(0)))).unwrap();
    // C comes back with another disk, and has not said what is on it.
    let later = StreamId { broker_epoch: BrokerEpoch(9), number: 1 };
    let fetch =
        Frame::Fetch { leader_epoch: LeaderEpoch(1), stream: later, from: Offset(0), prev_epoch: None };
    frame(&mut leader, 2, C, fetch);
    assert_eq!(isr_change(&step(&mut leader, 200, ReplicaEvent::Tick)), Some(first));
}

#[test]
fn a_report_of_an_older_stream_counts_for_nothing() {
    let (mut leader, _) = replica(A, log(&[(1, 0)], 5), meta(A, 2, &[A, B], 1));
    frame(&mut leader, 1, B, ack(2, 2, position(3)));
    frame(&mut leader, 1, B, ack(2, 1, position(5)));
    assert_eq!(leader.high_watermark(), Offset(3));
    let lie = position(50);
    frame(&mut leader, 1, B, ack(2, 2, lie));
    assert_eq!(leader.high_watermark(), Offset(3), "nobody has what the leader has not");
}

#[test]
fn without_a_session_only_all_is_taken() {
    let (mut leader, _) = replica(A, log(&[], 0), meta(A, 1, &[A, B], 1));
    assert_eq!(leader.latest_offset(750), Some(Offset(0)));
    assert_eq!(leader.latest_offset(751), None);
    let refused = completed(&produce(&mut leader, 751, Acks::Leader, 7));
    assert_eq!(refused, [(7, Err(ReplicaError::SessionLost))]);
    let refused = completed(&produce(&mut leader, 751, Acks::None, 8));
    assert_eq!(refused, [(8, Err(ReplicaError::SessionLost))]);
    assert!(completed(&produce(&mut leader, 751, Acks::All, 9)).is_empty());
    step(&mut leader, 760, ReplicaEvent::SessionRenewed { sent: 755 });
    assert_eq!(completed(&produce(&mut leader, 760, Acks::Leader, 10)), [(10, Ok(Offset(1)))]);
}

#[test]
fn the_latest_offset_is_not_told_before_the_old_records_are_committed() {
    let (mut leader, _) = replica(A, log(&[(1, 0)], 5), meta(A, 2, &[A, B], 1));
    frame(&mut leader, 1, B, ack(2, 1, position(4)));
    assert_eq!((leader.high_watermark(), leader.latest_offset(1)), (Offset(4), None));
    frame(&mut leader, 1, B, ack(2, 1, position(5)));
    assert_eq!(leader.latest_offset(1), Some(Offset(5)));
}

#[test]
fn a_deletion_is_done_when_all_in_sync_have_reported_it() {
    let (mut leader, _) = replica(A, log(&[(1, 0)], 5), meta(A, 2, &[A, B], 1));
    let delete = |before| ReplicaEvent::DeleteRecords { before: Offset(before), token: Some(Token(7)) };
    let refused = completed(&step(&mut leader, 1, delete(3)));
    assert_eq!(refused, [(7, Err(ReplicaError::NotCommitted { high_watermark: Offset(0) }))]);
    frame(&mut leader, 1, B, ack(2, 1, position(5)));
    let out = step(&mut leader, 1, delete(3));
    assert!(out.contains(&ReplicaAction::AdvanceStart(Offset(3))));
    assert!(completed(&out).is_empty());
    let reported = Position { log_start: Offset(3), ..position(5) };
    let out = frame(&mut leader, 1, B, ack(2, 1, reported));
    assert_eq!(completed(&out), [(7, Ok(Offset(3)))]);
}

#[test]
fn who_sends_a_batch_again_waits_as_for_the_first_time() {
    let again = |base: u64, token| ReplicaEvent::Await {
        base: Offset(base),
        end: Offset(base + 1),
        token: Token(token),
    };
    let (mut leader, _) = replica(A, log(&[(1, 0)], 5), meta(A, 2, &[A, B], 1));
    // Found in the log when the term began, and not known to be committed.
    assert!(completed(&step(&mut leader, 1, again(4, 70))).is_empty());
    assert!(completed(&step(&mut leader, 1, again(2, 71))).is_empty());
    assert!(completed(&produce(&mut leader, 1, Acks::All, 72)).is_empty());
    assert!(completed(&step(&mut leader, 1, again(5, 73))).is_empty());
    durable(&mut leader, 6);
    let out = frame(&mut leader, 1, B, ack(2, 1, position(4)));
    assert_eq!(completed(&out), [(71, Ok(Offset(2)))]);
    let out = frame(&mut leader, 1, B, ack(2, 1, position(6)));
    assert_eq!(completed(&out), [(70, Ok(Offset(4))), (72, Ok(Offset(5))), (73, Ok(Offset(5)))]);
    assert_eq!(completed(&step(&mut leader, 1, again(4, 74))), [(74, Ok(Offset(4)))]);
    assert!(completed(&produce(&mut leader, 1, Acks::All, 75)).is_empty());
    assert!(completed(&step(&mut leader, 1, again(6, 76))).is_empty());
    let lost = Err(ReplicaError::LeadershipLost { epoch: LeaderEpoch(2) });
    let out = step(&mut leader, 2, ReplicaEvent::Meta(meta(B, 3, &[B], 2)));
    assert_eq!(completed(&out), [(75, lost), (76, lost)]);
    let (mut follower, _) = replica(A, log(&[(1, 0)], 5), meta(B, 2, &[A, B], 1));
    let refused = completed(&step(&mut follower, 1, again(2, 77)));
    assert!(matches!(refused[..], [(77, Err(ReplicaError::NotLeader { .. }))]), "{refused:?}");
}

#[test]
fn a_leader_finishes_the_deletion_of_an_earlier_one() {
    let (mut leader, _) = replica(A, log(&[(1, 0)], 5), meta(A, 2, &[A, B], 1));
    let deleted = |before| Position { log_start: Offset(before), ..position(4) };
    let out = frame(&mut leader, 1, B, ack(2, 1, deleted(3)));
    assert!(out.contains(&ReplicaAction::AdvanceStart(Offset(3))), "{out:?}");
    frame(&mut leader, 1, C, ack(2, 1, deleted(5)));
    assert_eq!(leader.log().start, Offset(3), "what is not committed is not deleted");
}

#[test]
fn who_has_what_is_deleted_does_not_join() {
    let (mut leader, _) = replica(A, log(&[(1, 0)], 5), meta(A, 2, &[A, B], 1));
    frame(&mut leader, 1, B, ack(2, 1, position(5)));
    step(&mut leader, 1, ReplicaEvent::DeleteRecords { before: Offset(3), token: None });
    assert_eq!(isr_change(&frame(&mut leader, 1, C, ack(2, 1, position(5)))), None);
    let deleted = Position { log_start: Offset(3), ..position(5) };
    assert!(isr_change(&frame(&mut leader, 1, C, ack(2, 1, deleted))).is_some());
}

#[test]
fn a_damaged_leader_gives_way_and_has_the_range_mended() {
    let span = Span { from: Offset(1), until: Offset(3) };
    let (mut leader, _) = replica(A, log(&[(1, 0)], 5), meta(A, 2, &[A, B], 1));
    let out = step(&mut leader, 1, ReplicaEvent::Corrupt(span));
    let resign = ReplicaAction::Resign { leader_epoch: LeaderEpoch(2), reason: ResignReason::Corrupt };
    assert!(out.contains(&resign));
    let out = step(&mut leader, 2, ReplicaEvent::Meta(meta(B, 3, &[B], 2)));
    assert!(
        !out.iter().any(|action| matches!(action, ReplicaAction::Truncate { .. })),
        "what it promised stays"
    );
    let out = step(&mut leader, 200, ReplicaEvent::Tick);
    let ask = Frame::RepairRequest { leader_epoch: LeaderEpoch(3), span };
    assert!(out.iter().any(|a| matches!(a, ReplicaAction::Send { frame, .. } if *frame == ask)), "{out:?}");
    let reply = |epoch| Frame::RepairReply {
        leader_epoch: LeaderEpoch(3),
        chunk: Chunk {
            first: span.from,
            until: span.until,
            epochs: vec![EpochStart { epoch: LeaderEpoch(epoch), start: span.from }],
            raw: Bytes::new(),
        },
    };
    assert!(frame(&mut leader, 201, B, reply(2)).is_empty(), "bytes of another epoch");
    assert!(matches!(frame(&mut leader, 201, B, reply(1))[..], [ReplicaAction::Repair { .. }]));
    step(&mut leader, 202, ReplicaEvent::Repaired(span));
    assert!(leader.log().corrupt.is_empty());
}

#[test]
fn a_damaged_follower_does_not_count_as_in_sync() {
    let (mut leader, _) = replica(A, log(&[(1, 0)], 5), meta(A, 2, &[A, B, C], 1));
    frame(&mut leader, 1, B, ack(2, 1, position(5)));
    let damaged = Position { fenced: true, ..position(5) };
    let out = frame(&mut leader, 1, C, ack(2, 1, damaged));
    assert_eq!(members(&isr_change(&out).unwrap()), [A, B], "at once");
    assert_eq!(leader.high_watermark(), Offset(0));
    // Asked to lead while others are in sync, it declines.
    let mut own = log(&[(1, 0)], 5);
    own.corrupt.push(Span { from: Offset(1), until: Offset(3) });
    let (_, out) = replica(C, own, meta(C, 3, &[B, C], 2));
    let resign = ReplicaAction::Resign { leader_epoch: LeaderEpoch(3), reason: ResignReason::Corrupt };
    assert_eq!(out, [resign]);
}

#[test]
fn a_follower_behind_the_start_begins_there() {
    let (mut leader, _) = replica(A, log(&[(1, 0)], 5), meta(A, 2, &[A], 1));
    leader.core.log.advance_start(Offset(4));
    let fetch =
        Frame::Fetch { leader_epoch: LeaderEpoch(2), stream: stream(1), from: Offset(2), prev_epoch: None };
    let out = frame(&mut leader, 1, B, fetch);
    let below = Frame::BelowStart { leader_epoch: LeaderEpoch(2), stream: stream(1), log_start: Offset(4) };
    assert_eq!(out, [ReplicaAction::Send { to: B, frame: below.clone() }]);
    let (mut follower, _) = replica(B, log(&[], 0), meta(A, 2, &[A], 1));
    let out = frame(&mut follower, 1, A, below);
    assert_eq!(out[0], ReplicaAction::Reset { start: Offset(4), generation: 1 });
    assert_eq!((follower.log().start, follower.log().end), (Offset(4), Offset(4)));
}

/// The leader does not count whoever has told it of damage in that stream.
#[test]
fn a_follower_whose_damage_is_deleted_begins_a_stream_that_counts() {
    let mut own = log(&[(1, 0)], 5);
    own.corrupt.push(Span { from: Offset(1), until: Offset(3) });
    let (mut follower, _) = replica(B, own, meta(A, 2, &[A], 1));
    let reply = Frame::EpochEndReply {
        leader_epoch: LeaderEpoch(2),
        stream: stream(1),
        asked: LeaderEpoch(1),
        epoch: Some(LeaderEpoch(1)),
        end: Offset(5),
    };
    frame(&mut follower, 1, A, reply);
    let below = Frame::BelowStart { leader_epoch: LeaderEpoch(2), stream: stream(1), log_start: Offset(9) };
    let out = frame(&mut follower, 2, A, below);
    assert_eq!(out[0], ReplicaAction::Reset { start: Offset(9), generation: 1 });
    let fetch =
        Frame::Fetch { leader_epoch: LeaderEpoch(2), stream: stream(2), from: Offset(9), prev_epoch: None };
    assert_eq!(out[1], ReplicaAction::Send { to: A, frame: fetch });
}

fn limits(out: &[ReplicaAction]) -> Vec<(u64, u64, Lane)> {
    let limit = |action: &ReplicaAction| match action {
        ReplicaAction::SendRange { head, limit, lane, .. } => Some((head.first.0, limit.0, *lane)),
        _ => None,
    };
    out.iter().filter_map(limit).collect()
}

#[test]
fn one_range_at_a_time_and_no_more_than_the_window() {
    let settings = ReplicaSettings { max_in_flight: 3, live_window: 2, ..ReplicaSettings::default() };
    let mut leader = Replica::new(A, REGISTERED, settings, log(&[(1, 0)], 5));
    step(&mut leader, 0, ReplicaEvent::Meta(meta(A, 2, &[A], 1)));
    let fetch =
        Frame::Fetch { leader_epoch: LeaderEpoch(2), stream: stream(1), from: Offset(0), prev_epoch: None };
    let out = frame(&mut leader, 1, B, fetch);
    assert_eq!(limits(&out), [(0, 0, Lane::CatchUp), (0, 3, Lane::CatchUp)]);
    let sent = ReplicaEvent::RangeSent { to: B, stream: stream(1), first: Offset(0), until: Offset(2) };
    let out = step(&mut leader, 1, sent.clone());
    assert_eq!(limits(&out), [(2, 5, Lane::CatchUp)], "the driver sent less than it might");
    assert!(step(&mut leader, 1, sent).is_empty(), "said twice");
}

#[test]
fn another_lane_is_taken_once_nothing_is_under_way() {
    let settings = ReplicaSettings { max_in_flight: 4, live_window: 2, ..ReplicaSettings::default() };
    let mut leader = Replica::new(A, REGISTERED, settings, log(&[(1, 0)], 5));
    step(&mut leader, 0, ReplicaEvent::Meta(meta(A, 2, &[A], 1)));
    let epoch = LeaderEpoch(2);
    let fetch =
        |from| Frame::Fetch { leader_epoch: epoch, stream: stream(1), from: Offset(from), prev_epoch: None };
    assert_eq!(limits(&frame(&mut leader, 1, B, fetch(0))), [(0, 0, Lane::CatchUp), (0, 4, Lane::CatchUp)]);
    let sent = ReplicaEvent::RangeSent { to: B, stream: stream(1), first: Offset(0), until: Offset(4) };
    assert_eq!(limits(&step(&mut leader, 1, sent)), [], "the live lane would overtake it");
    let ack = |end| {
        let (end, log_start) = (Offset(end), Offset::ZERO);
        let position = Position { end, durable: end, log_start, high_watermark: log_start, fenced: false };
        Frame::Ack { leader_epoch: epoch, stream: stream(1), position }
    };
    assert_eq!(limits(&frame(&mut leader, 2, B, ack(2))), []);
    let out = step(&mut leader, 1_000, ReplicaEvent::Tick);
    assert_eq!(limits(&out), [(4, 4, Lane::CatchUp)], "asks on the lane of what is under way");
    assert_eq!(limits(&frame(&mut leader, 1_001, B, ack(4))), [(4, 5, Lane::Live)]);
    // What was lost is not waited for.
    let out = limits(&frame(&mut leader, 1_002, B, fetch(1)));
    assert_eq!(out, [(1, 1, Lane::CatchUp), (1, 5, Lane::CatchUp)]);
}
