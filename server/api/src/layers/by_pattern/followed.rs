//! The topics of a pattern, as they come and go.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use flymq_engine::meta::MetaVersion;
use flymq_proto::pb;
use flymq_types::TopicName;
use futures::{
    FutureExt as _, StreamExt as _, TryStreamExt as _,
    stream::{self, BoxStream, SelectAll},
};
use tokio::{sync::watch, time::Instant};

use super::opened::Source;
use crate::{BatchStream, Broker, BrokerError, ErrorCode, convert};

/// When topics are looked at after the metadata have changed: what is new there is opened a moment later.
const LOOKS: [Duration; 3] = [Duration::ZERO, Duration::from_millis(100), Duration::from_secs(1)];

/// What a topic brings; `None`: its stream is over.
type Event = (TopicName, Option<Result<pb::SubscribeResponse, BrokerError>>);

/// Opens the streams of all topics that match by now. Those that the caller may not read are left out, unless there are no others.
pub(super) async fn open<B: Broker>(source: Source<B>) -> Result<BatchStream, BrokerError> {
    let changes = source.engine.meta_changes();
    let mut followed = Followed {
        source,
        changes,
        known: BTreeSet::new(),
        topics: SelectAll::new(),
        looks: VecDeque::new(),
    };
    let mut refused = None;
    for topic in followed.unknown()? {
        match followed.source.open(&topic, false).await {
            Ok(pushes) => followed.add(topic, pushes),
            Err(error) if error.code == ErrorCode::PermissionDenied => {
                followed.known.insert(topic);
                refused = Some(error);
            }
            Err(error) if error.code == ErrorCode::TopicNotFound => {}
            Err(error) => return Err(error),
        }
    }
    match refused {
        Some(error) if followed.topics.is_empty() => Err(error),
        _ => Ok(followed.stream()),
    }
}

struct Followed<B> {
    source: Source<B>,
    changes: watch::Receiver<MetaVersion>,
    /// Topics that are read, or may not be.
    known: BTreeSet<TopicName>,
    topics: SelectAll<BoxStream<'static, Event>>,
    looks: VecDeque<Instant>,
}

impl<B: Broker> Followed<B> {
    fn stream(self) -> BatchStream {
        stream::unfold(Some(self), |followed| async move {
            let mut followed = followed?;
            match followed.next().await {
                Ok(push) => Some((Ok(push), Some(followed))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }

    async fn next(&mut self) -> Result<pb::SubscribeResponse, BrokerError> {
        let node = self.source.node.clone();
        loop {
            let look = self.looks.front().copied();
            let due = async {
                match look {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = node.stopping() => return Err(BrokerError::new(ErrorCode::Unavailable, "the node is stopping")),
                changed = self.changes.changed() => match changed {
                    Ok(()) => self.look_soon(),
                    Err(_) => return Err(BrokerError::new(ErrorCode::Unavailable, "the node is stopping")),
                },
                () = due => {
                    self.looks.pop_front();
                    self.look()?;
                }
                Some((topic, event)) = self.topics.next(), if !self.topics.is_empty() => {
                    if let Some(push) = self.heard(&topic, event)? {
                        return Ok(push);
                    }
                }
            }
        }
    }

    fn heard(
        &mut self,
        topic: &TopicName,
        event: Option<Result<pb::SubscribeResponse, BrokerError>>,
    ) -> Result<Option<pb::SubscribeResponse>, BrokerError> {
        match event {
            Some(Ok(push)) => return Ok(Some(push)),
            // Another topic may have its name by now, or soon.
            Some(Err(error)) if error.code == ErrorCode::TopicNotFound => {
                self.known.remove(topic);
                self.look_soon();
            }
            Some(Err(error)) if error.code == ErrorCode::PermissionDenied => {}
            Some(Err(error)) => return Err(error),
            None => {}
        }
        Ok(None)
    }

    fn look_soon(&mut self) {
        self.looks = LOOKS.iter().map(|wait| Instant::now() + *wait).collect();
    }

    /// Takes topics up that match and are not read yet.
    fn look(&mut self) -> Result<(), BrokerError> {
        for topic in self.unknown()? {
            let (source, name) = (self.source.clone(), topic.clone());
            let opening = async move { source.open(&name, true).await };
            self.add(topic, opening.into_stream().try_flatten().boxed());
        }
        Ok(())
    }

    fn unknown(&self) -> Result<Vec<TopicName>, BrokerError> {
        let mut all = self.source.engine.topics_matching(&self.source.patterns);
        let partitions: usize = all.iter().map(|topic| self.source.partitions(topic)).sum();
        if partitions > self.source.most {
            let why = format!(
                "{:?} matches topics of {partitions} partitions, and a stream has at most {}: take a narrower one, or read as members of a group",
                self.source.request.topic, self.source.most
            );
            return Err(convert::invalid("topic", why));
        }
        all.retain(|topic| !self.known.contains(topic));
        Ok(all)
    }

    fn add(&mut self, topic: TopicName, pushes: BatchStream) {
        self.known.insert(topic.clone());
        let events = pushes.map(Some).chain(stream::once(std::future::ready(None)));
        self.topics.push(events.map(move |event| (topic.clone(), event)).boxed());
    }
}
