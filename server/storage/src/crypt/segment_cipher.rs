//! Encryption of the batches of one segment.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use flymq_types::{BatchHeader, Offset, PartitionId, RecordBatch, Rng, TopicId};
use flymq_wire::batch::{BatchFlags, HEADER_LEN};
use ring::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};

use super::TAG_BYTES;
use super::key_block::KeyBlock;
use super::keyring::{DataKey, Keyring, UnwrapError, aes};
use crate::data_dir::DirectoryId;
use crate::layout::put;

/// A key encrypts no more batches than this; NIST SP 800-38D allows as many even for random nonces.
const MAX_WRITES: u64 = 1 << 32;

const PLACE_BYTES: usize = 16 + 16 + 4 + 8;
const CONTEXT: &[u8; 14] = b"flymq batch 1\0";
const AAD_BYTES: usize = CONTEXT.len() + PLACE_BYTES + 16 + HEADER_LEN;

/// Which segment of which log of which data directory: authenticated with every batch, and with the data key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentPlace {
    pub directory: DirectoryId,
    pub topic: TopicId,
    pub partition: PartitionId,
    pub base_offset: Offset,
}

impl SegmentPlace {
    fn encode(&self) -> [u8; PLACE_BYTES] {
        let mut bytes = [0; PLACE_BYTES];
        put(&mut bytes, 0, *self.directory.as_bytes());
        put(&mut bytes, 16, *self.topic.as_bytes());
        put(&mut bytes, 32, self.partition.0.to_le_bytes());
        put(&mut bytes, 36, self.base_offset.0.to_le_bytes());
        bytes
    }
}

/// The data key of one segment.
pub(crate) struct SegmentCipher {
    key: LessSafeKey,
    /// Everything that is authenticated but for the batch's header, which comes last.
    aad: [u8; AAD_BYTES],
    /// The next nonce. `MAX_WRITES` in a segment that was opened: whoever made its key may have used any below.
    writes: AtomicU64,
    /// Both copies of the data key on the disk are whole and wrapped by the current key.
    is_current: AtomicBool,
}

impl fmt::Debug for SegmentCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentCipher").field("writes", &self.writes).finish_non_exhaustive()
    }
}

/// Batches as they go to the disk, back to back.
#[derive(Debug, Default)]
pub(crate) struct SealedRun {
    pub bytes: Vec<u8>,
    /// Header and place in `bytes` of each.
    pub batches: Vec<(BatchHeader, usize)>,
}

impl SealedRun {
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.batches.clear();
    }

    /// Headers with their 96 bytes, in order.
    pub fn heads(&self) -> impl Iterator<Item = (&BatchHeader, &[u8])> {
        self.batches.iter().map(|(header, at)| (header, &self.bytes[*at..*at + HEADER_LEN]))
    }
}

impl SegmentCipher {
    /// A new random key, for a segment that is made now.
    pub fn create(
        keyring: &Keyring,
        place: &SegmentPlace,
        uuid: [u8; 16],
        rng: &dyn Rng,
    ) -> (Self, KeyBlock) {
        let (key, block) = keyring.new_data_key(uuid, &place.encode(), rng);
        let cipher =
            Self { writes: AtomicU64::new(0), is_current: true.into(), ..Self::new(&key, place, uuid) };
        (cipher, block)
    }

    /// The key of a segment that is there already; it opens batches and seals none.
    pub fn open(keyring: &Keyring, place: &SegmentPlace, block: &KeyBlock) -> Result<Self, UnwrapError> {
        let key = keyring.unwrap(block, &place.encode())?;
        Ok(Self::new(&key, place, block.uuid))
    }

    /// For reading, until it is known better.
    fn new(key: &DataKey, place: &SegmentPlace, uuid: [u8; 16]) -> Self {
        let writes = AtomicU64::new(MAX_WRITES);
        Self { key: aes(key), aad: aad(place, uuid), writes, is_current: false.into() }
    }

    /// The data key of `block` for another place, as a forger would use it.
    #[cfg(test)]
    pub fn with_same_key(
        keyring: &Keyring,
        place: &SegmentPlace,
        block: &KeyBlock,
        other: &SegmentPlace,
        uuid: [u8; 16],
    ) -> Self {
        let key = keyring.unwrap(block, &place.encode()).expect("the block is whole");
        Self::new(&key, other, uuid)
    }

    /// The same data key wrapped by the keyring's current key.
    pub fn wrapped_anew(
        keyring: &Keyring,
        place: &SegmentPlace,
        block: &KeyBlock,
        rng: &dyn Rng,
    ) -> Result<KeyBlock, UnwrapError> {
        keyring.rewrap(block, &place.encode(), rng)
    }

    /// Whether the data key is that of the segment with this uuid.
    pub fn is_of(&self, uuid: &[u8; 16]) -> bool {
        self.aad[CONTEXT.len() + PLACE_BYTES..AAD_BYTES - HEADER_LEN] == *uuid
    }

    /// Both copies on the disk are wrapped by the current key.
    pub fn wrapped_by_current(&self) {
        self.is_current.store(true, Ordering::Relaxed);
    }

    pub fn is_current(&self) -> bool {
        self.is_current.load(Ordering::Relaxed)
    }

    /// Whether this key may encrypt `more` batches. No for every segment that was opened and not made.
    pub fn can_seal(&self, more: u64) -> bool {
        self.writes.load(Ordering::Relaxed).saturating_add(more) <= MAX_WRITES
    }

    /// Encrypts stamped batches behind what `run` holds. The caller asked [`SegmentCipher::can_seal`].
    pub fn seal(&self, batches: &[RecordBatch], run: &mut SealedRun) {
        let bytes = batches.iter().map(|batch| batch.size() + TAG_BYTES).sum();
        run.bytes.reserve(bytes);
        for batch in batches {
            let counter = self.writes.fetch_add(1, Ordering::Relaxed);
            assert!(counter < MAX_WRITES, "a data key is never used for more batches than it may");
            self.seal_one(batch, counter, run);
        }
    }

    fn seal_one(&self, batch: &RecordBatch, counter: u64, run: &mut SealedRun) {
        let plain = batch.header();
        let header = BatchHeader {
            flags: plain.flags.union(BatchFlags::ENCRYPTED),
            payload_len: plain.payload_len + TAG_BYTES as u32,
            write_counter: counter,
            ..*plain
        };
        let head = header.encode_stamped(&plain.server);
        let header = BatchHeader { header_crc: crc_of(&head), ..header };
        let at = run.bytes.len();
        run.bytes.extend_from_slice(&head);
        run.bytes.extend_from_slice(batch.payload());
        let payload = &mut run.bytes[at + HEADER_LEN..];
        let tag = self.key.seal_in_place_separate_tag(nonce(counter), self.aad_of(&head), payload);
        run.bytes.extend_from_slice(tag.expect("a batch is smaller than 64 GiB").as_ref());
        run.batches.push((header, at));
    }

    /// Decrypts one stored batch, header and all, in its own memory, and gives it the header that it had before.
    /// `None` if a bit of it was changed, or it was written elsewhere: then nothing of it may be used.
    pub fn open_batch(&self, header: &BatchHeader, mut stored: BytesMut) -> Option<Bytes> {
        let head: [u8; HEADER_LEN] = *stored.first_chunk()?;
        if stored.len() != header.batch_len() || !is_sealed(header) {
            return None;
        }
        self.open_payload(header, &head, &mut stored[HEADER_LEN..])?;
        let plain = BatchHeader {
            flags: header.flags.without(BatchFlags::ENCRYPTED),
            payload_len: header.payload_len - TAG_BYTES as u32,
            write_counter: 0,
            ..*header
        };
        stored[..HEADER_LEN].copy_from_slice(&plain.encode_stamped(&plain.server));
        stored.truncate(plain.batch_len());
        Some(stored.freeze())
    }

    /// Decrypts a payload in place and returns it without its tag.
    pub fn open_payload<'a>(
        &self,
        header: &BatchHeader,
        head: &[u8; HEADER_LEN],
        payload: &'a mut [u8],
    ) -> Option<&'a [u8]> {
        if !is_sealed(header) || payload.len() != header.payload_len as usize {
            return None;
        }
        let opened = self.key.open_in_place(nonce(header.write_counter), self.aad_of(head), payload);
        opened.ok().map(|plain| &*plain)
    }

    fn aad_of(&self, head: &[u8; HEADER_LEN]) -> Aad<[u8; AAD_BYTES]> {
        let mut aad = self.aad;
        aad[AAD_BYTES - HEADER_LEN..].copy_from_slice(head);
        Aad::from(aad)
    }
}

fn is_sealed(header: &BatchHeader) -> bool {
    header.flags.contains(BatchFlags::ENCRYPTED) && header.payload_len as usize >= TAG_BYTES
}

fn crc_of(head: &[u8; HEADER_LEN]) -> u32 {
    u32::from_le_bytes([head[20], head[21], head[22], head[23]])
}

fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[4..].copy_from_slice(&counter.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}

fn aad(place: &SegmentPlace, uuid: [u8; 16]) -> [u8; AAD_BYTES] {
    let mut aad = [0; AAD_BYTES];
    put(&mut aad, 0, *CONTEXT);
    put(&mut aad, CONTEXT.len(), place.encode());
    put(&mut aad, CONTEXT.len() + PLACE_BYTES, uuid);
    aad
}
