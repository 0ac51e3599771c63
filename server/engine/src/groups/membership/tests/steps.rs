//! What happens when, in small groups.

use super::*;

const NOW: Duration = Duration::from_secs(100);

fn owned(clients: &[Client]) -> Vec<usize> {
    clients.iter().map(|client| client.owned.len()).collect()
}

#[test]
fn a_partition_moves_only_once_it_was_let_go() {
    let all = topics(&[("t", 2)]);
    let mut group = Group::default();
    group.join(NOW, &all, join("a", &["t"])).unwrap();
    let mut a = Client::of(&group, "a");
    a.heartbeat(&mut group, NOW).unwrap();
    assert_eq!((a.owned.len(), a.generation, group.view().state), (2, 1, GroupState::Stable));

    group.join(NOW, &all, join("b", &["t"])).unwrap();
    let mut b = Client::of(&group, "b");
    assert_eq!((b.owned.len(), b.generation, group.view().state), (0, 2, GroupState::Rebalancing));
    // It has not heard of the revocation: what it says it owns not says nothing.
    let deaf = Beat { owned: BTreeSet::new(), ..a.beat() };
    group.heartbeat(NOW, "a", &deaf).unwrap();
    b.heartbeat(&mut group, NOW).unwrap();
    assert!(b.owned.is_empty());

    // It has heard, and still commits the last of what it read.
    let before = a.owned.clone();
    a.apply(&group.assigned("a").unwrap());
    assert_eq!(a.owned, BTreeSet::from([place("t", 0)]), "the other one is not stopped");
    group.heartbeat(NOW, "a", &Beat { owned: before.clone(), ..a.beat() }).unwrap();
    group.check_commit("a", a.generation, &before).unwrap();
    b.heartbeat(&mut group, NOW).unwrap();
    assert!(b.owned.is_empty());

    a.heartbeat(&mut group, NOW).unwrap();
    let gone = group.check_commit("a", a.generation, [&place("t", 1)]);
    assert!(matches!(gone, Err(Refusal::NotOwner { given: None, .. })), "{gone:?}");
    b.heartbeat(&mut group, NOW).unwrap();
    assert_eq!(b.owned, BTreeSet::from([place("t", 1)]));
    b.heartbeat(&mut group, NOW).unwrap();
    assert_eq!(group.view().state, GroupState::Stable);
}

#[test]
fn who_leaves_or_is_silent_leaves_all() {
    let all = topics(&[("t", 6)]);
    let mut group = Group::default();
    for id in ["a", "b", "c"] {
        group.join(NOW, &all, join(id, &["t"])).unwrap();
    }
    let mut clients = ["a", "b", "c"].map(|id| Client::of(&group, id));
    settle(&mut group, &mut clients, NOW);
    assert_eq!(owned(&clients), [2, 2, 2]);
    let [mut a, b, c] = clients;
    group.leave(NOW, "c").unwrap();
    assert_eq!(group.heartbeat(NOW, "c", &c.beat()), Err(Refusal::UnknownMember));
    a.heartbeat(&mut group, NOW).unwrap();
    assert_eq!(a.owned.len(), 3);

    for seconds in 1..9 {
        a.heartbeat(&mut group, NOW + Duration::from_secs(seconds)).unwrap();
        group.expire(NOW + Duration::from_secs(seconds));
    }
    assert_eq!(group.members(), 2);
    assert_eq!(group.next_end(), Some(NOW + SESSION));
    group.expire(NOW + SESSION);
    a.heartbeat(&mut group, NOW + SESSION).unwrap();
    assert_eq!((group.members(), a.owned.len()), (1, 6));
    let late = group.check_commit("b", b.generation, &b.owned);
    assert_eq!(late, Err(Refusal::UnknownMember));
    // The last one goes: what was counted goes on.
    let before = group.generation;
    group.leave(NOW, "a").unwrap();
    assert_eq!((group.view().state, group.generation), (GroupState::Empty, before + 1));
    assert_eq!(group.leave(NOW, "a"), Err(Refusal::UnknownMember));
}

#[test]
fn who_does_not_let_go_in_time_is_taken_for_gone() {
    let all = topics(&[("t", 2)]);
    let mut group = Group::default();
    group.join(NOW, &all, join("a", &["t"])).unwrap();
    let mut stubborn = Client::of(&group, "a");
    group.join(NOW, &all, join("b", &["t"])).unwrap();
    let mut b = Client::of(&group, "b");
    for second in 0..45 {
        let now = NOW + Duration::from_secs(second);
        group.expire(now);
        let keeps = Beat { epoch: group.assigned("a").unwrap().epoch, ..stubborn.beat() };
        group.heartbeat(now, "a", &keeps).unwrap();
        b.heartbeat(&mut group, now).unwrap();
        assert!(b.owned.is_empty());
    }
    group.expire(NOW + SESSION * 5);
    assert_eq!(stubborn.heartbeat(&mut group, NOW), Err(Refusal::UnknownMember));
    b.heartbeat(&mut group, NOW).unwrap();
    assert_eq!(b.owned.len(), 2);
}

#[test]
fn a_node_that_stood_still_does_not_end_all_sessions_at_once() {
    let all = topics(&[("t", 2)]);
    let mut group = Group::default();
    group.join(NOW, &all, join("a", &["t"])).unwrap();
    group.join(NOW, &all, join("b", &["t"])).unwrap();
    let woken = NOW + SESSION * 10;
    group.expire(woken);
    assert_eq!(group.members(), 2);
    group.heartbeat(woken, "a", &Beat::default()).unwrap();
    // Once: whoever asks seldom sees them end as well.
    group.expire(woken + SESSION * 2 / 3);
    assert_eq!(group.members(), 1);
    group.expire(woken + SESSION * 2);
    group.expire(woken + SESSION * 3);
    assert_eq!(group.members(), 0);
}

#[test]
fn topics_come_grow_and_go() {
    let mut all = topics(&[("a/x", 2)]);
    let mut group = Group::default();
    group.join(NOW, &all, join("m", &["a/#", "later"])).unwrap();
    group.join(NOW, &all, join("n", &["a/#", "later"])).unwrap();
    let mut clients = ["m", "n"].map(|id| Client::of(&group, id));
    settle(&mut group, &mut clients, NOW);
    let before = group.generation;
    group.follow(NOW, &all);
    assert_eq!(group.generation, before, "nothing has changed");

    let kept = clients.clone();
    all.extend(topics(&[("a/x", 4), ("a/y/z", 2), ("later", 2), ("other", 9)]));
    group.follow(NOW, &all);
    assert_eq!(group.generation, before + 1);
    settle(&mut group, &mut clients, NOW);
    assert_eq!(owned(&clients), [4, 4]);
    for (now, then) in clients.iter().zip(&kept) {
        assert!(now.owned.is_superset(&then.owned), "new partitions move no old ones");
    }

    all.remove(&topic("a/x"));
    group.follow(NOW, &all);
    settle(&mut group, &mut clients, NOW);
    assert_eq!(owned(&clients), [2, 2]);
    all.clear();
    group.follow(NOW, &all);
    settle(&mut group, &mut clients, NOW);
    assert_eq!((owned(&clients), group.view().state), (vec![0, 0], GroupState::Stable));
}

#[test]
fn a_restarted_instance_goes_on_and_fences_the_process_before_it() {
    let all = topics(&[("t", 4)]);
    let of = |id: &str, instance: &str| Join { instance: Some(instance.into()), ..join(id, &["t"]) };
    let mut group = Group::default();
    group.join(NOW, &all, of("a-1", "a")).unwrap();
    group.join(NOW, &all, of("b-1", "b")).unwrap();
    let mut clients = ["a-1", "b-1"].map(|id| Client::of(&group, id));
    settle(&mut group, &mut clients, NOW);
    let [mut old, mut other] = clients;
    let generation = group.generation;

    group.join(NOW, &all, of("a-2", "a")).unwrap();
    let new = Client::of(&group, "a-2");
    assert_eq!((&new.owned, new.generation), (&old.owned, generation), "no rebalance");
    let fenced = Err(Refusal::InstanceFenced { instance: "a".to_owned() });
    assert_eq!(group.check_commit("a-1", old.generation, &old.owned), fenced);
    assert_eq!(group.leave(NOW, "a-1"), fenced);
    assert_eq!(group.join(NOW, &all, of("a-1", "a")), fenced, "it may not come back under that id");
    assert_eq!(old.heartbeat(&mut group, NOW), fenced);
    group.check_commit("a-2", new.generation, &new.owned).unwrap();
    other.heartbeat(&mut group, NOW).unwrap();
    assert_eq!(other.owned.len(), 2);

    for number in 3..30 {
        group.join(NOW, &all, of(&format!("a-{number}"), "a")).unwrap();
    }
    let member = group.members.get("a-29").unwrap();
    assert_eq!((group.members(), group.generation, member.replaced.len()), (2, generation, 8));
}

#[test]
fn a_restart_within_a_move_frees_what_was_to_be_let_go() {
    let all = topics(&[("t", 2)]);
    let of = |id: &str| Join { instance: Some("a".into()), ..join(id, &["t"]) };
    let mut group = Group::default();
    group.join(NOW, &all, of("a-1")).unwrap();
    group.join(NOW, &all, join("b", &["t"])).unwrap();
    assert!(Client::of(&group, "b").owned.is_empty());
    group.join(NOW, &all, of("a-2")).unwrap();
    assert_eq!(Client::of(&group, "b").owned.len(), 1);
    assert_eq!(Client::of(&group, "a-2").owned.len(), 1);
}

#[test]
fn a_member_that_takes_an_instances_place_leaves_its_own() {
    let all = topics(&[("t", 4)]);
    let mut group = Group::default();
    group.join(NOW, &all, Join { instance: Some("a".into()), ..join("a-1", &["t"]) }).unwrap();
    group.join(NOW, &all, join("b", &["t"])).unwrap();
    let mut clients = ["a-1", "b"].map(|id| Client::of(&group, id));
    settle(&mut group, &mut clients, NOW);
    group.join(NOW, &all, Join { instance: Some("a".into()), ..join("b", &["t"]) }).unwrap();
    assert_eq!((group.members(), Client::of(&group, "b").owned.len()), (1, 4));
}

#[test]
fn commits_are_checked_by_generation_and_owner() {
    let all = topics(&[("t", 2)]);
    let mut group = Group::default();
    group.join(NOW, &all, join("a", &["t"])).unwrap();
    let mut a = Client::of(&group, "a");
    group.join(NOW, &all, join("b", &["t"])).unwrap();
    // It has not heard of generation 2, which leaves it partition 0.
    group.check_commit("a", 1, [&place("t", 0)]).unwrap();
    let newer = group.check_commit("a", 3, [&place("t", 0)]);
    assert_eq!(newer, Err(Refusal::Generation { asked: 3, current: 2 }));
    assert_eq!(group.check_commit("x", 2, [&place("t", 0)]), Err(Refusal::UnknownMember));
    a.heartbeat(&mut group, NOW).unwrap();
    a.heartbeat(&mut group, NOW).unwrap();
    group.leave(NOW, "b").unwrap();
    // Partition 1 came back in generation 3: a commit of before it went is too late.
    let stale = group.check_commit("a", 2, [&place("t", 0), &place("t", 1)]);
    let (place, given) = (place("t", 1), Some(3));
    assert_eq!(stale, Err(Refusal::NotOwner { place: place.clone(), asked: 2, given, current: 3 }));
    group.check_commit("a", 3, [&place]).unwrap();
    let ahead = Beat { epoch: a.epoch + 9, ..a.beat() };
    assert!(matches!(group.heartbeat(NOW, "a", &ahead), Err(Refusal::Generation { .. })));
}

#[test]
fn assignors_do_what_they_say() {
    let all = topics(&[("s", 5), ("t", 5)]);
    let assigned = |assignor: Assignor, members: usize| {
        let mut group = Group::default();
        for member in 0..members {
            let join = Join { assignor, ..join(&format!("m{member}"), &["s", "t"]) };
            group.join(NOW, &all, join).unwrap();
        }
        let mut clients: Vec<_> =
            (0..members).map(|member| Client::of(&group, &format!("m{member}"))).collect();
        settle(&mut group, &mut clients, NOW);
        clients.into_iter().map(|client| client.owned).collect::<Vec<_>>()
    };
    let range = assigned(Assignor::Range, 2);
    let first: BTreeSet<_> =
        ["s", "t"].into_iter().flat_map(|name| (0..3).map(move |n| place(name, n))).collect();
    assert_eq!(range[0], first, "neighbours, and the same ones of each topic");
    for assignor in [Assignor::Sticky, Assignor::Cooperative] {
        let sizes: Vec<_> = assigned(assignor, 3).iter().map(BTreeSet::len).collect();
        assert_eq!((sizes.iter().sum::<usize>(), sizes.iter().max()), (10, Some(&4)), "{sizes:?}");
        assert_eq!(assignor.name().parse(), Ok(assignor));
    }
    assert_eq!("fair".parse::<Assignor>(), Err(UnknownAssignor));
    assert_eq!(assigned(Assignor::Range, 12).iter().map(BTreeSet::len).sum::<usize>(), 10);
}

#[test]
fn members_with_different_topics_share_what_they_have_in_common() {
    let all = topics(&[("a", 6), ("b", 2)]);
    let mut group = Group::default();
    for (id, filters) in [("m", &["a", "b"][..]), ("n", &["a"]), ("o", &["b"])] {
        group.join(NOW, &all, join(id, filters)).unwrap();
    }
    let mut clients = ["m", "n", "o"].map(|id| Client::of(&group, id));
    settle(&mut group, &mut clients, NOW);
    assert_eq!(owned(&clients), [3, 3, 2]);
}

#[test]
fn a_hundred_members_on_a_thousand_partitions_settle_in_a_few_rounds() {
    let all = topics(&[("t", 1_000)]);
    let mut group = Group::default();
    let mut clients = Vec::new();
    for member in 0..100 {
        let id = format!("m{member}");
        group.join(NOW, &all, join(&id, &["t"])).unwrap();
        clients.push(Client::of(&group, &id));
    }
    let rounds = settle(&mut group, &mut clients, NOW);
    assert!(rounds <= 3, "{rounds} rounds");
    assert_eq!(owned(&clients), [10; 100]);

    // One more: nobody stops but what it gets, and that is its share.
    let before = clients.clone();
    group.join(NOW, &all, join("late", &["t"])).unwrap();
    clients.push(Client::of(&group, "late"));
    let rounds = settle(&mut group, &mut clients, NOW);
    let moved: usize =
        before.iter().zip(&clients).map(|(then, now)| then.owned.difference(&now.owned).count()).sum();
    assert_eq!((moved, clients[100].owned.len()), (9, 9));
    assert!(rounds <= 3, "{rounds} rounds");
}
