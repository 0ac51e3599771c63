use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use openraft::{CommittedLeaderId, EntryPayload};
use proptest::prelude::*;

use super::*;
use crate::raft::types::{Entry, Membership, MetaPeer, Proposal, ProposalId};

fn peers() -> BTreeMap<u64, MetaPeer> {
    let peer = |n: u64| MetaPeer { node: format!("node-{n}"), address: format!("host-{n}:9092") };
    (1..=4).map(|n| (n, peer(n))).collect()
}

fn payloads() -> Vec<EntryPayload<crate::raft::types::Types>> {
    let id = ProposalId { origin: 7, run: u64::MAX, number: 3 };
    let sets = vec![BTreeSet::from([1, 2, 3]), BTreeSet::from([2, 3, 4])];
    vec![
        EntryPayload::Blank,
        EntryPayload::Normal(Proposal { id, commands: Bytes::from_static(b"commands") }),
        EntryPayload::Membership(Membership::new(sets, peers())),
        EntryPayload::Membership(Membership::new(vec![BTreeSet::from([1])], peers())),
    ]
}

fn entries() -> Vec<Entry> {
    let log_id = LogId::new(CommittedLeaderId::new(5, 2), 41);
    payloads().into_iter().map(|payload| Entry { log_id, payload }).collect()
}

#[test]
fn entries_come_back_as_they_were() {
    for entry in entries() {
        assert_eq!(decode_entry(encode_entry(&entry).into()).unwrap(), entry);
    }
}

#[test]
fn a_cut_or_longer_entry_is_refused() {
    for entry in [&entries()[0], &entries()[2], &entries()[3]] {
        let bytes = encode_entry(entry);
        for kept in 0..bytes.len() {
            assert!(decode_entry(Bytes::copy_from_slice(&bytes[..kept])).is_err(), "{kept} bytes");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(decode_entry(longer.into()), Err(CodecError::Trailing(1)));
    }
}

#[test]
fn what_a_newer_build_wrote_is_refused() {
    let mut bytes = encode_entry(&entries()[0]);
    bytes[25] = 9;
    assert_eq!(decode_entry(bytes.clone().into()), Err(CodecError::Kind(9, "entry kind")));
    bytes[0] = 2;
    assert_eq!(decode_entry(bytes.into()), Err(CodecError::Version(2, "a metadata entry")));
}

/// The entries are on disks: their layout may only change with a new version byte.
#[test]
fn golden_bytes() {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let head = "01050000000000000002000000000000002900000000000000";
    assert_eq!(hex(&encode_entry(&entries()[0])), format!("{head}00"));
    let id = "0700000000000000ffffffffffffffff0300000000000000";
    assert_eq!(hex(&encode_entry(&entries()[1])), format!("{head}01{id}636f6d6d616e6473"));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _either = decode_entry(Bytes::from([&[1][..], &bytes].concat()));
    }
}
