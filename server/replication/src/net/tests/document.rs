//! docs/cluster-protocol.md says what the code does.

use super::super::packet::Kind;
use super::*;

const TEXT: &str = include_str!("../../../../../docs/cluster-protocol.md");

/// The first two cells of the table whose head begins with these two.
fn rows(first: &str, second: &str) -> Vec<(u32, String)> {
    let head = format!("| {first} | {second} |");
    let lines = TEXT.lines().skip_while(|line| !line.starts_with(&head)).skip(2);
    let rows = lines.take_while(|line| line.starts_with('|'));
    rows.map(|line| {
        let mut cells = line.split('|').skip(1).map(|cell| cell.trim().trim_matches('`'));
        let number = cells.next().unwrap().parse().unwrap();
        (number, cells.next().unwrap().to_owned())
    })
    .collect()
}

#[test]
fn lanes_kinds_and_refusals_are_as_written() {
    let lanes = PeerLane::ALL.map(|lane| (lane as u32, lane.name().to_owned()));
    assert_eq!(rows("Number", "Lane"), lanes);
    let kinds = Kind::ALL.map(|kind| (kind as u32, format!("{kind:?}")));
    assert_eq!(rows("Kind", "Packet"), kinds);
    let refusals = Refusal::ALL.map(|refusal| (refusal as u32, refusal.name().to_owned()));
    assert_eq!(rows("Number", "Refusal"), refusals);
}

#[test]
fn bounds_and_times_are_as_written() {
    let settings = PeerSettings::default();
    assert_eq!(settings.ping_every, Duration::from_millis(500));
    assert_eq!(settings.dead_after, Duration::from_secs(2));
    assert_eq!(settings.bulk_dead_after, Duration::from_secs(10));
    assert_eq!(settings.backoff, (Duration::from_millis(50), Duration::from_secs(1)));
    assert_eq!(settings.handshake, Duration::from_secs(3));
    assert_eq!((settings.max_packet_bytes, settings.max_handshakes), (33 << 20, 64));
    for lane in PeerLane::ALL {
        let expected = if lane == PeerLane::Heartbeat { 64 << 10 } else { 64 << 20 };
        assert_eq!(lane.queue_bytes(&settings), expected, "{lane:?}");
        let dead_after = lane.dead_after(&settings);
        let bulk = matches!(lane, PeerLane::CatchUp | PeerLane::Snapshot);
        assert_eq!(dead_after == settings.bulk_dead_after, bulk, "{lane:?}");
    }
}
