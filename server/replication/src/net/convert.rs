//! Frames of replicas as packets: everything but the batches in the head.

use bytes::Bytes;
use flymq_proto::internal as pb;
use flymq_types::{LeaderEpoch, Offset, PartitionId, TopicId};
use pb::replica_frame::Frame as Kind;

use crate::link::ReplicaKey;
use crate::replica::{BrokerEpoch, Chunk, EpochStart, Frame, Position, RangeHead, Span, StreamId};

/// The head says something that no replica sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the head of a replica's frame is wrong: {0}")]
pub(super) struct WrongFrame(&'static str);

/// The head, and the bytes that follow it.
pub(super) fn to_head(to_epoch: BrokerEpoch, at: ReplicaKey, frame: Frame) -> (pb::ReplicaFrame, Bytes) {
    let leader_epoch = frame.leader_epoch().get();
    let mut body = Bytes::new();
    let kind = match frame {
        Frame::EpochEndRequest { stream, last_epoch, .. } => {
            let (stream, last_epoch) = (stream_to(stream), last_epoch.get());
            Kind::EpochEndRequest(pb::ReplicaEpochEndRequest { stream, last_epoch })
        }
        Frame::EpochEndReply { stream, asked, epoch, end, .. } => {
            let (stream, asked, epoch) = (stream_to(stream), asked.get(), epoch.map(LeaderEpoch::get));
            Kind::EpochEndReply(pb::ReplicaEpochEndReply { stream, asked, epoch, end: end.get() })
        }
        Frame::Fetch { stream, from, prev_epoch, .. } => {
            let (stream, prev_epoch) = (stream_to(stream), prev_epoch.map(LeaderEpoch::get));
            Kind::Fetch(pb::ReplicaFetch { stream, from: from.get(), prev_epoch })
        }
        Frame::Range { head, chunk } => {
            let said = chunk_to(&chunk);
            body = chunk.raw;
            Kind::Range(pb::ReplicaRange {
                stream: stream_to(head.stream),
                first: head.first.get(),
                prev_epoch: head.prev_epoch.map(LeaderEpoch::get),
                high_watermark: head.high_watermark.get(),
                log_start: head.log_start.get(),
                chunk: said,
            })
        }
        Frame::Ack { stream, position, .. } => Kind::Ack(pb::ReplicaAck {
            stream: stream_to(stream),
            end: position.end.get(),
            durable: position.durable.get(),
            log_start: position.log_start.get(),
            high_watermark: position.high_watermark.get(),
            fenced: position.fenced,
        }),
        Frame::BelowStart { stream, log_start, .. } => {
            let stream = stream_to(stream);
            Kind::BelowStart(pb::ReplicaBelowStart { stream, log_start: log_start.get() })
        }
        Frame::Diverged { stream, .. } => Kind::Diverged(pb::ReplicaDiverged { stream: stream_to(stream) }),
        Frame::RepairRequest { span, .. } => {
            Kind::RepairRequest(pb::ReplicaRepairRequest { from: span.from.get(), until: span.until.get() })
        }
        Frame::RepairReply { chunk, .. } => {
            let said = chunk_to(&chunk);
            body = chunk.raw;
            Kind::RepairReply(pb::ReplicaRepairReply { chunk: said })
        }
        Frame::StaleEpoch { .. } => Kind::StaleEpoch(pb::ReplicaStaleEpoch {}),
    };
    let head = pb::ReplicaFrame {
        topic: Bytes::copy_from_slice(at.topic.as_bytes()),
        partition: at.partition.get(),
        to_epoch: to_epoch.0,
        leader_epoch,
        frame: Some(kind),
    };
    (head, body)
}

/// The frame, whom it is for, and which registration of this node was meant.
pub(super) fn from_head(
    head: pb::ReplicaFrame,
    body: Bytes,
) -> Result<(BrokerEpoch, ReplicaKey, Frame), WrongFrame> {
    let topic: [u8; 16] = head.topic.as_ref().try_into().map_err(|_| WrongFrame("topic"))?;
    let at = ReplicaKey { topic: TopicId::from_bytes(topic), partition: PartitionId::new(head.partition) };
    let leader_epoch = LeaderEpoch::new(head.leader_epoch);
    let frame = match head.frame.ok_or(WrongFrame("kind"))? {
        Kind::EpochEndRequest(said) => Frame::EpochEndRequest {
            leader_epoch,
            stream: stream_from(said.stream)?,
            last_epoch: LeaderEpoch::new(said.last_epoch),
        },
        Kind::EpochEndReply(said) => Frame::EpochEndReply {
            leader_epoch,
            stream: stream_from(said.stream)?,
            asked: LeaderEpoch::new(said.asked),
            epoch: said.epoch.map(LeaderEpoch::new),
            end: Offset::new(said.end),
        },
        Kind::Fetch(said) => Frame::Fetch {
            leader_epoch,
            stream: stream_from(said.stream)?,
            from: Offset::new(said.from),
            prev_epoch: said.prev_epoch.map(LeaderEpoch::new),
        },
        Kind::Range(said) => {
            return range_from(said, leader_epoch, body).map(|frame| (BrokerEpoch(head.to_epoch), at, frame));
        }
        Kind::Ack(said) => {
            Frame::Ack { leader_epoch, stream: stream_from(said.stream)?, position: position_from(&said) }
        }
        Kind::BelowStart(said) => Frame::BelowStart {
            leader_epoch,
            stream: stream_from(said.stream)?,
            log_start: Offset::new(said.log_start),
        },
        Kind::Diverged(said) => Frame::Diverged { leader_epoch, stream: stream_from(said.stream)? },
        Kind::RepairRequest(said) => Frame::RepairRequest {
            leader_epoch,
            span: Span { from: Offset::new(said.from), until: Offset::new(said.until) },
        },
        Kind::RepairReply(said) => {
            let chunk = chunk_from(said.chunk, body)?;
            return Ok((BrokerEpoch(head.to_epoch), at, Frame::RepairReply { leader_epoch, chunk }));
        }
        Kind::StaleEpoch(pb::ReplicaStaleEpoch {}) => Frame::StaleEpoch { leader_epoch },
    };
    if body.is_empty() { Ok((BrokerEpoch(head.to_epoch), at, frame)) } else { Err(WrongFrame("batches")) }
}

fn range_from(said: pb::ReplicaRange, leader_epoch: LeaderEpoch, body: Bytes) -> Result<Frame, WrongFrame> {
    let head = RangeHead {
        leader_epoch,
        stream: stream_from(said.stream)?,
        first: Offset::new(said.first),
        prev_epoch: said.prev_epoch.map(LeaderEpoch::new),
        high_watermark: Offset::new(said.high_watermark),
        log_start: Offset::new(said.log_start),
    };
    Ok(Frame::Range { head, chunk: chunk_from(said.chunk, body)? })
}

fn position_from(said: &pb::ReplicaAck) -> Position {
    Position {
        end: Offset::new(said.end),
        durable: Offset::new(said.durable),
        log_start: Offset::new(said.log_start),
        high_watermark: Offset::new(said.high_watermark),
        fenced: said.fenced,
    }
}

fn stream_to(stream: StreamId) -> Option<pb::ReplicaStream> {
    Some(pb::ReplicaStream { broker_epoch: stream.broker_epoch.0, number: stream.number })
}

fn stream_from(stream: Option<pb::ReplicaStream>) -> Result<StreamId, WrongFrame> {
    let stream = stream.ok_or(WrongFrame("stream"))?;
    Ok(StreamId { broker_epoch: BrokerEpoch(stream.broker_epoch), number: stream.number })
}

fn chunk_to(chunk: &Chunk) -> Option<pb::ReplicaChunk> {
    Some(pb::ReplicaChunk {
        first: chunk.first.get(),
        until: chunk.until.get(),
        epochs: chunk.epochs.iter().map(|entry| entry.epoch.get()).collect(),
        starts: chunk.epochs.iter().map(|entry| entry.start.get()).collect(),
    })
}

fn chunk_from(said: Option<pb::ReplicaChunk>, raw: Bytes) -> Result<Chunk, WrongFrame> {
    let said = said.ok_or(WrongFrame("chunk"))?;
    if said.epochs.len() != said.starts.len() {
        return Err(WrongFrame("epochs"));
    }
    let entry = |(epoch, start)| EpochStart { epoch: LeaderEpoch::new(epoch), start: Offset::new(start) };
    let epochs = said.epochs.into_iter().zip(said.starts).map(entry).collect();
    Ok(Chunk { first: Offset::new(said.first), until: Offset::new(said.until), epochs, raw })
}
