//! Subscriptions in a cluster: one stream from each leader, merged; what a lost one had is gone on with elsewhere.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{
    FutureExt as _, StreamExt as _, TryStreamExt as _,
    stream::{self, BoxStream, SelectAll, select_all},
};

use super::{Client, To};
use crate::{
    ClientError, StartFrom,
    consumer::is_pattern,
    metadata::Known,
    pb,
    retry::Retries,
    transport::{Push, PushStream},
};

impl Client {
    /// The pushes of a subscription.
    pub(super) async fn pushes(&self, request: &pb::SubscribeRequest) -> Result<PushStream, ClientError> {
        // The node that is asked finds the topics of a pattern, and those that lead them.
        if !self.routes() || is_pattern(&request.topic) {
            return self.with_retry("Subscribe", true, To::Any, |link| link.subscribe(request.clone())).await;
        }
        let followed = Followed::begin(self.clone(), request.clone()).await?;
        Ok(stream::unfold(Some(followed), |followed| async move {
            let mut followed = followed?;
            match followed.next().await {
                Ok(push) => Some((Ok(push), Some(followed))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed())
    }
}

/// The partitions of one of the streams.
type Parts = Arc<[i32]>;
/// What one of the streams brings, or how it ended.
type Event = (Parts, Result<Push, ClientError>);

/// A subscription that follows the leaders of its partitions.
struct Followed {
    client: Client,
    request: pb::SubscribeRequest,
    /// Where each partition goes on, as far as that is known: else as the request says.
    next: BTreeMap<i32, Option<u64>>,
    streams: SelectAll<BoxStream<'static, Event>>,
    /// Since when every stream has failed, and the repeats since then.
    failing: Option<(Instant, Retries)>,
}

impl Followed {
    async fn begin(client: Client, request: pb::SubscribeRequest) -> Result<Self, ClientError> {
        let count = i32::try_from(client.partition_count(&request.topic).await?).unwrap_or(i32::MAX);
        let all = || (0..count).collect();
        let partitions = if request.partitions.is_empty() { all() } else { request.partitions.clone() };
        let mut next = BTreeMap::new();
        for partition in partitions {
            next.insert(partition, first_offset(&client, &request, partition).await?);
        }
        let mut followed = Self { client, request, next, streams: SelectAll::new(), failing: None };
        let parts: Parts = followed.next.keys().copied().collect();
        // At first as it was asked for, in one stream for each leader, and at once: the offsets are for going on.
        let as_asked = parts.iter().map(|partition| (*partition, None)).collect();
        match connect(&followed.client, &followed.request, as_asked).await {
            Ok(pushes) => followed.streams.push(events(parts, pushes)),
            Err(error) => followed.go_on(&parts, error)?,
        }
        Ok(followed)
    }

    async fn next(&mut self) -> Result<Push, ClientError> {
        loop {
            // There is a stream for every partition at all times: a lost one is replaced below.
            let Some((parts, item)) = self.streams.next().await else {
                return Err(ClientError::closed("subscription"));
            };
            match item {
                Ok(push) => {
                    self.failing = None;
                    self.next.insert(push.partition, Some(push.next_offset));
                    return Ok(push);
                }
                Err(error) => self.go_on(&parts, error)?,
            }
        }
    }

    /// Opens the partitions of a stream that ended anew, after a wait.
    ///
    /// # Errors
    /// The one that ended it, where a repeat would not help, or did not for as long as a request may take.
    fn go_on(&mut self, parts: &[i32], error: ClientError) -> Result<(), ClientError> {
        let config = self.client.config();
        for &partition in parts {
            self.client.learn(To::Leader { topic: &self.request.topic, partition }, &error);
        }
        let fresh = || (Instant::now(), Retries::new(config.max_retries, config.retry_backoff));
        let (since, retries) = self.failing.get_or_insert_with(fresh);
        let wait = retries.after(&error, true, self.client.has_others());
        let Some(wait) = wait.filter(|_| since.elapsed() < config.request_timeout) else { return Err(error) };
        tracing::debug!(topic = self.request.topic, ?parts, %error, ?wait, "following a subscription");
        // Each by itself now, so that one that nobody leads holds up no other.
        for &partition in parts {
            let from = vec![(partition, self.next.get(&partition).copied().flatten())];
            self.streams.push(self.open([partition].into(), from, wait));
        }
        Ok(())
    }

    /// Their pushes, after a wait.
    fn open(&self, parts: Parts, from: Vec<(i32, Option<u64>)>, wait: Duration) -> BoxStream<'static, Event> {
        let (client, request) = (self.client.clone(), self.request.clone());
        let opening = async move {
            tokio::time::sleep(wait).await;
            connect(&client, &request, from).await
        };
        events(parts, opening.into_stream().try_flatten().boxed())
    }
}

/// What the pushes bring, and how they end: with the first error.
fn events(parts: Parts, pushes: PushStream) -> BoxStream<'static, Event> {
    // A stream that the server ends without an error has ended all the same.
    let ended = stream::once(async { Err(ClientError::broken("the leader", "the stream ended")) });
    let until_error = pushes.chain(ended).scan(false, |failed, item| {
        let over = std::mem::replace(failed, item.is_err());
        std::future::ready((!over).then_some(item))
    });
    until_error.map(move |item| (Arc::clone(&parts), item)).boxed()
}

/// Where a partition goes on if its stream is lost before it brought anything; only "from now on" has to be asked.
async fn first_offset(
    client: &Client,
    request: &pb::SubscribeRequest,
    partition: i32,
) -> Result<Option<u64>, ClientError> {
    let latest = match request.from() {
        StartFrom::Latest => true,
        StartFrom::Unspecified => request.group.is_empty(),
        StartFrom::Earliest | StartFrom::Committed | StartFrom::Offset | StartFrom::Timestamp => false,
    };
    if !latest {
        return Ok(None);
    }
    client.edge(&request.topic, partition, (StartFrom::Latest, request.isolation())).await.map(Some)
}

/// Subscribes at each leader: partitions that begin as the request says share a stream, one that goes on has its own.
async fn connect(
    client: &Client,
    request: &pb::SubscribeRequest,
    from: Vec<(i32, Option<u64>)>,
) -> Result<PushStream, ClientError> {
    let mut shared: Vec<(Option<Arc<str>>, Vec<i32>)> = Vec::new();
    let mut streams = Vec::new();
    for (partition, offset) in from {
        let to = To::Leader { topic: &request.topic, partition };
        let link = client.link_to(to).await?;
        if let Some(offset) = offset {
            let partitions = vec![partition];
            let own = pb::SubscribeRequest { partitions, offset, ..request.clone() };
            streams.push(link.subscribe(starting(own)).await?);
            continue;
        }
        let leader = match client.topics().leader(&request.topic, partition) {
            Known::Leader(leader) => Some(leader.node),
            Known::Nobody | Known::Unknown => None,
        };
        match shared.iter_mut().find(|(known, _)| *known == leader) {
            Some((_, partitions)) => partitions.push(partition),
            None => shared.push((leader, vec![partition])),
        }
    }
    for (_, partitions) in shared {
        let to = To::Leader { topic: &request.topic, partition: partitions[0] };
        let link = client.link_to(to).await?;
        streams.push(link.subscribe(pb::SubscribeRequest { partitions, ..request.clone() }).await?);
    }
    Ok(select_all(streams).boxed())
}

fn starting(mut request: pb::SubscribeRequest) -> pb::SubscribeRequest {
    request.set_from(StartFrom::Offset);
    request
}
