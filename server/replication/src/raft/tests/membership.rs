//! Groups that grow and shrink.

use openraft::raft::AppendEntriesRequest;

use super::*;

#[tokio::test]
async fn one_node_grows_to_three_and_its_founder_may_leave() {
    let mut group = Group::of(&[1], settings()).await;
    let founder = group.leader().await;
    for n in 0..20 {
        founder.propose(vec![create(n)]).await.unwrap();
    }
    for id in [2, 3] {
        group.start(id).await;
        founder.add_learner(id, peer(id)).await.unwrap();
    }
    let learner = MemberInfo { id: 2, peer: peer(2), voter: false };
    assert!(founder.members().contains(&learner), "{:?}", founder.members());
    group.running[&2].barrier().await.unwrap();
    assert_eq!(group.running[&2].image(), founder.image(), "a learner has the image");
    group.running[&3].propose(vec![create(50)]).await.unwrap();
    founder.set_voters([1, 2, 3].into()).await.unwrap();
    assert!(founder.members().iter().all(|member| member.voter));
    group.crash(1).await;
    let next = group.leader().await;
    next.barrier().await.unwrap();
    assert!(has(&next, 19) && has(&next, 50));
    next.propose(vec![create(51)]).await.unwrap();
}

#[tokio::test]
async fn a_member_that_is_not_there_becomes_no_voter() {
    let hasty = RaftMetaSettings { request_timeout: Duration::from_secs(2), ..settings() };
    let group = Group::of(&[1], hasty).await;
    let leader = group.leader().await;
    leader.add_learner(2, peer(2)).await.unwrap();
    let refused = leader.set_voters([1, 2].into()).await;
    assert!(matches!(refused, Err(MembershipError::Unavailable { .. })), "{refused:?}");
    leader.propose(vec![create(1)]).await.unwrap();
    leader.remove_learners([2].into()).await.unwrap();
    assert_eq!(leader.members(), [MemberInfo { id: 1, peer: peer(1), voter: true }]);
}

#[tokio::test]
async fn changes_that_make_no_sense_are_refused() {
    let group = Group::of(&[1, 2, 3], settings()).await;
    let leader = group.leader().await;
    let follower = group.others(&leader)[0].clone();
    let expected = MembershipError::NotLeader { leader: Some(leader.id()) };
    assert_eq!(follower.add_learner(9, peer(9)).await, Err(expected.clone()));
    assert_eq!(follower.set_voters([1].into()).await, Err(expected));
    assert_eq!(leader.set_voters([1, 9].into()).await, Err(MembershipError::Unknown { id: 9 }));
    assert_eq!(leader.set_voters(BTreeSet::new()).await, Err(MembershipError::Empty));
}

#[tokio::test]
async fn a_group_is_made_once() {
    let mut group = Group::of(&[1, 2, 3], settings()).await;
    let voters: BTreeMap<RaftId, MetaPeer> = [1, 2, 3].map(|id| (id, peer(id))).into();
    assert_eq!(group.running[&2].bootstrap(voters).await, Ok(false));
    let new = group.start(4).await;
    let refused = new.bootstrap([(1, peer(1))].into()).await;
    assert_eq!(refused, Err(MembershipError::NotIncluded { id: 4 }));
}

/// Each of three nodes is told who the first three are, as at the first start of a cluster from its configuration.
#[tokio::test]
async fn all_may_be_told_the_first_members() {
    let mut group = Group::new(settings());
    let voters: BTreeMap<RaftId, MetaPeer> = [1, 2, 3].map(|id| (id, peer(id))).into();
    for id in [1, 2, 3] {
        let store = group.start(id).await;
        // A leader that came up meanwhile may already have told it.
        store.bootstrap(voters.clone()).await.unwrap();
    }
    group.leader().await.propose(vec![create(1)]).await.unwrap();
}

/// A change of the voters takes two entries. A leader that is lost between them leaves a group that needs both majorities.
#[tokio::test]
async fn a_change_of_voters_that_was_left_half_way_is_seen_and_ended() {
    let mut group = Group::of(&[1], settings()).await;
    let leader = group.leader().await;
    for id in [2, 3] {
        group.start(id).await;
        leader.add_learner(id, peer(id)).await.unwrap();
    }
    assert!(!leader.voters_change());
    let mut change = Box::pin(leader.0.raft.change_membership(BTreeSet::from([1, 2, 3]), true));
    // Sends the first of the two, and is not there any more for the second.
    assert!(futures::poll!(&mut change).is_pending());
    until("half way", || leader.voters_change()).await;
    drop(change);
    let votes =
        || leader.members().iter().filter(|member| member.voter).map(|member| member.id).collect::<Vec<_>>();
    until("agreed to by the two majorities", || {
        leader
            .0
            .raft
            .metrics()
            .borrow()
            .last_applied
            .is_some_and(|at| Some(at) >= *leader.0.raft.metrics().borrow().membership_config.log_id())
    })
    .await;
    assert_eq!((leader.voters_change(), votes()), (true, vec![1]), "both majorities need the first alone");
    leader.set_voters([1, 2, 3].into()).await.unwrap();
    until("ended", || !leader.voters_change()).await;
    assert_eq!(votes(), [1, 2, 3]);
}

#[tokio::test]
async fn who_was_removed_is_not_known_any_more() {
    let mut group = Group::of(&[1], settings()).await;
    let leader = group.leader().await;
    let new = group.start(2).await;
    assert!(!leader.knows(2).await, "it has not joined yet");
    assert!(new.knows(1).await && new.knows(9).await, "who has just come knows nobody, and hears everybody");
    leader.add_learner(2, peer(2)).await.unwrap();
    assert!(leader.knows(2).await);
    until("the member knows its leader", || new.leader() == Some(1)).await;
    assert!(new.knows(1).await && !new.knows(9).await);
    leader.remove_learners([2].into()).await.unwrap();
    assert!(!leader.knows(2).await);
    // It hears nothing any more: whoever leads by now may have come after that.
    let heard = async {
        while !new.knows(9).await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, heard).await.expect("it has lost the leader");
}

/// It has the beginning of the log, and is to get the rest as a snapshot over another connection. What it has by then does
/// not name who leads now.
#[tokio::test]
async fn whom_a_member_follows_is_known_before_the_log_says_so() {
    // Who has heard its leader within the longer of the two hears nobody that it does not know.
    let settings = RaftMetaSettings { election: (DEADLINE / 2, DEADLINE), ..settings() };
    let mut group = Group::of(&[1], settings).await;
    let first = group.leader().await;
    let away = group.start(2).await;
    first.add_learner(2, peer(2)).await.unwrap();
    until("it has the beginning", || away.members().len() == 2).await;
    group.network.partition(&[2], &[1, 3]);
    let next = group.start(3).await;
    first.add_learner(3, peer(3)).await.unwrap();
    first.set_voters([3].into()).await.unwrap();
    until("it may lead", || next.members().iter().any(|member| member.id == 3 && member.voter)).await;
    next.0.raft.trigger().elect().await.unwrap();
    until("another one leads", || next.leader() == Some(3)).await;

    let vote = next.0.raft.metrics().borrow().vote;
    let heartbeat = AppendEntriesRequest { vote, prev_log_id: None, entries: vec![], leader_commit: None };
    away.0.raft.append_entries(heartbeat).await.unwrap();
    until("it hears who leads now", || away.leader() == Some(3)).await;
    assert!(away.members().iter().all(|member| member.id != 3), "it does not know who that is");
    assert!(away.knows(3).await && !away.knows(9).await);
    group.network.heal();
    until("it has everything", || away.members().iter().any(|member| member.id == 3)).await;
}
