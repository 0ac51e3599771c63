use proptest::prelude::*;

use super::*;

const ID: &str = "20260131T235959000Z-0badcafe";

fn id() -> BackupId {
    BackupId::parse(ID).expect("is an id")
}

fn chunk(first_offset: u64, end_offset: u64) -> ChunkEntry {
    let (topic_id, sha256) = ("0a".repeat(16), "0b".repeat(32));
    let name = ChunkName { topic_id, partition: 0, first_offset, end_offset, sha256: sha256.clone() };
    ChunkEntry { file: name.to_string(), first_offset, end_offset, batches: 1, bytes: 7, sha256 }
}

fn manifest() -> Manifest {
    let damaged = vec![OffsetSpan { first_offset: 9, end_offset: 12 }];
    let chunks = vec![chunk(5, 9), chunk(12, 20)];
    let partition =
        PartitionBackup { partition: 0, low_watermark: 6, first_offset: 5, end_offset: 20, chunks, damaged };
    let topic = TopicBackup {
        name: "../../etc/passwd".to_owned(), // the broker refuses it; here it is only text
        id: "0a".repeat(16),
        created_ms: 1,
        settings: serde_json::Map::from_iter([("retention_ms".to_owned(), "7".into())]),
        partitions: vec![partition],
    };
    let offsets =
        vec![OffsetEntry { topic: topic.name.clone(), partition: 0, offset: 7, metadata: "m".to_owned() }];
    Manifest {
        id: ID.to_owned(),
        created: "2026-01-31T23:59:59Z".to_owned(),
        cluster_id: "c".to_owned(),
        server_version: "1".to_owned(),
        tool_version: "1".to_owned(),
        key_id: None,
        topics: vec![topic],
        groups: vec![GroupBackup { group: "g".to_owned(), offsets }],
    }
}

#[test]
fn comes_back_as_it_was_and_no_flipped_bit_passes() {
    let bytes = manifest().encode(None).unwrap();
    assert_eq!(Manifest::decode(&id(), &bytes, None).unwrap(), manifest());
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        let result = Manifest::decode(&id(), &flipped, None);
        assert!(result.is_err() || result.is_ok_and(|found| found == manifest()), "byte {at}");
    }
    for cut in 0..bytes.len() {
        assert!(Manifest::decode(&id(), &bytes[..cut], None).is_err(), "cut at {cut}");
    }
}

#[test]
fn a_key_signs_it() {
    let key = |text: &str| BackupKey::from_hex(&text.repeat(32)).unwrap();
    let (ours, other) = (key("0b"), key("0c"));
    let signed = Manifest { key_id: Some(ours.id().to_owned()), ..manifest() };
    let bytes = signed.encode(Some(&ours)).unwrap();
    assert_eq!(Manifest::decode(&id(), &bytes, Some(&ours)).unwrap(), signed);
    assert!(Manifest::decode(&id(), &bytes, None).is_ok(), "what it holds can be listed without the key");
    assert!(matches!(Manifest::decode(&id(), &bytes, Some(&other)), Err(BackupError::WrongKey { .. })));
    let forged = Manifest { groups: Vec::new(), ..signed }.encode(Some(&ours)).unwrap();
    let text = String::from_utf8(forged).unwrap();
    let hmac = |bytes: &[u8]| {
        serde_json::from_slice::<Head>(bytes.split(|b| *b == b'\n').next().unwrap())
            .unwrap()
            .body_hmac
            .unwrap()
    };
    let forged = text.replacen(&hmac(text.as_bytes()), &hmac(&bytes), 1);
    assert!(Manifest::decode(&id(), forged.as_bytes(), None).is_ok(), "only the key tells");
    assert!(matches!(
        Manifest::decode(&id(), forged.as_bytes(), Some(&ours)),
        Err(BackupError::Damaged { .. })
    ));
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let spoil: [fn(&mut Manifest); 10] = [
        |m| m.topics[0].partitions[0].damaged.clear(),
        |m| m.topics[0].partitions[0].end_offset += 1,
        |m| m.topics[0].partitions[0].first_offset -= 1,
        |m| m.topics[0].partitions[0].low_watermark = 21,
        |m| m.topics[0].partitions[0].partition = 1,
        |m| m.topics[0].partitions[0].chunks[0].file = "../../etc/passwd".to_owned(),
        |m| m.topics[0].partitions[0].chunks[0].sha256 = "0c".repeat(32),
        |m| m.topics[0].id = "/".repeat(32),
        |m| m.topics.push(m.topics[0].clone()),
        |m| m.id = "20260131T235959000Z-00000000".to_owned(),
    ];
    for (case, spoil) in spoil.iter().enumerate() {
        let mut bad = manifest();
        spoil(&mut bad);
        let result = Manifest::decode(&id(), &bad.encode(None).unwrap(), None);
        assert!(matches!(result, Err(BackupError::Damaged { .. })), "case {case}: {result:?}");
    }
}

#[test]
fn foreign_and_newer_files_are_named_as_such() {
    let decode = |text: &str| Manifest::decode(&id(), text.as_bytes(), None);
    assert!(matches!(
        decode("{\"format\":\"flymq-backup\",\"version\":2}\n{}"),
        Err(BackupError::Newer { found: 2, .. })
    ));
    assert!(matches!(decode("{\"format\":\"other\",\"version\":1}\n{}"), Err(BackupError::Foreign { .. })));
    assert!(matches!(decode("PK\u{3}\u{4}\n"), Err(BackupError::Foreign { .. })));
}

proptest! {
    #[test]
    fn any_bytes_give_an_error_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Manifest::decode(&id(), &bytes, None).is_err());
    }
}
