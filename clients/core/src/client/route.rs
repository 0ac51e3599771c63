//! Which node a request goes to. A client of a broker without cluster has one, and asks nothing.

use std::{sync::Arc, time::Duration};

use super::{Client, attempts::To};
use crate::{
    ClientError, TransportKind,
    metadata::{Known, Leader, News, partition_of},
    pb::{self, ErrorCode},
    producer::ANY_PARTITION,
    runtime,
    transport::{ProduceCall, Transport, rpc_by_name},
};

/// A node that has said nothing for so long may have lost what it leads: the others are asked.
const SILENCE: Duration = Duration::from_millis(1_000);
/// How long a node has to say who leads what, before another one is asked.
const ASK_WAIT: Duration = Duration::from_millis(1_000);
/// How long a node has to say that it lives; under load that may take a while.
const PING_WAIT: Duration = Duration::from_secs(3);

impl Client {
    /// Learns the nodes of a cluster, so that the client outlives the one it was told. Natively a server says that it is one
    /// of several; by gRPC it has to be asked.
    pub(super) async fn meet(&self, link: &Arc<dyn Transport>) {
        if self.config().transport == TransportKind::Native && !link.in_cluster() {
            return;
        }
        let met = async {
            let reply = link.call(rpc_by_name("ListMembers")?, bytes::Bytes::new()).await?;
            prost::Message::decode(reply).map_err(|e| ClientError::protocol(e.to_string()))
        };
        let met: Result<Result<pb::ListMembersResponse, _>, _> = tokio::time::timeout(ASK_WAIT, met).await;
        match met {
            Ok(Ok(reply)) => self.inner.links.learn(&reply.members),
            // It goes on with the servers of its configuration.
            Ok(Err(error)) => tracing::debug!(%error, "the nodes of the cluster are not known"),
            Err(_) => tracing::debug!("the nodes of the cluster are not known: no answer"),
        }
    }

    /// Asks now and then where the nodes are, beside what the caller does: one that comes back may have another address.
    pub(super) fn keep_up(&self) {
        if !self.inner.links.members_due() {
            return;
        }
        let client = self.clone();
        drop(runtime::spawn(async move {
            if let Ok(link) = client.link(0).await {
                client.meet(&link).await;
            }
        }));
    }

    /// Whether requests go to the leaders of partitions.
    pub(crate) fn routes(&self) -> bool {
        self.inner.links.in_cluster()
    }

    /// Whether another node may answer soon where one does not.
    pub(crate) fn has_others(&self) -> bool {
        self.inner.links.have_others()
    }

    /// A connection on which the request may be made.
    pub(crate) async fn link_to(&self, to: To<'_>) -> Result<Arc<dyn Transport>, ClientError> {
        match self.leader_of(to).await? {
            Some(leader) => self.inner.links.to(&leader).await,
            None => self.link(0).await,
        }
    }

    /// As [`Client::link_to`], if it needs no wait.
    pub(crate) fn open_link_to(&self, to: To<'_>) -> Option<Arc<dyn Transport>> {
        let To::Leader { topic, partition } = to else { return self.inner.links.open_any() };
        if !self.routes() {
            return self.inner.links.open_any();
        }
        match self.topics().leader(topic, partition) {
            Known::Leader(leader) => self.inner.links.open_to(&leader),
            Known::Nobody | Known::Unknown => None,
        }
    }

    /// The leader that a request goes to; `None`: any node will do.
    async fn leader_of(&self, to: To<'_>) -> Result<Option<Leader>, ClientError> {
        let To::Leader { topic, partition } = to else { return Ok(None) };
        if !self.routes() || partition < 0 {
            return Ok(None);
        }
        if let Known::Leader(leader) = self.topics().leader(topic, partition) {
            return Ok(Some(leader));
        }
        match self.refresh(topic).await {
            Ok(()) => {}
            // Who gets the request says so, or makes the topic.
            Err(error) if error.code == ErrorCode::TopicNotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        match self.topics().leader(topic, partition) {
            Known::Leader(leader) => Ok(Some(leader)),
            Known::Nobody => Err(ClientError::no_leader(topic, partition)),
            Known::Unknown => Ok(None),
        }
    }

    /// Asks who leads the partitions of a topic; many callers at once ask once. Where the answer is of no use, another node is
    /// asked as well.
    pub(crate) async fn refresh(&self, topic: &str) -> Result<(), ClientError> {
        let _turn = self.topics().asking.lock().await;
        if self.topics().is_new(topic) {
            return Ok(());
        }
        let link = self.link(0).await?;
        let news = self.ask_in_time(&link, topic).await.map_err(|error| {
            if error.code == ErrorCode::Connection {
                self.inner.links.leave(&link);
            }
            // Whatever this is asked for has not been sent yet.
            error.unsent()
        })?;
        if news == News::Older || self.topics().wants_another_word(topic) {
            self.ask_another(topic, link.node_id()).await;
        }
        Ok(())
    }

    /// Asks a node other than `asked`. It may be that none can be reached.
    async fn ask_another(&self, topic: &str, asked: &str) {
        let Some(link) = self.inner.links.other_than(asked).await else { return };
        if let Err(error) = self.ask_in_time(&link, topic).await {
            tracing::debug!(%error, "another node does not say who leads");
        }
    }

    async fn ask_in_time(&self, link: &Arc<dyn Transport>, topic: &str) -> Result<News, ClientError> {
        let asked = tokio::time::timeout(ASK_WAIT, self.ask_leaders(link, topic)).await;
        asked.unwrap_or_else(|_| {
            let limit = ASK_WAIT.as_millis();
            Err(ClientError::broken(link.node_id(), format!("no answer within {limit} ms")))
        })
    }

    async fn ask_leaders(&self, link: &Arc<dyn Transport>, topic: &str) -> Result<News, ClientError> {
        let request = pb::GetMetadataRequest { topics: vec![topic.to_owned()], internal: false };
        let body = prost::Message::encode_to_vec(&request).into();
        let reply = link.call(rpc_by_name("GetMetadata")?, body).await?;
        let reply: pb::GetMetadataResponse = prost::Message::decode(reply)
            .map_err(|e| ClientError::protocol(format!("the server's reply cannot be read: {e}")))?;
        Ok(self.take_metadata(&reply, link.node_id()))
    }

    /// Remembers nodes and leaders, as the node `by` has them.
    pub(crate) fn take_metadata(&self, reply: &pb::GetMetadataResponse, by: &str) -> News {
        self.inner.links.learn(&reply.members);
        let mut news = reply.topics.iter().map(|topic| self.topics().put(topic, by));
        news.find(|news| *news != News::Newer).unwrap_or(News::Newer)
    }

    /// What a failed request says of where the next one has to go.
    pub(crate) fn learn(&self, to: To<'_>, error: &ClientError) {
        let moved = error.code == ErrorCode::NotLeader;
        if moved {
            self.inner.links.is_cluster();
        }
        let gone = matches!(error.code, ErrorCode::Connection | ErrorCode::Unavailable | ErrorCode::Timeout);
        if gone {
            self.inner.links.failed();
        }
        let To::Leader { topic, partition } = to else { return };
        let told = || error.metadata.get("partition").and_then(|told| told.parse().ok());
        // Of a batch that names no partition, the server tells which one it chose.
        let partition = if partition < 0 { told().unwrap_or(partition) } else { partition };
        if moved {
            self.topics().moved(topic, partition, error);
        } else if gone && self.routes() {
            self.topics().doubt(topic);
        }
    }

    /// Waits for an answer of the partition's leader. One that is silent for longer than `held` explains is given up once
    /// another node leads the partition.
    ///
    /// # Errors
    /// The answer's own, `Connection` for an answer that was given up: the request may have taken effect.
    pub(crate) async fn watched<T>(
        &self,
        to: To<'_>,
        held: Duration,
        answer: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        if !self.routes() {
            return answer.await;
        }
        let To::Leader { topic, partition } = to else { return answer.await };
        let Known::Leader(asked) = self.topics().leader(topic, partition) else { return answer.await };
        let mut answer = std::pin::pin!(answer);
        let mut silence = SILENCE + held;
        loop {
            if let Ok(answered) = tokio::time::timeout(silence, answer.as_mut()).await {
                return answered;
            }
            silence = SILENCE;
            let lost = tokio::select! {
                answered = answer.as_mut() => return answered,
                lost = self.lost_leadership(topic, partition, &asked) => lost,
            };
            if lost {
                let why = format!("it is silent, and no longer leads {topic}/{partition}");
                return Err(ClientError::broken(&asked.addr, why));
            }
        }
    }

    /// Waits for an answer of any node. One that has become silent altogether is given up, in a cluster: the others go on.
    ///
    /// # Errors
    /// The answer's own, `Connection` for an answer that was given up: the request may have taken effect.
    pub(crate) async fn unless_silent<T>(
        &self,
        link: &Arc<dyn Transport>,
        answer: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        if !self.routes() {
            return answer.await;
        }
        let mut answer = std::pin::pin!(answer);
        loop {
            if let Ok(answered) = tokio::time::timeout(SILENCE, answer.as_mut()).await {
                return answered;
            }
            let ping = link.call(rpc_by_name("GetHealth")?, bytes::Bytes::new());
            tokio::select! {
                answered = answer.as_mut() => return answered,
                pinged = tokio::time::timeout(PING_WAIT, ping) => if pinged.is_err() {
                    self.inner.links.leave(link);
                    return Err(ClientError::broken(link.node_id(), "the node is silent"));
                },
            }
        }
    }

    /// Whether a node other than `asked` says that somebody else leads the partition now. Many that wait ask once.
    async fn lost_leadership(&self, topic: &str, partition: i32, asked: &Leader) -> bool {
        let _turn = self.topics().asking.lock().await;
        // `asked` would say of itself that it leads.
        if !self.topics().told_by_another(topic, &asked.node, SILENCE / 2) {
            self.ask_another(topic, &asked.node).await;
        }
        match self.topics().leader(topic, partition) {
            Known::Leader(now) => now != *asked,
            Known::Nobody => true,
            Known::Unknown => false,
        }
    }

    /// Chooses the partition of a batch that names none, where the client has to send it to the leader.
    ///
    /// # Errors
    /// Those of asking for the topic's partitions.
    pub(crate) async fn place(&self, call: &mut ProduceCall, key: Option<&[u8]>) -> Result<(), ClientError> {
        if call.partition != ANY_PARTITION || !self.routes() {
            return Ok(());
        }
        if self.topics().count(&call.topic).is_none() {
            match self.refresh(&call.topic).await {
                Ok(()) => {}
                Err(error) if error.code == ErrorCode::TopicNotFound => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.place_now(call, key);
        Ok(())
    }

    /// A partition for messages that may go to any, by what is known: one that somebody leads.
    pub(crate) fn any_partition(&self, topic: &str) -> Option<i32> {
        let count = self.topics().count(topic)?;
        let turn = self.next_turn();
        if !self.routes() {
            return i32::try_from(turn % count.max(1) as usize).ok();
        }
        let led = self.topics().led(topic);
        (!led.is_empty()).then(|| led[turn % led.len()])
    }

    /// As [`Client::place`], by what is known; false where that is too little.
    pub(crate) fn place_now(&self, call: &mut ProduceCall, key: Option<&[u8]>) -> bool {
        if call.partition != ANY_PARTITION || !self.routes() {
            return true;
        }
        let Some(count) = self.topics().count(&call.topic) else { return false };
        let led = self.topics().led(&call.topic);
        call.partition = match (key, led.len()) {
            (Some(key), _) => partition_of(key, count),
            (None, 0) => return false,
            (None, some) => led[self.next_turn() % some],
        };
        true
    }
}
