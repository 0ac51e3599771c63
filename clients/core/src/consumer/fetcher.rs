//! One partition's reader: a task that keeps a long poll at the broker.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, task::AbortHandle};

use crate::{Client, ClientError, ConsumerConfig, FetchSpec, Message, runtime};

/// Wait after an error that may pass, so that a broker that is down is not hammered.
const PAUSE: Duration = Duration::from_millis(250);

/// What a fetcher brings.
pub(super) struct Arrived {
    pub topic: Arc<str>,
    pub partition: i32,
    pub epoch: u64,
    pub messages: Result<Vec<Message>, ClientError>,
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
        let task = runtime::spawn(run(client.clone(), spec, epoch, arrivals.clone()));
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

async fn run(client: Client, mut spec: FetchSpec, epoch: u64, arrivals: mpsc::Sender<Arrived>) {
    loop {
        let messages = match client.fetch(&spec).await {
            Ok(fetched) => {
                spec.offset = fetched.next_offset;
                if fetched.messages.is_empty() {
                    continue;
                }
                Ok(fetched.messages)
            }
            Err(error) => Err(error),
        };
        let failed = messages.is_err();
        let arrived = Arrived { topic: Arc::clone(&spec.topic), partition: spec.partition, epoch, messages };
        if arrivals.send(arrived).await.is_err() {
            return;
        }
        if failed {
            tokio::time::sleep(PAUSE).await;
        }
    }
}
