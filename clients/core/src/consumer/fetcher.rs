//! One partition's reader: a task that keeps a long poll at the broker.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, task::AbortHandle};

use crate::{
    Client, ClientError, ConsumerConfig, FetchSpec, Message, OffsetReset, StartFrom, pb::ErrorCode, runtime,
};

/// Wait after an error that may pass, so that a broker that is down is not hammered.
const PAUSE: Duration = Duration::from_millis(250);

/// What a fetcher brings.
pub(super) struct Arrived {
    pub topic: Arc<str>,
    pub partition: i32,
    pub epoch: u64,
    pub messages: Result<Vec<Message>, ClientError>,
    /// What was to be read next is gone: it goes on there.
    pub moved_to: Option<u64>,
}

/// A running fetcher; dropping it stops it.
pub(super) struct Fetcher {
    topic: Arc<str>,
    partition: i32,
    task: AbortHandle,
}

impl Fetcher {
    pub(super) fn start(
        client: &Client,
        config: &ConsumerConfig,
        (topic, partition): (&str, i32),
        offset: u64,
        epoch: u64,
        arrivals: &mpsc::Sender<Arrived>,
    ) -> Self {
        let topic: Arc<str> = topic.into();
        let spec = FetchSpec {
            max_messages: usize::MAX,
            max_bytes: config.fetch_max_bytes,
            max_wait: config.fetch_max_wait,
            isolation: config.isolation,
            filter: config.filter.as_deref().map(Into::into),
            ..FetchSpec::new(Arc::clone(&topic), partition, offset)
        };
        let task = runtime::spawn(run(client.clone(), spec, config.offset_reset, epoch, arrivals.clone()));
        Self { topic, partition, task: task.abort_handle() }
    }

    pub(super) fn reads(&self, topic: &str, partition: i32) -> bool {
        *self.topic == *topic && self.partition == partition
    }

    pub(super) fn place(&self) -> (&str, i32) {
        (&self.topic, self.partition)
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    client: Client,
    mut spec: FetchSpec,
    reset: OffsetReset,
    epoch: u64,
    arrivals: mpsc::Sender<Arrived>,
) {
    loop {
        let mut moved_to = None;
        let messages = match client.fetch(&spec).await {
            Ok(fetched) => {
                spec.offset = fetched.next_offset;
                if fetched.messages.is_empty() {
                    continue;
                }
                Ok(fetched.messages)
            }
            Err(error) => match start_behind(&error, spec.offset) {
                Some(start) => moved(&client, &spec, reset, start).await.map(|offset| {
                    tracing::warn!(topic = %spec.topic, partition = spec.partition, from = spec.offset, to = offset, ?reset, "the records to read next are gone");
                    spec.offset = offset;
                    moved_to = Some(offset);
                    Vec::new()
                }),
                None => Err(error),
            },
        };
        let failed = messages.is_err();
        let arrived =
            Arrived { topic: Arc::clone(&spec.topic), partition: spec.partition, epoch, messages, moved_to };
        if arrivals.send(arrived).await.is_err() {
            return;
        }
        if failed {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Where the log begins, if the record at `offset` was deleted. An offset above the end is another failure: what is there may only not be
/// shown yet, and nothing may be skipped for it.
fn start_behind(error: &ClientError, offset: u64) -> Option<u64> {
    let start = error.metadata.get("start").filter(|_| error.code == ErrorCode::OffsetOutOfRange)?;
    start.parse().ok().filter(|start| offset < *start)
}

async fn moved(
    client: &Client,
    spec: &FetchSpec,
    reset: OffsetReset,
    start: u64,
) -> Result<u64, ClientError> {
    match reset {
        OffsetReset::Earliest => Ok(start),
        OffsetReset::Latest => {
            client.edge(&spec.topic, spec.partition, (StartFrom::Latest, spec.isolation)).await
        }
    }
}
