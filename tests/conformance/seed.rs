//! Batches that the harness itself produces, whatever the surface: what a surface reads need not be what it can write.

use bytes::Bytes;
use flymq_client::Client;
use flymq_proto::pb;
use flymq_wire::batch::{
    BatchBuilder, BatchHeader, Compression, HEADER_LEN, NewRecord, ProducerFields, ServerFields, stamp_header,
};
use serde_json::{Value, json};

use crate::surface::{Failure, Reply};

/// `seed`: the messages as one batch of codec `compression`; with `broken`, one whose payload does not open.
pub async fn seed(addr: &str, a: &Value) -> Reply {
    let batch = seeded(a)?;
    let client = Client::connect(addr).await?;
    let request = pb::ProduceRequest {
        topic: a["topic"].as_str().unwrap_or_default().to_owned(),
        partition: Some(0),
        acks: pb::Acks::All.into(),
        batch,
        ..pb::ProduceRequest::default()
    };
    let stored: pb::ProduceResponse = client.call("Produce", &request).await?;
    Ok(json!({"partition": stored.partition, "offset": stored.base_offset}))
}

/// `restore`: a new topic with `batches`, each as in `seed`, as a backup of an older log has them: those were not opened when they were
/// produced.
pub async fn restore(addr: &str, a: &Value) -> Reply {
    let name = a["topic"].as_str().unwrap_or_default().to_owned();
    let backup_id = format!("20260101T000000Z-0badcafe:{name}");
    let (mut log, mut base_offset) = (Vec::new(), 0);
    for one in a["batches"].as_array().into_iter().flatten() {
        let (batch, at) = (seeded(one)?, log.len());
        log.extend_from_slice(&batch);
        let fields = ServerFields { base_offset, ..ServerFields::default() };
        stamp_header(&mut log[at..], &fields).map_err(Failure::broken)?;
        base_offset += u64::from(BatchHeader::parse(&batch).map_err(Failure::broken)?.record_count);
    }
    let client = Client::connect(addr).await?;
    let from = pb::RestoreTopic { backup_id: backup_id.clone(), first_offsets: vec![0] };
    let create = pb::CreateTopicRequest {
        name: name.clone(),
        restore: Some(from),
        ..pb::CreateTopicRequest::default()
    };
    client.call::<_, pb::CreateTopicResponse>("CreateTopic", &create).await?;
    let (topic, batches) = (name.clone(), log.into());
    let records = pb::RestoreRecordsRequest { topic, partition: 0, backup_id: backup_id.clone(), batches };
    client.call::<_, pb::RestoreRecordsResponse>("RestoreRecords", &records).await?;
    let finish = pb::FinishRestoreRequest { topic: name, backup_id };
    client.call::<_, pb::FinishRestoreResponse>("FinishRestore", &finish).await?;
    Ok(json!({}))
}

/// `batch`: a batch as an idempotent producer sends it, by values, `producer_id`, `producer_epoch` and the sequence of its first
/// record; in base64, for `Produce` by `call`.
pub fn numbered(a: &Value) -> Reply {
    use base64::Engine as _;
    let mut builder = BatchBuilder::new();
    let number = |field: &str| a[field].as_u64().ok_or_else(|| Failure::broken(format!("no {field}")));
    builder.set_producer(ProducerFields {
        id: number("producer_id")?,
        epoch: u16::try_from(number("producer_epoch")?).map_err(Failure::broken)?,
        base_sequence: i32::try_from(number("sequence")?).map_err(Failure::broken)?,
    });
    for value in a["values"].as_array().into_iter().flatten() {
        let value = value.as_str().map(str::as_bytes);
        let record = NewRecord { key: None, value, timestamp: 1_000, expires_at: None };
        builder.push(&record).map_err(Failure::broken)?;
    }
    let batch = builder.build().map_err(Failure::broken)?;
    Ok(json!({"batch": base64::engine::general_purpose::STANDARD.encode(batch)}))
}

fn seeded(a: &Value) -> Result<Bytes, Failure> {
    let batch = compressed(a)?;
    if a["broken"].as_bool() == Some(true) { broken(&batch) } else { Ok(batch) }
}

/// The messages of `a` as one batch, compressed as it says. It must get smaller by that, or the case would show nothing.
pub fn compressed(a: &Value) -> Result<Bytes, Failure> {
    let codec: Compression =
        a["compression"].as_str().unwrap_or_default().parse().map_err(Failure::broken)?;
    let mut builder = BatchBuilder::new();
    for message in a["messages"].as_array().into_iter().flatten() {
        let part = |name: &str| message[name].as_str().map(str::as_bytes);
        let record = NewRecord { key: part("key"), value: part("value"), timestamp: 1_000, expires_at: None };
        builder.push(&record).map_err(Failure::broken)?;
    }
    let batch = builder.build_compressed(codec, None).map_err(Failure::broken)?;
    let used = BatchHeader::parse(&batch).map_err(Failure::broken)?.compression;
    if used == codec {
        Ok(batch)
    } else {
        Err(Failure::broken(format!("{codec} makes this batch no smaller")))
    }
}

/// The same payload under a header that says one record more: nobody sees it before the batch is opened.
fn broken(batch: &Bytes) -> Result<Bytes, Failure> {
    let header = BatchHeader::parse(batch).map_err(Failure::broken)?;
    let header = BatchHeader { record_count: header.record_count + 1, ..header };
    Ok([&header.encode()[..], &batch[HEADER_LEN..]].concat().into())
}
