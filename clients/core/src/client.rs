//! The client: connections with failover, and every call with its retries.

mod calls;
mod links;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use flymq_proto::RpcInfo;

use crate::{
    ClientConfig, ClientError, Consumer, ConsumerConfig, Message, NewMessage, Producer, ProducerConfig, json,
    metadata::TopicCache,
    retry::Retries,
    transport::{Transport, rpc_by_name},
};
use links::Links;

/// A connected client; clones share connections. Safe for use from many tasks and threads at once.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    config: Arc<ClientConfig>,
    links: Links,
    topics: TopicCache,
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
        links.get(0).await?;
        let inner = Arc::new(Inner { config, links, topics: TopicCache::default() });
        Ok(Self { inner })
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
        let body = self.call_bytes(rpc_by_name(rpc)?, request.encode_to_vec().into()).await?;
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

    async fn call_bytes(&self, rpc: &'static RpcInfo, body: Bytes) -> Result<Bytes, ClientError> {
        self.with_retry(&rpc.name, rpc.op.idempotent, |link| link.call(rpc, body.clone())).await
    }

    /// Runs one request with retries and failover, within the request timeout.
    pub(crate) async fn with_retry<T, F>(
        &self,
        what: &str,
        idempotent: bool,
        request: impl Fn(&Arc<dyn Transport>) -> F,
    ) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        self.with_retry_within(self.inner.config.request_timeout, what, idempotent, request).await
    }

    /// As [`Client::with_retry`], within `limit`: for requests that the server may hold.
    pub(crate) async fn with_retry_within<T, F>(
        &self,
        limit: Duration,
        what: &str,
        idempotent: bool,
        request: impl Fn(&Arc<dyn Transport>) -> F,
    ) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let config = &self.inner.config;
        let mut retries = Retries::new(config.max_retries, config.retry_backoff);
        let attempts = async {
            loop {
                let error = match self.link(0).await {
                    Ok(link) => match request(&link).await {
                        Ok(reply) => return Ok(reply),
                        Err(error) => error,
                    },
                    Err(error) => error,
                };
                let Some(wait) = retries.after(&error, idempotent) else { return Err(error) };
                tracing::debug!(what, ?retries, %error, ?wait, "retrying");
                tokio::time::sleep(wait).await;
            }
        };
        tokio::time::timeout(limit, attempts).await.unwrap_or_else(|_| Err(ClientError::timeout(what, limit)))
    }

    /// The connection of a slot, made anew if it broke.
    pub(crate) async fn link(&self, slot: usize) -> Result<Arc<dyn Transport>, ClientError> {
        self.inner.links.get(slot).await
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
    fn opened(&self, messages: Vec<Message>) -> Result<Vec<Message>, ClientError> {
        match &self.inner.config.encryption {
            Some(encryptor) => messages.into_iter().map(|m| encryptor.open(m)).collect(),
            None => Ok(messages),
        }
    }

    pub(crate) fn topics(&self) -> &TopicCache {
        &self.inner.topics
    }
}
