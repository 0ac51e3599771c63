//! Batches that the harness itself produces, whatever the surface: what a surface reads need not be what it can write.

use bytes::Bytes;
use flymq_client::Client;
use flymq_proto::pb;
use flymq_wire::batch::{BatchBuilder, BatchHeader, Compression, HEADER_LEN, NewRecord};
use serde_json::{Value, json};

use crate::surface::{Failure, Reply};

/// `seed`: the messages as one batch of codec `compression`; with `broken`, one whose payload does not open.
pub async fn seed(addr: &str, a: &Value) -> Reply {
    let mut batch = compressed(a)?;
    if a["broken"].as_bool() == Some(true) {
        batch = broken(&batch)?;
    }
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
