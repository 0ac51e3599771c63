//! The client: connections with failover, and every call with its retries.

mod attempts;
mod calls;
mod dead_letters;
mod groups;
mod links;
mod once;
mod route;
mod schedules;
mod schemas;
mod streams;

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use flymq_proto::RpcInfo;

use crate::{
    ClientConfig, ClientError, Consumer, ConsumerConfig, Message, NewMessage, Producer, ProducerConfig, json,
    metadata::TopicCache,
    transport::{Transport, rpc_by_name},
};
pub(crate) use attempts::{Attempts, To};
pub use groups::ResetTo;
use links::Links;
pub use schedules::When;

/// A connected client; clones share connections. Safe for use from many tasks and threads at once.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    config: Arc<ClientConfig>,
    links: Links,
    topics: TopicCache,
    /// Counts batches that name no partition, for their turns. Begins by chance, as many clients that send one batch each must not all
    /// send it to the first partition.
    turn: AtomicUsize,
    /// Of calls that store a batch and wait.
    producer_ids: once::ProducerIds,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("servers", &self.inner.config.bootstrap_servers)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Connects to `"host:port"`, or to the first that answers of `"h1:p,h2:p"`.
    ///
    /// # Errors
    /// `Connection` when none answers, `InvalidArgument` for a text that is no address, those of login.
    pub async fn connect(servers: &str) -> Result<Self, ClientError> {
        Self::with_config(ClientConfig::parse(servers)?).await
    }

    /// As [`Client::connect`], with all settings.
    ///
    /// # Errors
    /// Those of [`Client::connect`].
    pub async fn with_config(config: ClientConfig) -> Result<Self, ClientError> {
        let config = Arc::new(config);
        let links = Links::new(Arc::clone(&config));
        let link = links.any(0).await?;
        let inner = Inner {
            config,
            links,
            topics: TopicCache::default(),
            turn: AtomicUsize::new(usize::from(rand::random::<u16>())),
            producer_ids: once::ProducerIds::default(),
        };
        let client = Self { inner: Arc::new(inner) };
        client.meet(&link).await;
        Ok(client)
    }

    /// The settings it was made with.
    pub fn config(&self) -> &ClientConfig {
        &self.inner.config
    }

    /// Drops the connections; later calls fail with `Cancelled`.
    pub fn close(&self) {
        self.inner.links.close();
    }

    /// A batching producer on this client's connections.
    pub fn producer(&self, config: ProducerConfig) -> Producer {
        Producer::new(self.clone(), config)
    }

    /// A consumer on this client's connections; it reads from its first `poll` on.
    ///
    /// # Errors
    /// `InvalidArgument` without topics, or with auto-commit asked for but no group.
    pub fn consumer(&self, config: ConsumerConfig) -> Result<Consumer, ClientError> {
        Consumer::new(self.clone(), config)
    }

    /// Any unary rpc by name, typed messages in and out.
    ///
    /// # Errors
    /// The broker's, after retries.
    pub async fn call<Req, Resp>(&self, rpc: &str, request: &Req) -> Result<Resp, ClientError>
    where
        Req: prost::Message,
        Resp: prost::Message + Default,
    {
        self.ask(To::Any, rpc, request).await
    }

    /// As [`Client::call`], of the node that `to` says.
    pub(crate) async fn ask<Req, Resp>(
        &self,
        to: To<'_>,
        rpc: &str,
        request: &Req,
    ) -> Result<Resp, ClientError>
    where
        Req: prost::Message,
        Resp: prost::Message + Default,
    {
        let body = self.call_to(to, rpc_by_name(rpc)?, request.encode_to_vec().into()).await?;
        Resp::decode(body)
            .map_err(|e| ClientError::protocol(format!("the server's reply cannot be read: {e}")))
    }

    /// As [`Client::ask`], for a request of which a repeat does no harm, whatever its rpc is as such.
    pub(crate) async fn ask_again<Req, Resp>(
        &self,
        to: To<'_>,
        rpc: &str,
        request: &Req,
    ) -> Result<Resp, ClientError>
    where
        Req: prost::Message,
        Resp: prost::Message + Default,
    {
        let (rpc, body) = (rpc_by_name(rpc)?, Bytes::from(request.encode_to_vec()));
        let body = self.with_retry(&rpc.name, true, to, |link| link.call(rpc, body.clone())).await?;
        Resp::decode(body)
            .map_err(|e| ClientError::protocol(format!("the server's reply cannot be read: {e}")))
    }

    /// Any unary rpc by name, JSON in and out (proto field names). What bindings use for control operations.
    ///
    /// # Errors
    /// `InvalidArgument` when the document does not fit the request; the broker's, after retries.
    pub async fn call_json(&self, rpc: &str, request: &str) -> Result<String, ClientError> {
        let rpc = rpc_by_name(rpc)?;
        if rpc.server_streaming {
            return Err(ClientError::invalid(format!("{} is a stream: use subscribe", rpc.name)));
        }
        let body = self.call_bytes(rpc, json::encode_request(rpc, request)?).await?;
        json::decode_response(&rpc.method, body)
    }

    async fn call_to(&self, to: To<'_>, rpc: &'static RpcInfo, body: Bytes) -> Result<Bytes, ClientError> {
        self.with_retry(&rpc.name, rpc.op.idempotent, to, |link| link.call(rpc, body.clone())).await
    }

    async fn call_bytes(&self, rpc: &'static RpcInfo, body: Bytes) -> Result<Bytes, ClientError> {
        self.call_to(To::Any, rpc, body).await
    }

    /// Runs one request with retries and failover, within the request timeout.
    pub(crate) async fn with_retry<T, F>(
        &self,
        what: &str,
        idempotent: bool,
        to: To<'_>,
        request: impl Fn(&Arc<dyn Transport>) -> F,
    ) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        self.with_retry_within(Duration::ZERO, what, idempotent, to, request).await
    }

    /// As [`Client::with_retry`], for requests that the server may hold for up to `held`.
    pub(crate) async fn with_retry_within<T, F>(
        &self,
        held: Duration,
        what: &str,
        idempotent: bool,
        to: To<'_>,
        request: impl Fn(&Arc<dyn Transport>) -> F,
    ) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        // A long poll that finds nothing is no late answer.
        let limit = self.inner.config.request_timeout + held;
        let mut attempts = Attempts::new(self, what, idempotent, limit);
        loop {
            let attempt = async {
                let link = self.link_to(to).await?;
                let answer = request(&link);
                match to {
                    To::Any => self.unless_silent(&link, answer).await,
                    To::Leader { .. } => self.watched(to, held, answer).await,
                }
            };
            if let ControlFlow::Break(done) = attempts.step(to, attempt).await {
                return done;
            }
        }
    }

    /// The connection of a slot, made anew if it broke.
    pub(crate) async fn link(&self, slot: usize) -> Result<Arc<dyn Transport>, ClientError> {
        self.inner.links.any(slot).await
    }

    /// The message as it is sent: encrypted where the client has a key.
    pub(crate) fn sealed(&self, message: NewMessage) -> Result<NewMessage, ClientError> {
        match &self.inner.config.encryption {
            Some(encryptor) => encryptor.seal(message),
            None => Ok(message),
        }
    }

    /// Whether messages are encrypted before they are sent.
    pub(crate) fn encrypts(&self) -> bool {
        self.inner.config.encryption.is_some()
    }

    /// Messages as the program sees them: decrypted where the client has a key.
    pub(crate) fn opened(&self, messages: Vec<Message>) -> Result<Vec<Message>, ClientError> {
        match &self.inner.config.encryption {
            Some(encryptor) => messages.into_iter().map(|m| encryptor.open(m)).collect(),
            None => Ok(messages),
        }
    }

    pub(crate) fn topics(&self) -> &TopicCache {
        &self.inner.topics
    }

    fn next_turn(&self) -> usize {
        self.inner.turn.fetch_add(1, Ordering::Relaxed)
    }
}
