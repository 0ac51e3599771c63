//! Serdes over the schema registry: documents are JSON on this side.

use flymq_client::serde::{Codec as _, SchemaSerde};
use jni::{
    EnvUnowned, jni_mangle,
    objects::{JByteArray, JClass},
    sys::jlong,
};

use crate::{
    border::{Failure, bytes, enter, text, wait_ok},
    client::CLIENTS,
    handles::Table,
};

static SERDES: Table<SchemaSerde> = Table::new("serde");

/// `avro` or `protobuf`; an empty subject stands for `<topic>-value`.
#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn new_serde<'local>(
    env: EnvUnowned<'local>,
    _: JClass<'local>,
    client: jlong,
    name: JByteArray<'local>,
    subject: JByteArray<'local>,
) -> jlong {
    enter(env, |env| {
        let client = CLIENTS.get(client)?;
        let (name, subject) = (text(env, &name)?, text(env, &subject)?);
        let serde = SchemaSerde::by_name(&client, &name)?;
        Ok(SERDES.insert(if subject.is_empty() { serde } else { serde.subject(subject) }))
    })
}

#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn encode<'local>(
    env: EnvUnowned<'local>,
    _: JClass<'local>,
    serde: jlong,
    topic: JByteArray<'local>,
    document: JByteArray<'local>,
) -> JByteArray<'local> {
    enter(env, |env| {
        let serde = SERDES.get(serde)?;
        let (topic, document) = (text(env, &topic)?, text(env, &document)?);
        let value = wait_ok(env, serde.encode_text(&topic, &document))?;
        Ok(env.byte_array_from_slice(&value)?)
    })
}

#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn decode<'local>(
    env: EnvUnowned<'local>,
    _: JClass<'local>,
    serde: jlong,
    value: JByteArray<'local>,
) -> JByteArray<'local> {
    enter(env, |env| {
        let serde = SERDES.get(serde)?;
        let value = bytes(env, &value)?;
        let document = wait_ok(env, serde.decode_text(&value))?;
        Ok(env.byte_array_from_slice(document.as_bytes())?)
    })
}

#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn release_serde<'local>(env: EnvUnowned<'local>, _: JClass<'local>, serde: jlong) {
    enter(env, |_| {
        drop(SERDES.remove(serde));
        Ok::<_, Failure>(())
    });
}
