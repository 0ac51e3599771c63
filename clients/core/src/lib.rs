//! The FlyMQ client core: the Rust SDK, and what the Python and Java SDKs and the CLI stand on.
//!
//! ```no_run
//! # async fn demo() -> Result<(), flymq_client::ClientError> {
//! use flymq_client::{Client, NewMessage};
//! let client = Client::connect("localhost:9092").await?;
//! let stored = client.produce("orders", NewMessage::value("hello")).await?;
//! let message = client.consume("orders", stored.partition, stored.offset).await?;
//! assert_eq!(&message.value[..], b"hello");
//! # Ok(()) }
//! ```
//!
//! Everything that an SDK could get wrong in its own way lives here once: connections and failover, retries, batching,
//! deadlines, offsets, errors with code, hint and page. Two transports carry it: the native port (0xAF version 2) and gRPC.

mod client;
mod config;
mod consumer;
mod encryption;
mod error;
mod json;
mod listener;
mod message;
mod metadata;
mod open;
mod producer;
mod queue;
mod retry;
mod runtime;
pub mod serde;
mod transaction;
mod transport;

pub use client::{Client, ResetTo, When};
pub use config::{ClientConfig, ConsumerConfig, MemberConfig, OffsetReset, ProducerConfig, TransportKind};
pub use consumer::{Consumer, Polled, Rebalance};
pub use encryption::{ENCRYPTION_HEADER, Encryptor, generate_key};
pub use error::{ClientError, ErrorInfo};
pub use flymq_proto::pb::{self, ErrorCode};
pub use flymq_wire::batch::Compression;
pub use listener::{Listened, Listener, RetryPolicy, Work};
pub use message::{FetchSpec, Fetched, FetchedBatches, Message, NewMessage, RecordMetadata};
pub use pb::{Acks, Isolation, StartFrom};
pub use producer::{Answered, BATCHES_IN_FLIGHT, Deliveries, Delivery, Producer};
pub use queue::{Failed, Held, Position, QueueConfig, QueueConsumer};
pub use runtime::runtime;
pub use transaction::{TransactionalConfig, TransactionalProducer};
