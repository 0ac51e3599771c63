//! A slow disk, by the leader's clock.

use super::*;

/// How late each replica has on disk what the leader appends, ms.
type Late = [(BrokerId, Millis); 3];
/// It says nothing.
const SILENT: Millis = Millis::MAX;

/// A leader, and followers that acknowledge what is on their disks.
struct Group {
    leader: Replica,
    now: Millis,
    /// When each record was appended.
    appended: Vec<Millis>,
}

impl Group {
    fn new(isr: &[BrokerId]) -> Self {
        let (leader, _) = replica(A, log(&[], 0), meta(A, 1, isr, 1));
        Self { leader, now: 0, appended: Vec::new() }
    }

    /// Lets `time` pass in steps of 20 ms, with a record every `every`: what was done, and when.
    fn run(&mut self, time: Millis, every: Millis, late: Late) -> Vec<(Millis, ReplicaAction)> {
        let mut done = Vec::new();
        let until = self.now + time;
        while self.now < until {
            self.now += 20;
            let now = self.now;
            step(&mut self.leader, now, ReplicaEvent::SessionRenewed { sent: now });
            if now.is_multiple_of(every) {
                produce(&mut self.leader, now, Acks::Leader, now);
                self.appended.push(now);
            }
            let mut out = Vec::new();
            for (id, late) in late.into_iter().filter(|(_, late)| *late != SILENT) {
                let end = self.appended.iter().filter(|at| **at + late <= now).count() as u64;
                out.extend(if id == A {
                    durable_at(&mut self.leader, now, end)
                } else {
                    frame(&mut self.leader, now, id, ack(1, 1, position(end)))
                });
            }
            out.extend(step(&mut self.leader, now, ReplicaEvent::Tick));
            done.extend(out.into_iter().map(|action| (now, action)));
        }
        done
    }

    /// The metadata group has applied the last wish.
    fn isr(&mut self, isr: &[BrokerId]) -> Vec<ReplicaAction> {
        let partition_epoch = self.leader.meta().partition_epoch + 1;
        step(&mut self.leader, self.now, ReplicaEvent::Meta(meta(A, 1, isr, partition_epoch)))
    }
}

fn durable_at(replica: &mut Replica, now: Millis, end: u64) -> Vec<ReplicaAction> {
    let generation = replica.log().generation;
    step(replica, now, ReplicaEvent::LocalDurable { end: Offset(end), generation })
}

fn first_wish(done: &[(Millis, ReplicaAction)]) -> Option<(Millis, Vec<BrokerId>)> {
    done.iter().find_map(|(at, action)| {
        isr_change(std::slice::from_ref(action)).map(|change| (*at, members(&change)))
    })
}

fn first_resignation(done: &[(Millis, ReplicaAction)]) -> Option<Millis> {
    let slow = |action: &ReplicaAction| {
        matches!(action, ReplicaAction::Resign { reason: ResignReason::Slow, leader_epoch: LeaderEpoch(1) })
    };
    done.iter().find_map(|(at, action)| slow(action).then_some(*at))
}

#[test]
fn a_leader_whose_disk_is_late_hands_its_leadership_on() {
    for every in [40, 1_000] {
        let mut group = Group::new(&[A, B, C]);
        let done = group.run(10_000, every, [(A, 600), (B, 20), (C, 20)]);
        let at = first_resignation(&done).expect("it resigns");
        assert!((2_000..6_000).contains(&at), "{at} ms, a record every {every} ms");
        assert_eq!(first_wish(&done), None, "the others stay");
        assert_eq!(group.leader.role(), RoleName::Leader, "until another one leads");
    }
}

#[test]
fn a_follower_whose_disk_is_late_leaves_and_stays_away_until_it_is_not() {
    let mut group = Group::new(&[A, B, C]);
    let done = group.run(10_000, 1_000, [(A, 20), (B, 20), (C, 600)]);
    let (at, isr) = first_wish(&done).expect("it leaves");
    assert_eq!(isr, [A, B]);
    assert!((2_000..6_000).contains(&at), "{at} ms");
    assert_eq!(first_resignation(&done), None);
    group.isr(&[A, B]);
    let done = group.run(30_000, 1_000, [(A, 20), (B, 20), (C, 600)]);
    assert_eq!(first_wish(&done), None, "it has everything again and again, and late");
    let well = group.now;
    let done = group.run(30_000, 1_000, [(A, 20), (B, 20), (C, 20)]);
    let (at, isr) = first_wish(&done).expect("it is back");
    assert_eq!(isr, [A, B, C]);
    assert!((8_000..15_000).contains(&(at - well)), "{} ms", at - well);
}

#[test]
fn where_all_are_late_or_too_few_would_stay_nobody_leaves() {
    let slow_machine = [(A, 600), (B, 700), (C, 500)];
    let done = Group::new(&[A, B, C]).run(20_000, 1_000, slow_machine);
    assert_eq!((first_resignation(&done), first_wish(&done)), (None, None));
    let mut two = Group::new(&[A, B]);
    let done = two.run(20_000, 1_000, [(A, 600), (B, 20), (C, SILENT)]);
    assert_eq!((first_resignation(&done), first_wish(&done)), (None, None), "`acks=all` needs both");
}

#[test]
fn once_late_is_not_late() {
    let mut group = Group::new(&[A, B, C]);
    for _ in 0..5 {
        let done = group.run(1_000, 1_000, [(A, 600), (B, 20), (C, 700)]);
        assert_eq!((first_resignation(&done), first_wish(&done)), (None, None));
        let done = group.run(3_000, 1_000, [(A, 20), (B, 20), (C, 20)]);
        assert_eq!((first_resignation(&done), first_wish(&done)), (None, None));
    }
}

#[test]
fn who_is_late_is_taken_back_where_another_one_is_lost() {
    let mut group = Group::new(&[A, B, C]);
    let done = group.run(10_000, 1_000, [(A, 20), (B, 20), (C, 600)]);
    assert_eq!(first_wish(&done).map(|(_, isr)| isr), Some(vec![A, B]));
    group.isr(&[A, B]);
    let done = group.run(3_000, 1_000, [(A, 20), (B, SILENT), (C, 600)]);
    assert_eq!(first_wish(&done).map(|(_, isr)| isr), Some(vec![A, C]), "late is better than not at all");
}
