//! Producer: `send` returns at once; what became of each message waits in a queue that a Java thread empties.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::Duration,
};

use bytes::BufMut as _;
use flymq_client::{ClientError, Producer, RecordMetadata};
use jni::{
    EnvUnowned, jni_mangle,
    objects::{JByteArray, JClass},
    sys::jlong,
};

use crate::{
    border::{Failure, bytes, describe, enter, text, unsigned, wait_ok},
    client::CLIENTS,
    codec,
    handles::Table,
    settings,
};

type Completion = (jlong, Result<RecordMetadata, ClientError>);

/// Completions in one buffer, so that a Java caller's thread is not kept waiting for a long one.
const MOST: usize = 4096;

struct JavaProducer {
    producer: Producer,
    completed: Sender<Completion>,
}

static PRODUCERS: Table<JavaProducer> = Table::new("producer");
/// Open until the Java thread that empties it saw the end, which may be after its producer was closed.
static COMPLETIONS: Table<Mutex<Receiver<Completion>>> = Table::new("completion queue");

/// The producer's handle and that of its completions.
#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn new_producer<'local>(
    env: EnvUnowned<'local>,
    _: JClass<'local>,
    client: jlong,
    config: JByteArray<'local>,
) -> JByteArray<'local> {
    enter(env, |env| {
        let client = CLIENTS.get(client)?;
        let config = settings::producer(&bytes(env, &config)?)?;
        let _guard = flymq_client::runtime().enter();
        let (completed, completions) = channel();
        let producer = PRODUCERS.insert(JavaProducer { producer: client.producer(config), completed });
        let completions = COMPLETIONS.insert(Mutex::new(completions));
        let handles = [producer.to_be_bytes(), completions.to_be_bytes()].concat();
        Ok(env.byte_array_from_slice(&handles)?)
    })
}

/// Queues one message; its completion comes under `id`. Waits only while the buffer is full.
#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn send<'local>(
    env: EnvUnowned<'local>,
    _: JClass<'local>,
    producer: jlong,
    id: jlong,
    topic: JByteArray<'local>,
    message: JByteArray<'local>,
) {
    enter(env, |env| {
        let producer = PRODUCERS.get(producer)?;
        let topic = text(env, &topic)?;
        let message = codec::new_messages(bytes(env, &message)?)?
            .pop()
            .ok_or_else(|| ClientError::protocol("no message to send"))?;
        let delivery = match producer.producer.try_send(&topic, message)? {
            Ok(delivery) => delivery,
            Err(message) => wait_ok(env, producer.producer.send(&topic, message))?,
        };
        let completed = producer.completed.clone();
        // Without a receiver Java gave the producer up: nobody is left to tell.
        delivery.on_complete(move |result| drop(completed.send((id, result))));
        Ok(())
    });
}

#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn flush<'local>(env: EnvUnowned<'local>, _: JClass<'local>, producer: jlong) {
    enter(env, |env| {
        let producer = PRODUCERS.get(producer)?;
        wait_ok(env, producer.producer.flush())
    });
}

/// Flushes and closes; no error when it is closed already.
#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn close_producer<'local>(env: EnvUnowned<'local>, _: JClass<'local>, producer: jlong) {
    enter(env, |env| match PRODUCERS.remove(producer) {
        Some(producer) => wait_ok(env, producer.producer.close()),
        None => Ok(()),
    });
}

/// Gives a producer up without waiting: what it queued is still sent.
#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn release_producer<'local>(env: EnvUnowned<'local>, _: JClass<'local>, producer: jlong) {
    enter(env, |_| {
        drop(PRODUCERS.remove(producer));
        Ok(())
    });
}

/// Waits for completions: `i64 id, u8 0, stored` or `i64 id, u8 1, u32 length, error as JSON`, back to back.
/// Empty when none came in time, null when the producer is gone and all were told.
#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn take_completions<'local>(
    env: EnvUnowned<'local>,
    _: JClass<'local>,
    completions: jlong,
    timeout_ms: jlong,
) -> JByteArray<'local> {
    enter(env, |env| {
        let timeout = Duration::from_millis(unsigned("timeout", timeout_ms)?);
        let queue = COMPLETIONS.get(completions)?;
        match drain(&queue, timeout) {
            Ok(buffer) => Ok(env.byte_array_from_slice(&buffer)?),
            Err(RecvTimeoutError::Timeout) => Ok(env.byte_array_from_slice(&[])?),
            Err(RecvTimeoutError::Disconnected) => {
                drop(COMPLETIONS.remove(completions));
                Ok::<_, Failure>(JByteArray::default())
            }
        }
    })
}

fn drain(queue: &Arc<Mutex<Receiver<Completion>>>, timeout: Duration) -> Result<Vec<u8>, RecvTimeoutError> {
    let queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
    let first = queue.recv_timeout(timeout)?;
    let mut buffer = Vec::new();
    for (id, result) in std::iter::once(first).chain(queue.try_iter()).take(MOST) {
        buffer.put_i64(id);
        match result {
            Ok(stored) => {
                buffer.put_u8(0);
                codec::put_stored(&mut buffer, &stored);
            }
            Err(error) => {
                buffer.put_u8(1);
                codec::put_long(&mut buffer, &describe(&error));
            }
        }
    }
    Ok(buffer)
}
