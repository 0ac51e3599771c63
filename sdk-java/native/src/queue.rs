//! Messages that are answered for one by one: queue mode, and what stands under a listener.

use std::time::Duration;

use bytes::BufMut as _;
use flymq_client::{ClientError, Failed, Listened, Listener, Position, QueueConsumer, Rebalance};
use jni::{
    EnvUnowned, jni_mangle,
    objects::{JByteArray, JClass},
    sys::{jint, jlong},
};
use tokio::sync::{Mutex, watch};

use crate::{
    border::{Failure, bytes, enter, text, unsigned, wait, wait_ok},
    client::CLIENTS,
    codec,
    handles::Table,
    settings, transactional,
};

struct JavaQueue {
    queue: QueueConsumer,
    closing: watch::Sender<bool>,
}

struct JavaListener {
    listener: Mutex<Listener>,
    closing: watch::Sender<bool>,
}

static QUEUES: Table<JavaQueue> = Table::new("queue consumer");
static LISTENERS: Table<JavaListener> = Table::new("listener");

/// `u32 attempts, u8 dead letter, u64 milliseconds until it is redelivered`.
fn told(failed: Failed) -> Vec<u8> {
    let mut out = Vec::with_capacity(13);
    out.put_u32(failed.attempts);
    out.put_u8(failed.dead_lettered.into());
    out.put_u64(u64::try_from(failed.retry_after.as_millis()).unwrap_or(u64::MAX));
    out
}

#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn new_queue<'local>(
    env: EnvUnowned<'local>,
    _: JClass<'local>,
    client: jlong,
    config: JByteArray<'local>,
) -> jlong {
    enter(env, |env| {
        let client = CLIENTS.get(client)?;
        let queue = client.queue(settings::queue(&bytes(env, &config)?)?)?;
        Ok(QUEUES.insert(JavaQueue { queue, closing: watch::Sender::new(false) }))
    })
}

/// `u32 count, u32 delivery count of each`, messages.
#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn acquire<'local>(
    env: EnvUnowned<'local>,
    _: JClass<'local>,
    queue: jlong,
    timeout_ms: jlong,
    max: jint,
) -> JByteArray<'local> {
    enter(env, |env| {
        let queue = QUEUES.get(queue)?;
        let timeout = Duration::from_millis(unsigned("timeout", timeout_ms)?);
        let max = u32::try_from(unsigned("max", max.into())?).unwrap_or(u32::MAX);
        let mut closing = queue.closing.subscribe();
        let held = async {
            tokio::select! {
                biased;
                _ = closing.wait_for(|closing| *closing) => Err(ClientError::closed("queue consumer")),
                held = queue.queue.acquire(timeout, max) => held,
            }
        };
        let held = wait_ok(env, held)?;
        let mut out = Vec::new();
        out.put_u32(u32::try_from(held.len()).unwrap_or(u32::MAX));
        held.iter().for_each(|one| out.put_u32(one.delivery_count));
        let messages: Vec<_> = held.into_iter().map(|one| one.message).collect();
        codec::put_messages(&mut out, &messages);
        Ok(env.byte_array_from_slice(&out)?)
    })
}

/// `kind`: 0 accept, 1 reject, 2 release, 3 extend. `messages`: as offsets.
#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn answer<'local>(
    env: EnvUnowned<'local>,
    _: JClass<'local>,
    queue: jlong,
    kind: jint,
    messages: JByteArray<'local>,
    reason: JByteArray<'local>,
) {
    enter(env, |env| {
        let queue = &QUEUES.get(queue)?.queue;
        let messages = transactional::read_offsets(bytes(env, &messages)?.into())?;
        let messages: Vec<Position> = messages.into_iter().map(|at| (at.partition, at.offset)).collect();
        let reason = text(env, &reason)?;
        wait_ok(env, async {
            match kind {
                0 => queue.accept(&messages).await,
                1 => queue.reject(&messages, &reason).await,
                2 => queue.release(&messages).await,
                _ => queue.extend(&messages).await,
            }
        })
    });
}

#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn nack<'local>(
    env: EnvUnowned<'local>,
    _: JClass<'local>,
    queue: jlong,
    partition: jint,
    offset: jlong,
    reason: JByteArray<'local>,
) -> JByteArray<'local> {
    enter(env, |env| {
        let queue = QUEUES.get(queue)?;
        let (offset, reason) = (unsigned("offset", offset)?, text(env, &reason)?);
        let failed = wait_ok(env, queue.queue.nack((partition, offset), &reason))?;
        Ok(env.byte_array_from_slice(&told(failed))?)
    })
}

/// Gives back what is held; no error when it is closed already.
#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn close_queue<'local>(env: EnvUnowned<'local>, _: JClass<'local>, queue: jlong) {
    enter(env, |env| match QUEUES.remove(queue) {
        Some(queue) => {
            queue.closing.send_replace(true);
            wait_ok(env, queue.queue.close())
        }
        None => Ok(()),
    });
}

#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn release_queue<'local>(env: EnvUnowned<'local>, _: JClass<'local>, queue: jlong) {
    enter(env, |_| {
        drop(QUEUES.remove(queue));
        Ok::<_, Failure>(())
    });
}

#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn new_listener<'local>(
    env: EnvUnowned<'local>,
    _: JClass<'local>,
    client: jlong,
    config: JByteArray<'local>,
) -> jlong {
    enter(env, |env| {
        let client = CLIENTS.get(client)?;
        let (config, policy) = settings::listener(&bytes(env, &config)?)?;
        let listener = Mutex::new(client.listener(config, policy)?);
        Ok(LISTENERS.insert(JavaListener { listener, closing: watch::Sender::new(false) }))
    })
}

/// `u8 0, u32 delivery count`, one message; `u8 1` assigned, `2` revoked or `3` lost, and the places; empty when nothing came in time, or it was
/// interrupted.
#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn next_work<'local>(
    env: EnvUnowned<'local>,
    _: JClass<'local>,
    listener: jlong,
    timeout_ms: jlong,
) -> JByteArray<'local> {
    enter(env, |env| {
        let listener = LISTENERS.get(listener)?;
        let timeout = Duration::from_millis(unsigned("timeout", timeout_ms)?);
        let mut closing = listener.closing.subscribe();
        let next = async {
            tokio::select! {
                biased;
                _ = closing.wait_for(|closing| *closing) => Ok(None),
                work = async { listener.listener.lock().await.next_step(timeout).await } => work,
            }
        };
        let mut out = Vec::new();
        let mut moved = |kind: u8, places: &[(String, i32)]| {
            out.put_u8(kind);
            codec::put_places(&mut out, places);
        };
        match wait_ok(env, next)? {
            Some(Listened::Work(work)) => {
                out.put_u8(0);
                out.put_u32(work.delivery_count);
                codec::put_messages(&mut out, &[work.message]);
            }
            Some(Listened::Rebalance(Rebalance::Assigned(places))) => moved(1, &places),
            Some(Listened::Rebalance(Rebalance::Revoked(places))) => moved(2, &places),
            Some(Listened::Rebalance(Rebalance::Lost(places))) => moved(3, &places),
            None => {}
        }
        Ok(env.byte_array_from_slice(&out)?)
    })
}

/// The places that are its own; none of one that is closed.
#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn listener_assignment<'local>(
    env: EnvUnowned<'local>,
    _: JClass<'local>,
    listener: jlong,
) -> JByteArray<'local> {
    enter(env, |env| {
        let places = match LISTENERS.get(listener) {
            Ok(listener) => wait(env, async { listener.listener.lock().await.assignment() })?,
            Err(_) => Vec::new(),
        };
        let mut out = Vec::new();
        codec::put_places(&mut out, &places);
        Ok(env.byte_array_from_slice(&out)?)
    })
}

#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn work_done<'local>(env: EnvUnowned<'local>, _: JClass<'local>, listener: jlong) {
    enter(env, |env| {
        let listener = LISTENERS.get(listener)?;
        wait_ok(env, async { listener.listener.lock().await.done().await })
    });
}

#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn work_failed<'local>(
    env: EnvUnowned<'local>,
    _: JClass<'local>,
    listener: jlong,
    reason: JByteArray<'local>,
) -> JByteArray<'local> {
    enter(env, |env| {
        let listener = LISTENERS.get(listener)?;
        let reason = text(env, &reason)?;
        let failed = wait_ok(env, async { listener.listener.lock().await.failed(&reason).await })?;
        Ok(env.byte_array_from_slice(&told(failed))?)
    })
}

/// Ends a wait, and all later ones.
#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn interrupt_listener<'local>(env: EnvUnowned<'local>, _: JClass<'local>, listener: jlong) {
    enter(env, |_| {
        if let Ok(listener) = LISTENERS.get(listener) {
            listener.closing.send_replace(true);
        }
        Ok::<_, Failure>(())
    });
}

/// Gives back the message at hand, commits and stops; no error when it is closed already.
#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn close_listener<'local>(env: EnvUnowned<'local>, _: JClass<'local>, listener: jlong) {
    enter(env, |env| match LISTENERS.remove(listener) {
        Some(listener) => {
            listener.closing.send_replace(true);
            wait_ok(env, async { listener.listener.lock().await.close().await })
        }
        None => Ok(()),
    });
}

#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn release_listener<'local>(env: EnvUnowned<'local>, _: JClass<'local>, listener: jlong) {
    enter(env, |_| {
        drop(LISTENERS.remove(listener));
        Ok::<_, Failure>(())
    });
}
