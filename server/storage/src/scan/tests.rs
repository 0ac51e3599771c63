use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::disk::{Disk, OpenMode, SimDisk};
use crate::testing::stamped;

fn file(bytes: &[u8]) -> Arc<dyn DiskFile> {
    let disk = SimDisk::new();
    disk.plant(Path::new("/f"), bytes);
    disk.open(Path::new("/f"), OpenMode::Read).unwrap()
}

#[test]
fn finds_a_batch_only_where_it_is_whole_and_ours() {
    let batch = stamped(&[b"a", b"b"], 10, 7);
    let f = file(&batch);
    let mut window = Window::plain(&*f, 7, batch.len() as u64);
    assert!(matches!(window.batch_at(0).unwrap(), Found::Batch(h, _) if h.server.base_offset == 10));
    assert!(matches!(window.batch_at(1).unwrap(), Found::Nothing));
    let mut other = Window::plain(&*f, 8, batch.len() as u64);
    assert!(matches!(other.batch_at(0).unwrap(), Found::Nothing));
    let mut cut = Window::plain(&*f, 7, batch.len() as u64 - 1);
    assert!(matches!(cut.batch_at(0).unwrap(), Found::BadPayload(_)));
}

#[test]
fn looks_forward_past_damage_also_over_chunk_borders() {
    for gap in [0, 1, 100, CHUNK - 2, CHUNK - 96, CHUNK, CHUNK + 1, 3 * CHUNK] {
        let mut bytes = vec![b'F'; gap];
        bytes.extend_from_slice(&stamped(&[b"x"], 5, 7));
        bytes.extend_from_slice(&stamped(&[b"y"], 6, 7));
        let f = file(&bytes);
        let mut window = Window::plain(&*f, 7, bytes.len() as u64);
        let (position, header) = window.next_verified(0, 0).unwrap().unwrap();
        assert_eq!((position, header.server.base_offset), (gap as u64, 5), "gap {gap}");
        assert_eq!(window.next_verified(0, 6).unwrap().unwrap().1.server.base_offset, 6);
        assert!(window.next_verified(0, 7).unwrap().is_none());
    }
}

#[test]
fn a_batch_inside_a_damaged_payload_is_not_mistaken_for_a_later_one() {
    let inner = stamped(&[b"forged"], 99, 7);
    let mut bytes = stamped(&[&inner, b"tail"], 5, 7).to_vec();
    let outer = bytes.len();
    bytes[outer - 1] ^= 1;
    bytes.extend_from_slice(&stamped(&[b"y"], 7, 7));
    let f = file(&bytes);
    let mut window = Window::plain(&*f, 7, bytes.len() as u64);
    let (position, header) = window.next_verified(0, 0).unwrap().unwrap();
    assert_eq!((position, header.server.base_offset), (outer as u64, 7));
}

#[test]
fn blank_means_zeros_up_to_the_end() {
    let mut bytes = vec![0; 2 * CHUNK];
    bytes[CHUNK + 7] = 1;
    let f = file(&bytes);
    let mut window = Window::plain(&*f, 7, bytes.len() as u64);
    assert!(!window.is_blank_from(0).unwrap());
    assert!(window.is_blank_from(CHUNK as u64 + 8).unwrap());
}
