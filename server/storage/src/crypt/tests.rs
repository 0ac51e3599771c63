//! Keys, wrapped keys and ciphers for themselves.

use std::path::Path;
use std::sync::Arc;

use bytes::BytesMut;
use flymq_types::{BatchHeader, Offset, PartitionId, RecordBatch, SeededRng, TopicId};
use flymq_wire::batch::{HEADER_LEN, ServerFields};
use proptest::prelude::*;

use super::*;
use crate::data_dir::DirectoryId;
use crate::error::StorageError;
use crate::log::tests::support::keys;

const UUID: [u8; 16] = [7; 16];

fn place() -> SegmentPlace {
    SegmentPlace {
        directory: DirectoryId::from_bytes([1; 16]),
        topic: TopicId::from_bytes([2; 16]),
        partition: PartitionId(3),
        base_offset: Offset(4),
    }
}

fn stamped(values: &[&[u8]]) -> RecordBatch {
    let server = ServerFields { base_offset: 4, incarnation: 9, ..ServerFields::default() };
    crate::testing::batch(values).stamp(server)
}

fn sealed(cipher: &SegmentCipher, batch: &RecordBatch) -> Vec<u8> {
    let mut run = SealedRun::default();
    cipher.seal(std::slice::from_ref(batch), &mut run);
    run.bytes
}

fn opened(cipher: &SegmentCipher, stored: &[u8]) -> Option<RecordBatch> {
    let header = BatchHeader::parse(stored).ok()?;
    let batch = cipher.open_batch(&header, BytesMut::from(stored))?;
    RecordBatch::from_log(batch).ok()
}

#[test]
fn a_batch_comes_back_as_it_was() {
    let keyring = Keyring::new(&keys(1, &[]));
    let (cipher, block) = SegmentCipher::create(&keyring, &place(), UUID, &SeededRng::new(1));
    let again = SegmentCipher::open(&keyring, &place(), &block).unwrap();
    for values in [&[b"".as_slice()][..], &[b"one", b"two"], &[&[b'x'; 100_000]]] {
        let batch = stamped(values);
        let stored = sealed(&cipher, &batch);
        assert_eq!(stored.len(), batch.size() + TAG_BYTES);
        for reader in [&cipher, &again] {
            let back = opened(reader, &stored).unwrap();
            assert_eq!((back.to_bytes(), back.header()), (batch.to_bytes(), batch.header()));
        }
    }
    assert!(cipher.can_seal(1) && !again.can_seal(1), "an opened key never encrypts");
}

#[test]
fn equal_batches_look_different() {
    let keyring = Keyring::new(&keys(1, &[]));
    let (cipher, _) = SegmentCipher::create(&keyring, &place(), UUID, &SeededRng::new(1));
    let batch = stamped(&[b"the same"]);
    let (first, second) = (sealed(&cipher, &batch), sealed(&cipher, &batch));
    assert_ne!(first[HEADER_LEN..], second[HEADER_LEN..]);
}

#[test]
fn a_batch_opens_in_its_place_only() {
    let keyring = Keyring::new(&keys(1, &[]));
    let (cipher, block) = SegmentCipher::create(&keyring, &place(), UUID, &SeededRng::new(1));
    let stored = sealed(&cipher, &stamped(&[b"value"]));
    let elsewhere = [
        SegmentPlace { directory: DirectoryId::from_bytes([9; 16]), ..place() },
        SegmentPlace { topic: TopicId::from_bytes([9; 16]), ..place() },
        SegmentPlace { partition: PartitionId(9), ..place() },
        SegmentPlace { base_offset: Offset(9), ..place() },
    ];
    for other in elsewhere {
        assert_eq!(SegmentCipher::open(&keyring, &other, &block).err(), Some(UnwrapError::Damaged));
        let moved = SegmentCipher::with_same_key(&keyring, &place(), &block, &other, UUID);
        assert!(opened(&moved, &stored).is_none(), "{other:?}");
    }
    let moved = SegmentCipher::with_same_key(&keyring, &place(), &block, &place(), [8; 16]);
    assert!(opened(&moved, &stored).is_none(), "another uuid");
    let same = SegmentCipher::with_same_key(&keyring, &place(), &block, &place(), UUID);
    assert!(opened(&same, &stored).is_some());
}

#[test]
fn a_data_key_needs_its_key() {
    let (one, two) = (Keyring::new(&keys(1, &[])), Keyring::new(&keys(2, &[1])));
    let (cipher, block) = SegmentCipher::create(&one, &place(), UUID, &SeededRng::new(1));
    let stored = sealed(&cipher, &stamped(&[b"value"]));
    let only_two = Keyring::new(&keys(2, &[]));
    assert_eq!(
        SegmentCipher::open(&only_two, &place(), &block).err(),
        Some(UnwrapError::UnknownKey(one.current()))
    );
    let moved = SegmentCipher::wrapped_anew(&two, &place(), &block, &SeededRng::new(2)).unwrap();
    assert_eq!(moved.key_id, two.current());
    let reader = SegmentCipher::open(&only_two, &place(), &moved).unwrap();
    assert!(opened(&reader, &stored).is_some(), "the same data key under the new key");
}

#[test]
fn every_changed_bit_of_a_key_block_is_found() {
    let keyring = Keyring::new(&keys(1, &[]));
    let (_, block) = SegmentCipher::create(&keyring, &place(), UUID, &SeededRng::new(1));
    let good = block.encode();
    assert_eq!(KeyBlock::decode(&good), Some(block));
    for bit in 0..good.len() * 8 {
        let mut bad = good;
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(KeyBlock::decode(&bad), None, "bit {bit}");
    }
    // With the checksum made good the cipher still sees it, but for the key's id, which then names no key.
    for at in 24..100 {
        let mut forged = good;
        forged[at] ^= 1;
        crate::layout::seal(&mut forged, b"FQDATKEY");
        let forged = KeyBlock::decode(&forged).unwrap();
        assert_eq!(
            SegmentCipher::open(&keyring, &place(), &forged).err(),
            Some(UnwrapError::Damaged),
            "{at}"
        );
    }
}

#[test]
fn pieces_of_a_file_open_as_themselves_only() {
    let vault =
        |n: u8, old: &[u8]| FileVault::new(&keys(n, old), [1; 16], Arc::new(SeededRng::new(n.into())));
    let path = Path::new("file");
    let (cipher, head) = vault(1, &[]).new_file("log");
    assert_eq!(head.len(), FileVault::HEAD_BYTES);
    let sealed = cipher.seal(5, b"content");
    assert_eq!(sealed.len(), 7 + FileCipher::OVERHEAD);
    let (again, current) = vault(1, &[]).open_file(path, "log", &head).unwrap();
    assert!(current);
    assert_eq!(again.open(5, &sealed).as_deref(), Some(&b"content"[..]));
    assert_eq!(again.open(6, &sealed), None);
    assert_eq!(again.open(5, &sealed[..11]), None);
    for bit in 0..sealed.len() * 8 {
        let mut bad = sealed.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(again.open(5, &bad), None, "bit {bit}");
    }
    let (_, current) = vault(2, &[1]).open_file(path, "log", &head).unwrap();
    assert!(!current, "under an older key");
    let wrong = vault(2, &[]).open_file(path, "log", &head).unwrap_err();
    assert!(matches!(wrong, StorageError::WrongKey { .. }), "{wrong}");
    assert!(vault(1, &[]).open_file(path, "snapshot", &head).is_err());
    for at in 0..head.len() {
        let mut bad = head.clone();
        bad[at] ^= 1;
        assert!(vault(1, &[]).open_file(path, "log", &bad).is_ok(), "the other copy holds, byte {at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_changed_bit_of_a_stored_batch_is_found(
        value in prop::collection::vec(any::<u8>(), 0..2_000),
        bits in prop::collection::vec(any::<prop::sample::Index>(), 1..60),
    ) {
        let keyring = Keyring::new(&keys(1, &[]));
        let (cipher, _) = SegmentCipher::create(&keyring, &place(), UUID, &SeededRng::new(1));
        let stored = sealed(&cipher, &stamped(&[&value]));
        for bit in &bits {
            let bit = bit.index(stored.len() * 8);
            let mut bad = stored.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(opened(&cipher, &bad).is_none(), "bit {}", bit);
            // The header's own checksum made good by someone who knows the format.
            if bit / 8 < HEADER_LEN && !(20..24).contains(&(bit / 8)) && let Ok(header) = BatchHeader::parse(&bad) {
                bad[..HEADER_LEN].copy_from_slice(&header.encode_stamped(&header.server));
                prop_assert!(opened(&cipher, &bad).is_none(), "bit {} with a good checksum", bit);
            }
        }
    }
}
