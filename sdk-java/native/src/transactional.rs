//! Transactional producer: messages and group offsets that count together, or not at all.

use std::time::Duration;

use bytes::{Buf as _, Bytes};
use flymq_client::{ClientError, NewMessage, TransactionalConfig, TransactionalProducer, pb};
use jni::{
    EnvUnowned, jni_mangle,
    objects::{JByteArray, JClass},
    sys::jlong,
};
use tokio::sync::Mutex;

use crate::{
    border::{Failure, bytes, enter, text, unsigned, wait_ok},
    client::CLIENTS,
    codec,
    consumer::CONSUMERS,
    handles::Table,
};

static PRODUCERS: Table<Mutex<TransactionalProducer>> = Table::new("transactional producer");

/// `timeout_ms` 0: the server's.
#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn new_transactional<'local>(
    env: EnvUnowned<'local>,
    _: JClass<'local>,
    client: jlong,
    id: JByteArray<'local>,
    timeout_ms: jlong,
) -> jlong {
    enter(env, |env| {
        let client = CLIENTS.get(client)?;
        let timeout = unsigned("transactionTimeout", timeout_ms)?;
        let config = TransactionalConfig {
            transaction_timeout: (timeout > 0).then(|| Duration::from_millis(timeout)),
            ..TransactionalConfig::new(text(env, &id)?)
        };
        Ok(PRODUCERS.insert(Mutex::new(wait_ok(env, client.transactional_producer(config))?)))
    })
}

#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn init_transactional<'local>(env: EnvUnowned<'local>, _: JClass<'local>, producer: jlong) {
    enter(env, |env| {
        let producer = PRODUCERS.get(producer)?;
        wait_ok(env, async { producer.lock().await.init().await })
    });
}

#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn begin_transaction<'local>(env: EnvUnowned<'local>, _: JClass<'local>, producer: jlong) {
    enter(env, |env| {
        let producer = PRODUCERS.get(producer)?;
        wait_ok(env, async { producer.lock().await.begin().await })
    });
}

#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn commit_transaction<'local>(env: EnvUnowned<'local>, _: JClass<'local>, producer: jlong) {
    enter(env, |env| {
        let producer = PRODUCERS.get(producer)?;
        wait_ok(env, async { producer.lock().await.commit().await })
    });
}

#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn abort_transaction<'local>(env: EnvUnowned<'local>, _: JClass<'local>, producer: jlong) {
    enter(env, |env| {
        let producer = PRODUCERS.get(producer)?;
        wait_ok(env, async { producer.lock().await.abort().await })
    });
}

#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn send_in_transaction<'local>(
    env: EnvUnowned<'local>,
    _: JClass<'local>,
    producer: jlong,
    topic: JByteArray<'local>,
    messages: JByteArray<'local>,
) -> JByteArray<'local> {
    enter(env, |env| {
        let producer = PRODUCERS.get(producer)?;
        let (topic, messages) = (text(env, &topic)?, codec::new_messages(bytes(env, &messages)?)?);
        let stored = wait_ok(env, async { producer.lock().await.send_all(&topic, messages).await })?;
        Ok(env.byte_array_from_slice(&codec::stored(&stored))?)
    })
}

/// Offsets of a group, as places each with `u64 offset`.
#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn send_offsets<'local>(
    env: EnvUnowned<'local>,
    _: JClass<'local>,
    producer: jlong,
    group: JByteArray<'local>,
    offsets: JByteArray<'local>,
) {
    enter(env, |env| {
        let producer = PRODUCERS.get(producer)?;
        let (group, offsets) = (text(env, &group)?, read_offsets(env_bytes(env, &offsets)?)?);
        wait_ok(env, async { producer.lock().await.send_offsets(&group, offsets, None).await })
    });
}

/// The offsets behind what a consumer has polled, as that member's.
#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn send_polled<'local>(
    env: EnvUnowned<'local>,
    _: JClass<'local>,
    producer: jlong,
    consumer: jlong,
    offsets: JByteArray<'local>,
) {
    enter(env, |env| {
        let (producer, consumer) = (PRODUCERS.get(producer)?, CONSUMERS.get(consumer)?);
        let offsets = read_offsets(env_bytes(env, &offsets)?)?;
        wait_ok(env, async {
            let consumer = consumer.consumer.lock().await;
            producer.lock().await.send_polled(&consumer, offsets).await
        })
    });
}

/// All in one transaction. `made`: `u32 count`, each `u16 length, topic, u32 length, messages`.
#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn transform<'local>(
    env: EnvUnowned<'local>,
    _: JClass<'local>,
    producer: jlong,
    consumer: jlong,
    offsets: JByteArray<'local>,
    made: JByteArray<'local>,
) {
    enter(env, |env| {
        let (producer, consumer) = (PRODUCERS.get(producer)?, CONSUMERS.get(consumer)?);
        let offsets = read_offsets(env_bytes(env, &offsets)?)?;
        let made = read_made(env_bytes(env, &made)?)?;
        wait_ok(env, async {
            let mut consumer = consumer.consumer.lock().await;
            producer.lock().await.transform_made(&mut consumer, offsets, made).await
        })
    });
}

#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn release_transactional<'local>(env: EnvUnowned<'local>, _: JClass<'local>, producer: jlong) {
    enter(env, |_| {
        drop(PRODUCERS.remove(producer));
        Ok::<_, Failure>(())
    });
}

fn env_bytes(env: &jni::Env<'_>, array: &JByteArray<'_>) -> Result<Bytes, Failure> {
    Ok(Bytes::from(bytes(env, array)?))
}

fn cut(_: bytes::TryGetError) -> ClientError {
    ClientError::protocol("the buffer is cut short")
}

fn read_text(buffer: &mut Bytes) -> Result<String, ClientError> {
    let length = usize::from(buffer.try_get_u16().map_err(cut)?);
    String::from_utf8(take(buffer, length)?)
        .map_err(|_| ClientError::invalid("the topic is not valid UTF-8").with("field", "topic"))
}

fn take(buffer: &mut Bytes, length: usize) -> Result<Vec<u8>, ClientError> {
    if buffer.remaining() < length {
        return Err(ClientError::protocol("the buffer is cut short"));
    }
    Ok(buffer.split_to(length).into())
}

pub(crate) fn read_offsets(mut buffer: Bytes) -> Result<Vec<pb::PartitionOffset>, ClientError> {
    let count = buffer.try_get_u32().map_err(cut)?;
    let mut offset = || {
        let topic = read_text(&mut buffer)?;
        let (partition, offset) = (buffer.try_get_i32().map_err(cut)?, buffer.try_get_u64().map_err(cut)?);
        Ok(pb::PartitionOffset { topic, partition, offset, metadata: String::new() })
    };
    (0..count).map(|_| offset()).collect()
}

fn read_made(mut buffer: Bytes) -> Result<Vec<(String, NewMessage)>, ClientError> {
    let count = buffer.try_get_u32().map_err(cut)?;
    let mut made = Vec::new();
    for _ in 0..count {
        let topic = read_text(&mut buffer)?;
        let length = usize::try_from(buffer.try_get_u32().map_err(cut)?).unwrap_or(usize::MAX);
        let messages = codec::new_messages(take(&mut buffer, length)?)?;
        made.extend(messages.into_iter().map(|message| (topic.clone(), message)));
    }
    Ok(made)
}
