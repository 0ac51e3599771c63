//! What is on disks.

use proptest::prelude::*;

use super::*;

const NOW: Duration = Duration::from_secs(7);

fn group() -> Group {
    let all = topics(&[("s", 1), ("t", 2)]);
    let mut group = Group::default();
    let a = Join {
        instance: Some("i".into()),
        client_id: "c".to_owned(),
        host: "h".to_owned(),
        assignor: Assignor::Range,
        ..join("a", &["t", "s/#"])
    };
    group.join(NOW, &all, Join { id: "z".into(), ..a.clone() }).unwrap();
    group.join(NOW, &all, a).unwrap();
    group.join(NOW, &all, join("b", &["t"])).unwrap();
    group
}

/// The bytes may only change with a new version.
#[test]
fn golden_bytes() {
    let mut group = Group::default();
    group.join(NOW, &topics(&[("t", 1)]), Join { instance: Some("i".into()), ..join("a", &["t"]) }).unwrap();
    let golden = [
        &[1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0][..],
        &[1, 0, 0, 0, 1, 0, b't', 1, 1, 0, 0, 0],
        &[1, 0, 0, 0, 1, 0, b'a', 1, 0, b'i', 0, 0, 0, 0],
        &[0, 0x28, 0x23, 0, 0, 0xc8, 0xaf, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
        &[1, 0, 0, 0, 1, 0, b't', 0, 0, 0, 0],
        &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
        &[0, 0, 0, 0],
    ];
    assert_eq!(group.encode(), golden.concat());
}

#[test]
fn what_is_written_is_read() {
    let group = group();
    assert!(group.members.values().any(|member| !member.revoking.is_empty()), "a move is under way");
    let later = NOW + SESSION * 3;
    let read = Group::decode(&group.encode(), later).unwrap();
    assert_eq!(read.encode(), group.encode());
    assert_eq!((read.owners.len(), read.members()), (group.owners.len(), 2));
    assert_eq!(read.next_end(), Some(later + SESSION), "a full session");
    assert_eq!(read.assigned("a"), group.assigned("a"));
    let (mut read, generation) = (read, group.generation);
    read.follow(later, &topics(&[("s", 1), ("t", 2)]));
    assert_eq!(read.generation, generation, "reading it is no reason to move");
    assert!(matches!(read.check_member("z"), Err(Refusal::InstanceFenced { .. })));
}

#[test]
fn cut_bytes_are_refused() {
    let bytes = group().encode();
    for cut in 0..bytes.len() {
        assert!(Group::decode(&bytes[..cut], NOW).is_err(), "{cut}");
    }
    assert!(Group::decode(&[&bytes[..], &[0]].concat(), NOW).is_err());
}

proptest! {
    #[test]
    fn garbage_never_panics(mut bytes: Vec<u8>, flips: Vec<(prop::sample::Index, u8)>) {
        let _ = Group::decode(&bytes, NOW);
        bytes = group().encode();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _ = Group::decode(&bytes, NOW);
    }
}
