//! A node asks to become a member: of the cluster that it is told of, or of whichever its peers are in.

use std::time::{Duration, Instant};

use bytes::Bytes;
use flymq_proto::internal::{JoinAccepted, JoinReply, JoinRequest, join_reply::Outcome};
use flymq_replication::{ClusterSecret, PeerError, PeerNetwork};
use flymq_types::ClusterId;
use prost::Message as _;
use tokio::time::sleep;
use tracing::{info, warn};

use super::{identity::Identity, mdns::Looking};
use crate::StartError;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(300);
/// How long one answer may take.
const ANSWER_WAIT: Duration = Duration::from_secs(15);
/// A node id that is in use may be that of a node whose session is just ending.
const TRANSIENT: Duration = Duration::from_secs(6);
/// The log says what is waited for after that time, and again that often.
const FIRST: Duration = Duration::from_secs(2);
const SAY: Duration = Duration::from_secs(5);

/// Asks again and again.
#[derive(Debug)]
pub(crate) struct Candidate<'a> {
    pub network: &'a PeerNetwork,
    pub request: JoinRequest,
    pub token: String,
}

/// What the cluster port says of a node that is in none.
const IN_NO_CLUSTER: &str = "in no cluster";

/// What one node said.
enum Answer {
    Joined(Identity),
    Refused {
        reason: String,
        transient: bool,
    },
    /// It is a member, and cannot say yet.
    Later(String),
    /// It is in no cluster; where it is reached.
    NoMember(String),
    Unreachable(String),
}

impl Candidate<'_> {
    /// Joins the cluster of the member at `server`, however long it takes to be reached.
    ///
    /// # Errors
    /// The cluster does not want this node.
    pub async fn join(&self, server: &str) -> Result<Identity, StartError> {
        if server == self.request.cluster_address {
            let reason = format!(
                "FLYMQ_SERVER (cluster.server) names {server}, which is this node itself: name another member"
            );
            return Err(StartError::Cluster { reason });
        }
        let (began, mut due) = (Instant::now(), Due::begin());
        loop {
            let reason = match self.ask(server).await {
                Answer::Joined(identity) => return Ok(identity),
                Answer::Refused { reason, transient } if !transient || began.elapsed() > TRANSIENT => {
                    return Err(StartError::Cluster {
                        reason: format!("{server} does not let this node join: {reason}"),
                    });
                }
                Answer::Refused { reason, .. } | Answer::Later(reason) | Answer::Unreachable(reason) => {
                    reason
                }
                Answer::NoMember(_) => "it is in no cluster yet".to_owned(),
            };
            if due.is_now() {
                warn!(server, reason, "waiting for the cluster to join");
            }
            sleep(PAUSE).await;
        }
    }

    /// Joins the cluster that any of `peers` is in; none, if this node is to form it: all others have answered, none is
    /// in a cluster, and this node's address is the smallest.
    ///
    /// # Errors
    /// The cluster does not want this node.
    pub async fn discover(&self, peers: &[String], own: &str) -> Result<Option<Identity>, StartError> {
        let (began, mut due) = (Instant::now(), Due::begin());
        let others: Vec<_> = peers.iter().filter(|peer| *peer != own).collect();
        loop {
            let (mut smallest, mut silent) = (own.to_owned(), Vec::new());
            for peer in &others {
                match self.ask(peer).await {
                    Answer::Joined(identity) => return Ok(Some(identity)),
                    Answer::Refused { reason, transient } if !transient || began.elapsed() > TRANSIENT => {
                        return Err(StartError::Cluster {
                            reason: format!("{peer} does not let this node join: {reason}"),
                        });
                    }
                    Answer::Refused { reason, .. } | Answer::Later(reason) | Answer::Unreachable(reason) => {
                        silent.push(format!("{peer}: {reason}"));
                    }
                    Answer::NoMember(address) => smallest = smallest.min(address),
                }
            }
            if silent.is_empty() && smallest == own {
                info!(nodes = peers.len(), "none of the peers is in a cluster: this node forms it");
                return Ok(None);
            }
            if due.is_now() {
                let silent = silent.join(", ");
                warn!(silent, smallest, "waiting for the peers to form a cluster");
            }
            sleep(PAUSE).await;
        }
    }

    /// Joins the first cluster on the local network that takes this node's token, however long it takes to be found.
    ///
    /// # Errors
    /// The machine has no socket for mDNS.
    pub async fn look(&self) -> Result<Identity, StartError> {
        let mut looking = Looking::begin().map_err(|error| StartError::Cluster {
            reason: format!("cannot look for a cluster by mDNS ({error}): name a member with FLYMQ_SERVER (cluster.server)"),
        })?;
        let mut due = Due::begin();
        loop {
            let mut answers = Vec::new();
            for address in looking.addresses() {
                match self.ask(&address).await {
                    Answer::Joined(identity) => return Ok(identity),
                    // It may be another cluster than the one whose token this is.
                    Answer::Refused { reason, .. } | Answer::Later(reason) | Answer::Unreachable(reason) => {
                        answers.push(format!("{address}: {reason}"));
                    }
                    Answer::NoMember(_) => answers.push(format!("{address}: it is in no cluster yet")),
                }
            }
            if due.is_now() {
                let found = answers.join(", ");
                warn!(
                    found,
                    "looking for a cluster on the local network (mDNS); FLYMQ_SERVER names one elsewhere"
                );
            }
            sleep(PAUSE).await;
        }
    }

    async fn ask(&self, address: &str) -> Answer {
        let body = Bytes::from(self.request.encode_to_vec());
        match self.network.join(address, &self.token, body, ANSWER_WAIT).await {
            Err(PeerError::Unreachable { reason } | PeerError::Lost { reason }) => {
                Answer::Unreachable(reason)
            }
            // It has no token to know this one's by: it is itself on its way into a cluster.
            Err(PeerError::Refused { reason }) if reason.contains(IN_NO_CLUSTER) => Answer::Later(reason),
            Err(PeerError::Refused { reason }) => Answer::Refused { reason, transient: false },
            Ok(answer) => match JoinReply::decode(answer).ok().and_then(|reply| reply.outcome) {
                Some(Outcome::Accepted(accepted)) => joined(&accepted),
                Some(Outcome::Refused(refused)) => {
                    Answer::Refused { reason: refused.reason, transient: refused.transient }
                }
                Some(Outcome::Later(later)) if later.member => Answer::Later(later.reason),
                Some(Outcome::Later(later)) => Answer::NoMember(later.cluster_address),
                None => Answer::Later("its answer cannot be read".to_owned()),
            },
        }
    }
}

fn joined(accepted: &JoinAccepted) -> Answer {
    let cluster = <[u8; 16]>::try_from(&accepted.cluster_id[..]).map(ClusterId::from_bytes);
    let (Ok(cluster), Some(secret)) = (cluster, ClusterSecret::new(&accepted.token)) else {
        return Answer::Later("its answer is not complete".to_owned());
    };
    Answer::Joined(Identity { cluster, secret, founder: false })
}

/// When to say what is waited for: not at once, since most waits are short.
#[derive(Debug)]
pub(super) struct Due(Instant);

impl Due {
    pub fn begin() -> Self {
        Self(Instant::now() + FIRST)
    }

    pub fn is_now(&mut self) -> bool {
        let due = Instant::now() >= self.0;
        if due {
            self.0 = Instant::now() + SAY;
        }
        due
    }
}
