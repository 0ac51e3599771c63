//! The framing, and frames of replicas in it, with right and with arbitrary bytes.

use bytes::BytesMut;
use flymq_proto::internal as pb;
use proptest::prelude::*;

use super::super::convert::{from_head, to_head};
use super::super::packet::{Kind, Packet, PacketError, Parsed, encode, parse};
use super::*;
use crate::replica::Span;

const MAX: usize = 64 << 10;

fn epoch() -> impl Strategy<Value = LeaderEpoch> {
    any::<u32>().prop_map(LeaderEpoch::new)
}

fn offset() -> impl Strategy<Value = Offset> {
    any::<u64>().prop_map(Offset::new)
}

fn a_stream() -> impl Strategy<Value = StreamId> {
    (any::<u64>(), any::<u32>())
        .prop_map(|(broker_epoch, number)| StreamId { broker_epoch: BrokerEpoch(broker_epoch), number })
}

prop_compose! {
    fn chunk()(
        first in offset(), until in offset(), epochs in prop::collection::vec((epoch(), offset()), 0..4),
        raw in prop::collection::vec(any::<u8>(), 0..300),
    ) -> Chunk {
        let epochs = epochs.into_iter().map(|(epoch, start)| EpochStart { epoch, start }).collect();
        Chunk { first, until, epochs, raw: raw.into() }
    }
}

prop_compose! {
    fn a_range()(
        leader_epoch in epoch(), stream in a_stream(), first in offset(), prev_epoch in prop::option::of(epoch()),
        high_watermark in offset(), log_start in offset(), chunk in chunk(),
    ) -> Frame {
        Frame::Range { head: RangeHead { leader_epoch, stream, first, prev_epoch, high_watermark, log_start }, chunk }
    }
}

prop_compose! {
    fn an_ack()(
        leader_epoch in epoch(), stream in a_stream(), end in offset(), durable in offset(), log_start in offset(),
        high_watermark in offset(), fenced: bool,
    ) -> Frame {
        Frame::Ack { leader_epoch, stream, position: Position { end, durable, log_start, high_watermark, fenced } }
    }
}

fn frame() -> impl Strategy<Value = Frame> {
    let some_epoch = || prop::option::of(epoch());
    prop_oneof![
        a_range(),
        an_ack(),
        (epoch(), a_stream(), epoch()).prop_map(|(leader_epoch, stream, last_epoch)| {
            Frame::EpochEndRequest { leader_epoch, stream, last_epoch }
        }),
        (epoch(), a_stream(), epoch(), some_epoch(), offset()).prop_map(
            |(leader_epoch, stream, asked, epoch, end)| Frame::EpochEndReply {
                leader_epoch,
                stream,
                asked,
                epoch,
                end
            }
        ),
        (epoch(), a_stream(), offset(), some_epoch()).prop_map(|(leader_epoch, stream, from, prev_epoch)| {
            Frame::Fetch { leader_epoch, stream, from, prev_epoch }
        }),
        (epoch(), a_stream(), offset()).prop_map(|(leader_epoch, stream, log_start)| Frame::BelowStart {
            leader_epoch,
            stream,
            log_start
        }),
        (epoch(), a_stream()).prop_map(|(leader_epoch, stream)| Frame::Diverged { leader_epoch, stream }),
        (epoch(), offset(), offset()).prop_map(|(leader_epoch, from, until)| Frame::RepairRequest {
            leader_epoch,
            span: Span { from, until }
        }),
        (epoch(), chunk()).prop_map(|(leader_epoch, chunk)| Frame::RepairReply { leader_epoch, chunk }),
        epoch().prop_map(|leader_epoch| Frame::StaleEpoch { leader_epoch }),
    ]
}

fn at() -> impl Strategy<Value = ReplicaKey> {
    (any::<[u8; 16]>(), any::<u32>()).prop_map(|(topic, partition)| ReplicaKey {
        topic: TopicId::from_bytes(topic),
        partition: PartitionId::new(partition),
    })
}

/// All packets in bytes that come in pieces of `piece`.
fn parse_in_pieces(bytes: &[u8], piece: usize) -> Result<Vec<Packet>, PacketError> {
    let (mut buffer, mut packets) = (BytesMut::new(), Vec::new());
    for piece in bytes.chunks(piece) {
        buffer.extend_from_slice(piece);
        while let Parsed::Packet(packet) = parse(&mut buffer, MAX)? {
            packets.push(packet);
        }
    }
    Ok(packets)
}

proptest! {
    #[test]
    fn frames_come_back_from_their_bytes(
        frames in prop::collection::vec((at(), any::<u64>(), frame()), 1..6), piece in 1..200_usize,
    ) {
        let mut bytes = Vec::new();
        for (at, to_epoch, frame) in &frames {
            let (head, body) = to_head(BrokerEpoch(*to_epoch), *at, frame.clone());
            bytes.extend_from_slice(&encode(Kind::Replica, &head, body.len(), MAX).expect("short enough"));
            bytes.extend_from_slice(&body);
        }
        let packets = parse_in_pieces(&bytes, piece).expect("they are right");
        prop_assert_eq!(packets.len(), frames.len());
        for (packet, (at, to_epoch, frame)) in packets.into_iter().zip(frames) {
            prop_assert_eq!(packet.kind, Kind::Replica);
            let head: pb::ReplicaFrame = packet.decode().expect("it is right");
            prop_assert_eq!(from_head(head, packet.body), Ok((BrokerEpoch(to_epoch), at, frame)));
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_waited_for_and_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..600), piece in 1..64_usize,
    ) {
        if let Ok(packets) = parse_in_pieces(&bytes, piece) {
            for packet in packets {
                take_apart(&packet);
            }
        }
    }

    /// Right framing around heads that are not right.
    #[test]
    fn arbitrary_heads_never_panic(
        kind in 0..64_u8, head in prop::collection::vec(any::<u8>(), 0..200), body in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&(5 + head.len() as u32 + body.len() as u32).to_le_bytes());
        bytes.push(kind);
        bytes.extend_from_slice(&(head.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(&body);
        if let Ok(packets) = parse_in_pieces(&bytes, 7) {
            for packet in packets {
                prop_assert_eq!(packet.head.as_ref(), &head[..]);
                prop_assert_eq!(packet.body.as_ref(), &body[..]);
                take_apart(&packet);
            }
        }
    }

    /// What is asked for before a packet is there never exceeds what is allowed.
    #[test]
    fn no_more_is_waited_for_than_the_bound(prefix: [u8; 9], known in 0..10_usize, max in 5..100_000_usize) {
        let mut buffer = BytesMut::from(&prefix[..known]);
        if let Ok(Parsed::Missing(missing)) = parse(&mut buffer, max) {
            prop_assert!(missing >= 1 && known + missing <= 4 + max.max(5));
        }
    }
}

fn take_apart(packet: &Packet) {
    if let Ok(head) = packet.decode::<pb::ReplicaFrame>() {
        let _ = from_head(head, packet.body.clone());
    }
    let _ = packet.decode::<pb::PeerHello>();
    let _ = packet.decode::<pb::PeerRequestHead>();
    let _ = packet.decode::<pb::PeerAnswerHead>();
}

#[test]
fn framing_copies_no_batches() {
    let raw = Bytes::from(vec![5; 1000]);
    let (head, body) = to_head(BrokerEpoch(1), key(0), range(0, raw.clone()));
    assert_eq!(body.as_ptr(), raw.as_ptr(), "what is written is what was given");
    let mut buffer = BytesMut::from(&encode(Kind::Replica, &head, body.len(), MAX).unwrap()[..]);
    buffer.extend_from_slice(&body);
    let read = buffer.as_ptr() as usize + buffer.len() - raw.len();
    let Ok(Parsed::Packet(packet)) = parse(&mut buffer, MAX) else { panic!("it is all there") };
    let (_, _, frame) = from_head(packet.decode().unwrap(), packet.body).unwrap();
    let Frame::Range { chunk, .. } = frame else { panic!("{frame:?}") };
    assert_eq!(chunk.raw.as_ptr() as usize, read, "what the log gets is what was read");
}

#[test]
fn a_packet_is_as_long_as_it_may_be_and_not_a_byte_longer() {
    let head = pb::PeerAnswerHead { id: 1, status: 0 };
    let fits = MAX - 5 - prost::Message::encoded_len(&head);
    let bytes = encode(Kind::Answer, &head, fits, MAX).expect("it fits");
    assert_eq!(encode(Kind::Answer, &head, fits + 1, MAX), None);
    assert_eq!(encode(Kind::Answer, &head, usize::MAX, MAX), None);
    let mut whole = BytesMut::from(&bytes[..]);
    whole.extend_from_slice(&vec![0; fits]);
    assert!(matches!(parse(&mut whole.clone(), MAX), Ok(Parsed::Packet(_))));
    let refused = parse(&mut whole, MAX - 1);
    assert!(matches!(refused, Err(PacketError::TooLong { .. })), "{refused:?}");
}

#[test]
fn batches_where_none_belong_are_refused() {
    let (head, _) = to_head(BrokerEpoch(1), key(0), ack(1));
    assert!(from_head(head.clone(), Bytes::new()).is_ok());
    assert!(from_head(head, Bytes::from_static(b"x")).is_err());
}
