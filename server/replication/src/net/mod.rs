//! How nodes reach each other: one TCP port a node, connections of their own for what must not wait for each other.
//!
//! ```text
//!  RaftMetaStore ── MetaTransport ─┐                                   ┌─► RaftMetaStore::answer
//!  ReplicaSet ───── NodeLink ──────┼─► PeerNetwork ══ lanes ══► PeerNetwork ─► FrameSink
//!  the broker ───── PeerCaller ────┘   (one connection for each          └─► PeerService
//!                                       lane, direction and pair)
//! ```
//!
//! - **Lanes** ([`PeerLane`]): metadata, heartbeats, live frames, catch-up, calls, snapshots, joins. A lane is connected
//!   when it is first used; who connects asks or sends frames, the other side answers on the same connection.
//! - **Packets** (`packet`): a length that is checked before anything is allocated, a protobuf head, a body of plain
//!   bytes. Batches are written from where they lie and never copied; what waits goes out in one write.
//! - **Handshake** (`handshake`): both sides prove that they know the cluster's secret; each connection says which
//!   member and which registration it comes from. Everybody else is refused, counted ([`Refusal`]) and logged.
//! - **TLS** (`tls`): members speak TLS 1.3 inside, both with certificates of the cluster that name the member, unless
//!   that is switched off ([`PeerSettings::tls`]).
//! - **Failure**: where a connection is refused or reset, everything that waits for it is told at once. Pings find out
//!   what no reset tells: a stopped process, a pulled cable. Attempts go on with short pauses, and at once when the other
//!   node is heard of.
//! - **Bounds**: what waits for a slow node is bounded in bytes; the rest is dropped and counted, and whoever wants to
//!   know when a frame is on its way ([`crate::Sent`]) is told exactly once in any case.
//! - **Joining** ([`PeerNetwork::join`]): a node that is no member proves a token instead, and may only ask to join.
//!   Question and answer are encrypted, as the answer may hold the secret.
//!
//! Bytes on the wire: `docs/cluster-protocol.md`.

mod accept;
mod bulk;
mod calls;
mod connection;
mod convert;
mod handshake;
mod incoming;
mod join;
mod lane;
mod link;
mod network;
mod options;
mod outbox;
mod packet;
mod reach;
mod reader;
mod refusal;
mod seal;
mod secret;
mod serve;
mod shared;
mod socket;
mod stats;
#[cfg(test)]
mod tests;
mod tls;
mod words;
mod writer;

pub use lane::PeerLane;
pub use network::PeerNetwork;
pub use options::{PeerAddress, PeerMembership, PeerOptions, PeerSettings};
pub use refusal::Refusal;
pub use secret::ClusterSecret;
pub use shared::{GroupCheck, RaftAnswer};
pub use stats::{PeerStats, Side};
