use std::collections::BTreeSet;
use std::fmt::Debug;

use openraft::error::SnapshotMismatch;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use openraft::{CommittedLeaderId, EntryPayload, SnapshotMeta, SnapshotSegmentId};

use super::*;
use crate::raft::campaign::Silence;
use crate::raft::types::{Entry, LogId, Membership, Proposal, ProposalId, StoredMembership, Types, Vote};

const ENVELOPE: Envelope = Envelope { cluster: [7; 16], to: 3 };

fn id(index: u64) -> Option<LogId> {
    Some(LogId::new(CommittedLeaderId::new(4, 1), index))
}

/// There and back, and refused when cut anywhere.
fn comes_back<T: Wire + Debug>(value: &T) {
    let request = encode_request(ENVELOPE, value);
    let from = &mut Reader::new(request.clone());
    assert_eq!(decode_envelope(from).unwrap(), ENVELOPE);
    let back: T = decode_content(from).unwrap();
    assert_eq!(format!("{back:?}"), format!("{value:?}"));
    assert_eq!(encode_request(ENVELOPE, &back), request);
    let answer = encode_answer(value);
    for kept in 0..answer.len() {
        assert!(decode_answer::<T>(answer.slice(..kept)).is_err(), "{kept} bytes of {value:?}");
    }
    decode_answer::<T>(answer).unwrap();
}

#[test]
fn messages_come_back_as_they_were() {
    let vote = Vote::new_committed(4, 1);
    let blank = |index| Entry { log_id: id(index).unwrap(), payload: EntryPayload::Blank };
    let entries = vec![blank(8), blank(9)];
    comes_back(&AppendEntriesRequest::<Types> { vote, prev_log_id: id(7), entries, leader_commit: None });
    comes_back(&AppendEntriesResponse::<RaftId>::Success);
    comes_back(&AppendEntriesResponse::PartialSuccess(id(5)));
    comes_back(&AppendEntriesResponse::<RaftId>::Conflict);
    comes_back(&AppendEntriesResponse::HigherVote(Vote::new(9, 2)));
    comes_back(&VoteRequest { vote, last_log_id: id(3) });
    comes_back(&VoteResponse { vote, vote_granted: true, last_log_id: None });
    let membership = Membership::new(vec![BTreeSet::from([1, 2, 3])], ());
    let last_membership = StoredMembership::new(id(2), membership);
    let meta = SnapshotMeta { last_log_id: id(6), last_membership, snapshot_id: "s".to_owned() };
    comes_back(&InstallSnapshotRequest::<Types> { vote, meta, offset: 9, data: vec![1, 2], done: true });
    comes_back::<Installed>(&Ok(InstallSnapshotResponse { vote }));
    let segment = |offset| SnapshotSegmentId { id: "s".to_owned(), offset };
    comes_back::<Installed>(&Err(SnapshotMismatch { expect: segment(1), got: segment(2) }));
    comes_back(&Silence(std::time::Duration::from_millis(9)));
    comes_back(&Relayed::At(9));
    comes_back(&Relayed::NotLeader);
    comes_back(&Relayed::Unknown("why".to_owned()));
}

#[test]
fn a_proposal_comes_back_as_it_was() {
    let id = ProposalId { origin: 1, run: 2, number: 3 };
    let proposal = Proposal { id, commands: Bytes::from_static(b"commands") };
    assert_eq!(decode_answer::<Proposal>(encode_answer(&proposal)).unwrap(), proposal);
}

#[test]
fn a_message_of_a_newer_build_is_refused() {
    let mut bytes = encode_answer(&Empty).to_vec();
    bytes[0] = 2;
    let refused = decode_answer::<Empty>(bytes.into());
    assert_eq!(refused, Err(CodecError::Version(2, "a metadata message")));
}
