//! Client: connect, any control call as JSON, produce, consume, fetch.

use std::time::Duration;

use bytes::BufMut as _;
use flymq_client::{Client, FetchSpec};
use jni::{
    EnvUnowned, jni_mangle,
    objects::{JByteArray, JClass},
    sys::{jint, jlong},
};

use crate::{
    border::{Failure, bytes, enter, text, unsigned, wait_ok},
    codec,
    handles::Table,
    settings,
};

pub(crate) static CLIENTS: Table<Client> = Table::new("client");

#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn connect<'local>(env: EnvUnowned<'local>, _: JClass<'local>, config: JByteArray<'local>) -> jlong {
    enter(env, |env| {
        let config = settings::client(&bytes(env, &config)?)?;
        Ok(CLIENTS.insert(wait_ok(env, Client::with_config(config))?))
    })
}

#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn close_client<'local>(env: EnvUnowned<'local>, _: JClass<'local>, client: jlong) {
    enter(env, |_| {
        if let Some(client) = CLIENTS.remove(client) {
            client.close();
        }
        Ok(())
    });
}

/// Gives a client up: its connections end with the last producer, consumer or call that uses them.
#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn release_client<'local>(env: EnvUnowned<'local>, _: JClass<'local>, client: jlong) {
    enter(env, |_| {
        drop(CLIENTS.remove(client));
        Ok::<_, Failure>(())
    });
}

#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn call<'local>(
    env: EnvUnowned<'local>,
    _: JClass<'local>,
    client: jlong,
    rpc: JByteArray<'local>,
    request: JByteArray<'local>,
) -> JByteArray<'local> {
    enter(env, |env| {
        let client = CLIENTS.get(client)?;
        let (rpc, request) = (text(env, &rpc)?, text(env, &request)?);
        let reply = wait_ok(env, client.call_json(&rpc, &request))?;
        Ok(env.byte_array_from_slice(reply.as_bytes())?)
    })
}

#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn produce<'local>(
    env: EnvUnowned<'local>,
    _: JClass<'local>,
    client: jlong,
    topic: JByteArray<'local>,
    acks: jint,
    messages: JByteArray<'local>,
) -> JByteArray<'local> {
    enter(env, |env| {
        let client = CLIENTS.get(client)?;
        let (topic, acks) = (text(env, &topic)?, settings::acks(acks)?);
        let mut messages = codec::new_messages(bytes(env, &messages)?)?;
        let stored = match (messages.len(), messages.pop()) {
            (1, Some(message)) => vec![wait_ok(env, client.produce_one(&topic, message, acks))?],
            (_, last) => {
                messages.extend(last);
                wait_ok(env, client.produce_batch(&topic, messages, acks))?
            }
        };
        Ok(env.byte_array_from_slice(&codec::stored(&stored))?)
    })
}

#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn consume<'local>(
    env: EnvUnowned<'local>,
    _: JClass<'local>,
    client: jlong,
    topic: JByteArray<'local>,
    partition: jint,
    offset: jlong,
) -> JByteArray<'local> {
    enter(env, |env| {
        let client = CLIENTS.get(client)?;
        let (topic, offset) = (text(env, &topic)?, unsigned("offset", offset)?);
        let message = wait_ok(env, client.consume(&topic, partition, offset))?;
        let mut out = Vec::new();
        codec::put_messages(&mut out, &[message]);
        Ok(env.byte_array_from_slice(&out)?)
    })
}

/// Reply: `u64 next offset, u64 high watermark, u64 low watermark`, messages.
#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn fetch<'local>(
    env: EnvUnowned<'local>,
    _: JClass<'local>,
    client: jlong,
    topic: JByteArray<'local>,
    partition: jint,
    offset: jlong,
    max_messages: jint,
    max_wait_ms: jlong,
    filter: JByteArray<'local>,
) -> JByteArray<'local> {
    enter(env, |env| {
        let client = CLIENTS.get(client)?;
        let (topic, offset) = (text(env, &topic)?, unsigned("offset", offset)?);
        let filter = text(env, &filter)?;
        let max_messages = unsigned("max_messages", max_messages.into())?;
        let spec = FetchSpec {
            max_messages: usize::try_from(max_messages).unwrap_or(usize::MAX),
            max_wait: Duration::from_millis(unsigned("max_wait_ms", max_wait_ms)?),
            filter: (!filter.is_empty()).then(|| filter.into()),
            ..FetchSpec::new(topic, partition, offset)
        };
        let fetched = wait_ok(env, client.fetch(&spec))?;
        let mut out = Vec::new();
        out.put_u64(fetched.next_offset);
        out.put_u64(fetched.high_watermark);
        out.put_u64(fetched.low_watermark);
        codec::put_messages(&mut out, &fetched.messages);
        Ok(env.byte_array_from_slice(&out)?)
    })
}
