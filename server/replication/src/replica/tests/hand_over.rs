//! A leadership that is handed over, by the leader's clock.

use super::*;

/// A leader of A, B and C, with one record that only it has, that is to hand over to B.
fn handing_over() -> (Replica, Vec<ReplicaAction>) {
    let (mut leader, _) = replica(A, log(&[], 0), meta(A, 1, &[A, B, C], 1));
    for follower in [B, C] {
        frame(&mut leader, 1, follower, ack(1, 1, position(0)));
    }
    assert_eq!(completed(&produce(&mut leader, 1, Acks::Leader, 1)), [(1, Ok(Offset(0)))]);
    assert!(!leader.holds_back());
    let out = step(&mut leader, 2, ReplicaEvent::Meta(to_b(2)));
    (leader, out)
}

fn to_b(partition_epoch: u32) -> PartitionMeta {
    PartitionMeta { successor: Some(B), ..meta(A, 1, &[A, B, C], partition_epoch) }
}

/// The partition epochs under which another leader was asked for.
fn asked(out: &[ReplicaAction]) -> Vec<u32> {
    let epoch = |action: &ReplicaAction| match action {
        ReplicaAction::HandOver { partition_epoch, to } => {
            assert_eq!(*to, B);
            Some(*partition_epoch)
        }
        _ => None,
    };
    out.iter().filter_map(epoch).collect()
}

fn tick(leader: &mut Replica, now: Millis) -> Vec<ReplicaAction> {
    step(leader, now, ReplicaEvent::SessionRenewed { sent: now });
    step(leader, now, ReplicaEvent::Tick)
}

fn refused(out: &[ReplicaAction], token: u64) -> bool {
    completed(out) == [(token, Err(ReplicaError::HandingOver))]
}

#[test]
fn the_next_leader_has_everything_before_it_is_asked_for() {
    let (mut leader, out) = handing_over();
    assert_eq!(asked(&out), [0_u32; 0], "B lacks a record");
    assert!(leader.holds_back() && leader.has_work());
    for (token, acks) in [(2, Acks::All), (3, Acks::Leader), (4, Acks::None)] {
        assert!(refused(&produce(&mut leader, 3, acks, token), token));
    }
    assert_eq!(leader.log().end, Offset(1), "nothing more is appended");
    assert_eq!(asked(&frame(&mut leader, 3, C, ack(1, 1, position(1)))), [0_u32; 0], "it is not C's turn");
    let in_page_cache = Position { durable: Offset(0), ..position(1) };
    assert_eq!(asked(&frame(&mut leader, 3, B, ack(1, 1, in_page_cache))), [0_u32; 0]);
    assert_eq!(asked(&frame(&mut leader, 4, B, ack(1, 1, position(1)))), [2]);
    assert_eq!(asked(&tick(&mut leader, 50)), [0_u32; 0], "on its way");
    assert_eq!(asked(&tick(&mut leader, 104)), [2], "no answer: asked again");
    step(&mut leader, 110, ReplicaEvent::Meta(meta(B, 2, &[A, B, C], 3)));
    assert_eq!((leader.role(), leader.holds_back()), (RoleName::Follower, false));
}

#[test]
fn who_waits_for_all_is_answered_before_the_leadership_goes() {
    let (mut leader, _) = replica(A, log(&[], 0), meta(A, 1, &[A, B, C], 1));
    produce(&mut leader, 1, Acks::All, 7);
    durable(&mut leader, 1);
    step(&mut leader, 2, ReplicaEvent::Meta(to_b(2)));
    assert_eq!(
        asked(&frame(&mut leader, 3, B, ack(1, 1, position(1)))),
        [0_u32; 0],
        "C is in sync, and lacks it"
    );
    let out = frame(&mut leader, 4, C, ack(1, 1, position(1)));
    assert_eq!((completed(&out), asked(&out)), (vec![(7, Ok(Offset(0)))], vec![2]));
}

#[test]
fn a_next_leader_that_does_not_get_there_is_waited_for_so_long_and_then_again() {
    let (mut leader, _) = handing_over();
    tick(&mut leader, 1_501);
    assert!(leader.holds_back());
    tick(&mut leader, 1_502);
    assert!(!leader.holds_back(), "the limit");
    assert_eq!(completed(&produce(&mut leader, 1_503, Acks::Leader, 5)), [(5, Ok(Offset(1)))]);
    assert_eq!(asked(&frame(&mut leader, 1_504, B, ack(1, 1, position(2)))), [0_u32; 0], "not now");
    assert_eq!(asked(&tick(&mut leader, 6_501)), [0_u32; 0]);
    assert_eq!(asked(&tick(&mut leader, 6_502)), [2], "later");
}

#[test]
fn a_next_leader_that_leaves_the_in_sync_set_is_not_waited_for() {
    let (mut leader, _) = handing_over();
    step(&mut leader, 600, ReplicaEvent::Meta(meta(A, 1, &[A, C], 3)));
    assert!(!leader.holds_back());
    assert_eq!(completed(&produce(&mut leader, 601, Acks::Leader, 5)), [(5, Ok(Offset(1)))]);
}

/// What was asked for may come true as long as the partition epoch stays: what only this leader would have is not taken.
#[test]
fn a_hand_over_that_was_asked_for_and_given_up_is_made_sure_of() {
    for refusal in [false, true] {
        let (mut leader, _) = handing_over();
        frame(&mut leader, 3, C, ack(1, 1, position(1)));
        assert_eq!(asked(&frame(&mut leader, 3, B, ack(1, 1, position(1)))), [2]);
        let out = if refusal {
            step(&mut leader, 4, ReplicaEvent::HandOverRefused { partition_epoch: 2 })
        } else {
            tick(&mut leader, 1_502)
        };
        let now = if refusal { 5 } else { 1_503 };
        let change = isr_change(&out).expect("the set as it is is asked for");
        assert_eq!((members(&change), change.partition_epoch), (vec![A, B, C], 2));
        assert!(!leader.holds_back());
        assert!(refused(&produce(&mut leader, now, Acks::Leader, 5), 5));
        assert!(completed(&produce(&mut leader, now, Acks::All, 6)).is_empty(), "taken");
        step(&mut leader, now, ReplicaEvent::Meta(to_b(3)));
        assert!(!leader.holds_back(), "not again at once");
        assert_eq!(completed(&produce(&mut leader, now, Acks::Leader, 7)), [(7, Ok(Offset(2)))]);
    }
}
