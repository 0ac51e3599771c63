//! Consumer: poll, commit, seek. Closing it from another thread ends a poll that waits.

use std::time::Duration;

use bytes::BufMut as _;
use flymq_client::{ClientError, Consumer, Polled, Rebalance};
use jni::{
    EnvUnowned, jni_mangle,
    objects::{JByteArray, JClass},
    sys::{jboolean, jint, jlong},
};
use tokio::sync::{Mutex, watch};

use crate::{
    border::{Failure, bytes, enter, text, unsigned, wait, wait_ok},
    client::CLIENTS,
    codec,
    handles::Table,
    settings, transactional,
};

pub(crate) struct JavaConsumer {
    pub(crate) consumer: Mutex<Consumer>,
    closing: watch::Sender<bool>,
}

pub(crate) static CONSUMERS: Table<JavaConsumer> = Table::new("consumer");

impl JavaConsumer {
    /// Runs `work` unless the consumer is closed meanwhile. All of [`Consumer`]'s methods may be given up at any wait.
    async fn unless_closed<T>(
        &self,
        work: impl AsyncFnOnce(&mut Consumer) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let mut closing = self.closing.subscribe();
        let work = async {
            let mut consumer = self.consumer.lock().await;
            work(&mut consumer).await
        };
        tokio::select! {
            biased;
            _ = closing.wait_for(|closing| *closing) => Err(ClientError::closed("consumer")),
            result = work => result,
        }
    }
}

#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn new_consumer<'local>(
    env: EnvUnowned<'local>,
    _: JClass<'local>,
    client: jlong,
    config: JByteArray<'local>,
) -> jlong {
    enter(env, |env| {
        let client = CLIENTS.get(client)?;
        let config = settings::consumer(&bytes(env, &config)?)?;
        let consumer = Mutex::new(client.consumer(config)?);
        Ok(CONSUMERS.insert(JavaConsumer { consumer, closing: watch::Sender::new(false) }))
    })
}

/// Finds partitions and their start, so that "latest" means this moment and not the first poll's.
#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn start<'local>(env: EnvUnowned<'local>, _: JClass<'local>, consumer: jlong) {
    enter(env, |env| {
        let consumer = CONSUMERS.get(consumer)?;
        wait_ok(env, consumer.unless_closed(async |c| c.start_reading().await))
    });
}

#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn poll<'local>(
    env: EnvUnowned<'local>,
    _: JClass<'local>,
    consumer: jlong,
    timeout_ms: jlong,
    max: jint,
) -> JByteArray<'local> {
    enter(env, |env| {
        let consumer = CONSUMERS.get(consumer)?;
        let timeout = Duration::from_millis(unsigned("timeout", timeout_ms)?);
        let max = usize::try_from(unsigned("max", max.into())?).unwrap_or(usize::MAX);
        let messages = wait_ok(env, consumer.unless_closed(async |c| c.poll(timeout, max).await))?;
        let mut out = Vec::new();
        codec::put_messages(&mut out, &messages);
        Ok(env.byte_array_from_slice(&out)?)
    })
}

/// As `poll`, `u8 0, messages`; or, once partitions come or go, `u8 (1 assigned, 2 revoked, 3 lost), places`.
#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn poll_step<'local>(
    env: EnvUnowned<'local>,
    _: JClass<'local>,
    consumer: jlong,
    timeout_ms: jlong,
    max: jint,
) -> JByteArray<'local> {
    enter(env, |env| {
        let consumer = CONSUMERS.get(consumer)?;
        let timeout = Duration::from_millis(unsigned("timeout", timeout_ms)?);
        let max = usize::try_from(unsigned("max", max.into())?).unwrap_or(usize::MAX);
        let polled = wait_ok(env, consumer.unless_closed(async |c| c.poll_step(timeout, max).await))?;
        let mut out = Vec::new();
        let mut told = |kind: u8, places: &[(String, i32)]| {
            out.put_u8(kind);
            codec::put_places(&mut out, places);
        };
        match &polled {
            Polled::Messages(messages) => {
                out.put_u8(0);
                codec::put_messages(&mut out, messages);
            }
            Polled::Rebalance(Rebalance::Assigned(places)) => told(1, places),
            Polled::Rebalance(Rebalance::Revoked(places)) => told(2, places),
            Polled::Rebalance(Rebalance::Lost(places)) => told(3, places),
        }
        Ok(env.byte_array_from_slice(&out)?)
    })
}

/// The next poll goes on from what the group has committed in these partitions (places).
#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn rewind<'local>(
    env: EnvUnowned<'local>,
    _: JClass<'local>,
    consumer: jlong,
    places: JByteArray<'local>,
) {
    enter(env, |env| {
        let consumer = CONSUMERS.get(consumer)?;
        let places: Vec<_> = transactional::read_offsets(bytes(env, &places)?.into())?
            .into_iter()
            .map(|at| (at.topic, at.partition))
            .collect();
        wait(env, async { consumer.consumer.lock().await.rewind(&places) })
    });
}

/// Ends a poll that waits, and refuses later ones; commits and `close_consumer` still work.
#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn interrupt_consumer<'local>(env: EnvUnowned<'local>, _: JClass<'local>, consumer: jlong) {
    enter(env, |_| {
        if let Ok(consumer) = CONSUMERS.get(consumer) {
            consumer.closing.send_replace(true);
        }
        Ok::<_, Failure>(())
    });
}

/// The partitions that it reads, as places.
#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn assignment<'local>(env: EnvUnowned<'local>, _: JClass<'local>, consumer: jlong) -> JByteArray<'local> {
    enter(env, |env| {
        let consumer = CONSUMERS.get(consumer)?;
        let read = wait(env, async { consumer.consumer.lock().await.assignment() })?;
        let places: Vec<_> = read.into_iter().map(|at| (at.topic, at.partition)).collect();
        let mut out = Vec::new();
        codec::put_places(&mut out, &places);
        Ok(env.byte_array_from_slice(&out)?)
    })
}

#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn commit<'local>(env: EnvUnowned<'local>, _: JClass<'local>, consumer: jlong) {
    enter(env, |env| {
        let consumer = CONSUMERS.get(consumer)?;
        // Also while it closes: a listener may commit what it gives up.
        wait_ok(env, async { consumer.consumer.lock().await.commit().await })
    });
}

/// Moves to an offset of a partition, in one topic, or in all of the consumer's with an empty name.
#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn seek<'local>(
    env: EnvUnowned<'local>,
    _: JClass<'local>,
    consumer: jlong,
    topic: JByteArray<'local>,
    partition: jint,
    offset: jlong,
) {
    enter(env, |env| {
        let consumer = CONSUMERS.get(consumer)?;
        let (topic, offset) = (text(env, &topic)?, unsigned("offset", offset)?);
        let moved = consumer.unless_closed(async |c| {
            if topic.is_empty() {
                c.seek(partition, offset).await
            } else {
                c.seek_in(&topic, partition, offset).await
            }
        });
        wait_ok(env, moved)
    });
}

#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn seek_to_edge<'local>(env: EnvUnowned<'local>, _: JClass<'local>, consumer: jlong, end: jboolean) {
    enter(env, |env| {
        let consumer = CONSUMERS.get(consumer)?;
        let moved = consumer
            .unless_closed(async |c| if end { c.seek_to_end().await } else { c.seek_to_beginning().await });
        wait_ok(env, moved)
    });
}

#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn position<'local>(
    env: EnvUnowned<'local>,
    _: JClass<'local>,
    consumer: jlong,
    partition: jint,
) -> jlong {
    enter(env, |env| {
        let consumer = CONSUMERS.get(consumer)?;
        let next = wait_ok(env, consumer.unless_closed(async |c| c.position(partition).await))?;
        Ok(jlong::try_from(next).unwrap_or(jlong::MAX))
    })
}

/// Commits (with auto-commit) and closes; no error when it is closed already.
#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn close_consumer<'local>(env: EnvUnowned<'local>, _: JClass<'local>, consumer: jlong) {
    enter(env, |env| match CONSUMERS.remove(consumer) {
        Some(consumer) => {
            consumer.closing.send_replace(true);
            wait_ok(env, async { consumer.consumer.lock().await.close().await })
        }
        None => Ok(()),
    });
}

/// Gives a consumer up without a commit.
#[jni_mangle("com.firefly.flymq.internal.Native")]
pub fn release_consumer<'local>(env: EnvUnowned<'local>, _: JClass<'local>, consumer: jlong) {
    enter(env, |_| {
        drop(CONSUMERS.remove(consumer));
        Ok::<_, Failure>(())
    });
}
