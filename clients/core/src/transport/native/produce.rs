//! Produce as records. On the native protocol a produce is one ready batch for one partition, so records are packed
//! into batches here, and the replies put together again.

use bytes::Bytes;
use flymq_wire::v2;
use futures::{FutureExt as _, future::BoxFuture, future::try_join_all};
use prost::Message as _;

use super::connection::Connection;
use crate::{
    ClientError, NewMessage, pb,
    producer::{ANY_PARTITION, batch_of},
};

/// A batch is closed at this size: several fit a frame's limit with room to spare.
const BATCH_BYTES: usize = 4 << 20;

/// `body`: an encoded `ProduceRequest`; the reply is an encoded `ProduceResponse`.
/// All batches are on their way when this returns, in the order of the records.
pub(super) fn call(connection: &Connection, body: Bytes) -> BoxFuture<'static, Result<Bytes, ClientError>> {
    let request = match pb::ProduceRequest::decode(body) {
        Ok(request) => request,
        Err(error) => return refuse(ClientError::protocol(format!("produce request: {error}"))),
    };
    if request.ttl_ms != 0 || !request.schema.is_empty() {
        let message = "ttl_ms and schema cannot be asked for on the native port: connect by grpc://host:9097";
        return refuse(ClientError::invalid(message));
    }
    let batches = match pack(&request) {
        Ok(batches) => batches,
        Err(error) => return refuse(error),
    };
    let sent: Vec<_> = batches
        .into_iter()
        .map(|Packed { body, records }| {
            let reply = connection.send(move |correlation| body.encode(correlation));
            async move {
                let reply = v2::ProduceReply::decode(reply.await?).map_err(super::unreadable)?;
                Ok::<_, ClientError>((reply, records))
            }
        })
        .collect();
    async move { Ok(response(&request.topic, &try_join_all(sent).await?).encode_to_vec().into()) }.boxed()
}

fn refuse(error: ClientError) -> BoxFuture<'static, Result<Bytes, ClientError>> {
    futures::future::ready(Err(error)).boxed()
}

/// One batch and the sizes of its records' keys (-1: none) and values.
struct Packed {
    body: v2::ProduceBody,
    records: Vec<(i32, i32)>,
}

fn pack(request: &pb::ProduceRequest) -> Result<Vec<Packed>, ClientError> {
    let acks = super::acks(request.acks());
    let body = |partition, batch| v2::ProduceBody {
        acks,
        partition,
        timeout_ms: request.timeout_ms,
        topic: request.topic.clone(),
        batch,
    };
    let partition = request.partition.unwrap_or(ANY_PARTITION);
    if !request.batch.is_empty() {
        return Ok(vec![Packed { body: body(partition, request.batch.clone()), records: Vec::new() }]);
    }
    let messages: Vec<NewMessage> = request.records.iter().map(message).collect();
    let chunks = chunks(&messages, partition);
    chunks
        .map(|chunk| Ok(Packed { body: body(partition, batch_of(chunk)?), records: sizes(chunk) }))
        .collect()
}

/// Runs of messages that may share a batch. Where the server picks the partition, a keyed message goes alone, since
/// the key of a batch with a single record decides; the others keep together.
fn chunks(messages: &[NewMessage], partition: i32) -> impl Iterator<Item = &[NewMessage]> {
    let mut bytes = 0;
    messages.chunk_by(move |left, right| {
        bytes += size(left);
        let together = partition != ANY_PARTITION || (left.key.is_none() && right.key.is_none());
        let keep = together && bytes + size(right) <= BATCH_BYTES;
        if !keep {
            bytes = 0;
        }
        keep
    })
}

fn size(message: &NewMessage) -> usize {
    message.key.as_ref().map_or(0, Bytes::len) + message.value.as_ref().map_or(0, Bytes::len)
}

fn sizes(messages: &[NewMessage]) -> Vec<(i32, i32)> {
    let length = |bytes: &Bytes| i32::try_from(bytes.len()).unwrap_or(i32::MAX);
    let sizes =
        messages.iter().map(|m| (m.key.as_ref().map_or(-1, length), m.value.as_ref().map_or(0, length)));
    sizes.collect()
}

/// As the server reads a record: text stands in for absent bytes, an empty key is none.
fn message(record: &pb::Record) -> NewMessage {
    let text = |text: &Option<String>| text.as_ref().map(|text| Bytes::copy_from_slice(text.as_bytes()));
    let value = if record.value.is_empty() { text(&record.value_text) } else { None };
    let value = value.unwrap_or_else(|| record.value.clone());
    NewMessage {
        key: record.key.clone().or_else(|| text(&record.key_text)).filter(|key| !key.is_empty()),
        value: (!record.tombstone || !value.is_empty()).then_some(value),
        headers: record.headers.iter().map(|h| (h.name.clone(), h.value.clone())).collect(),
        timestamp_ms: (record.timestamp_ms != 0).then_some(record.timestamp_ms),
        partition: None,
    }
}

fn response(topic: &str, stored: &[(v2::ProduceReply, Vec<(i32, i32)>)]) -> pb::ProduceResponse {
    let records = stored.iter().flat_map(|(reply, sizes)| {
        let offsets = reply.base_offset..;
        offsets.zip(sizes).map(move |(offset, (key_size, value_size))| pb::RecordMetadata {
            topic: topic.to_owned(),
            partition: reply.partition,
            offset,
            timestamp_ms: reply.append_time,
            key_size: *key_size,
            value_size: *value_size,
        })
    });
    let mut response =
        pb::ProduceResponse { topic: topic.to_owned(), records: records.collect(), ..Default::default() };
    if let Some((first, _)) = stored.first() {
        response.timestamp_ms = first.append_time;
        // Partition and first offset say something only where all went to one partition.
        if stored.iter().all(|(reply, _)| reply.partition == first.partition) {
            response.partition = first.partition;
            response.base_offset = first.base_offset;
            response.record_count = u32::try_from(response.records.len()).unwrap_or(u32::MAX);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(messages: &[NewMessage], partition: i32) -> Vec<usize> {
        chunks(messages, partition).map(<[NewMessage]>::len).collect()
    }

    #[test]
    fn keyed_messages_go_alone_unless_a_partition_is_named() {
        let plain = || NewMessage::value("v");
        let keyed = || NewMessage::keyed("k", "v");
        let messages = [plain(), plain(), keyed(), keyed(), plain()];
        assert_eq!(lengths(&messages, ANY_PARTITION), [2, 1, 1, 1]);
        assert_eq!(lengths(&messages, 0), [5]);
    }

    #[test]
    fn a_batch_is_closed_at_its_size() {
        let messages = vec![NewMessage::value(vec![0; BATCH_BYTES / 2]); 5];
        assert_eq!(lengths(&messages, ANY_PARTITION), [2, 2, 1]);
        let messages = vec![NewMessage::value(vec![0; BATCH_BYTES + 1]); 2];
        assert_eq!(lengths(&messages, 0), [1, 1]);
    }

    #[test]
    fn text_stands_in_for_bytes_and_an_empty_key_is_none() {
        let record =
            pb::Record { key: Some(Bytes::new()), value_text: Some("v".to_owned()), ..pb::Record::default() };
        let message = message(&record);
        assert_eq!((message.key, message.value.as_deref()), (None, Some(&b"v"[..])));
    }
}
