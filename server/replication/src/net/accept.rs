//! The listener: lets members in, refuses everybody else, and is never taken down by what they do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use flymq_proto::internal as pb;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use super::handshake::{Channel, Security, Transcript};
use super::lane::PeerLane;
use super::refusal::{Refusal, Refused};
use super::serve::{self, Guest};
use super::shared::{Keys, Shared};
use super::socket::{self, Incoming};
use super::words;
use crate::raft::RaftId;
use crate::replica::BrokerEpoch;

/// First and longest pause after a failed accept.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// Whoever asks may also have the address of a node of another cluster.
const WRONG_TOKEN: &str = "the join token (FLYMQ_JOIN_TOKEN) is wrong, has ended, or is of another cluster than this node's: make another one \
     with `flymq-cli cluster token`, and check that FLYMQ_SERVER names a node of the cluster that is meant";

/// Takes connections until the network stops.
pub(super) async fn run(listener: TcpListener, shared: Arc<Shared>) {
    let strangers = Arc::new(Semaphore::new(shared.settings.max_handshakes));
    let mut pause = PAUSE.0;
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                pause = PAUSE.0;
                let Ok(permit) = Arc::clone(&strangers).try_acquire_owned() else {
                    refused(&shared, peer, &Refused::new(Refusal::TooMany, "too many handshakes at a time"));
                    continue;
                };
                let task = Arc::clone(&shared);
                shared.spawn(async move {
                    let stop = task.stop.clone();
                    let _ = stop.run_until_cancelled(one(&task, stream, peer, permit)).await;
                });
            }
            Err(error) => {
                warn!(%error, ?pause, "cannot accept a connection on the cluster port");
                let _ = tokio::time::timeout(pause, shared.stop.cancelled()).await;
                pause = (pause * 2).min(PAUSE.1);
            }
        }
    }
}

pub(super) fn refused(shared: &Shared, peer: SocketAddr, refused: &Refused) {
    shared.stats.add_refused(refused.reason);
    let reason = refused.reason.name();
    // Of the one that has connected it is told there. A node that joins is spoken to before it knows that it is let in.
    if matches!(refused.reason, Refusal::Closed | Refusal::NotInCluster) {
        debug!(%peer, reason, "a connection to the cluster port ended in its handshake: {refused}");
    } else {
        warn!(%peer, reason, "a connection to the cluster port is refused: {refused}");
    }
}

/// One connection, from its first byte to its last.
async fn one(
    shared: &Arc<Shared>,
    stream: TcpStream,
    peer: SocketAddr,
    permit: tokio::sync::OwnedSemaphorePermit,
) {
    let within = shared.settings.handshake;
    let keys = shared.keys.load_full();
    let opened = tokio::time::timeout(within, open(shared, stream, keys.as_deref())).await;
    let late = |_| Refused::new(Refusal::Timeout, format!("no handshake within {} ms", within.as_millis()));
    let mut channel = match opened.map_err(late).flatten() {
        Ok(channel) => channel,
        Err(why) => return refused(shared, peer, &why),
    };
    let admitted = tokio::time::timeout(within, admit(shared, &mut channel, keys.as_deref())).await;
    match admitted.map_err(late).flatten() {
        Ok(guest) => {
            drop(permit);
            let (task, stop) = (Arc::clone(shared), shared.stop.clone());
            shared.spawn_on_lane(guest.lane, async move {
                let _ = stop.run_until_cancelled(serve::run(&task, channel, guest, peer)).await;
            });
        }
        Err(why) => {
            refused(shared, peer, &why);
            let _ = tokio::time::timeout(within, channel.refuse(&why)).await;
        }
    }
}

/// The packets of the connection, out of TLS where it is in it.
async fn open(shared: &Shared, stream: TcpStream, keys: Option<&Keys>) -> Result<Channel, Refused> {
    let tls = keys.and_then(|keys| keys.tls.as_ref());
    match socket::accept(stream, &shared.settings, tls).await {
        Incoming::Channel(channel) => Ok(channel),
        Incoming::NoTls if keys.is_none_or(|keys| keys.membership.cluster.is_none()) => {
            Err(Refused::new(Refusal::NotInCluster, "this node is in no cluster yet"))
        }
        Incoming::NoTls => {
            let text = "it speaks TLS, and this node does not with others: \
                        FLYMQ_CLUSTER_TLS_ENABLED must be the same on all nodes";
            Err(Refused::new(Refusal::Certificate, text))
        }
        Incoming::Failed(error) => {
            let text = format!("no TLS with a certificate of this cluster: {}", words::of(&error));
            Err(Refused::new(Refusal::Certificate, text))
        }
        Incoming::Closed(error) => Err(Refused::new(Refusal::Closed, words::of(&error))),
    }
}

/// Everything up to the proof of the other side. It is welcomed when it is known to be the only one on its lane.
async fn admit(shared: &Shared, channel: &mut Channel, keys: Option<&Keys>) -> Result<Guest, Refused> {
    let (hello, mut transcript) = channel.hello().await?;
    let lane = PeerLane::from_number(hello.lane)
        .ok_or_else(|| Refused::new(Refusal::Protocol, format!("lane {} is not known", hello.lane)))?;
    let keys = keys.ok_or_else(|| {
        Refused::new(Refusal::NotInCluster, "this node is in no cluster and knows no token of one")
    })?;
    let challenge = pb::PeerChallenge { member: shared.me, nonce: shared.nonce() };
    if lane == PeerLane::Join {
        let wrong = || Refused::new(Refusal::WrongToken, WRONG_TOKEN);
        let key = keys.membership.secret.join_key(&hello.token, shared.clock.wall()).ok_or_else(wrong)?;
        channel.challenge(&challenge, &mut transcript, &key, wrong()).await?;
        return Ok(Guest { from: None, lane, epoch: BrokerEpoch(0), key, transcript });
    }
    check_meant(shared, keys, &hello)?;
    check_certificate(keys, &channel.security, hello.from)?;
    let wrong = Refused::new(Refusal::WrongSecret, "the secret is not the one of this cluster");
    channel.challenge(&challenge, &mut transcript, &keys.member, wrong).await?;
    let epoch = BrokerEpoch(hello.from_epoch);
    check_current(shared, hello.from, lane, epoch).await?;
    Ok(Guest { from: Some(hello.from), lane, epoch, key: keys.member.clone(), transcript })
}

/// Another cluster, or another member of it, is meant: said before anything is proved, it gives nothing away.
fn check_meant(shared: &Shared, keys: &Keys, hello: &pb::PeerHello) -> Result<(), Refused> {
    let Some(cluster) = keys.membership.cluster else {
        return Err(Refused::new(Refusal::NotInCluster, "this node is in no cluster yet"));
    };
    if hello.cluster.as_ref() != cluster && !cfg!(mutant = "net_other_cluster_taken") {
        let text = "this node belongs to another cluster: check the addresses of the nodes";
        return Err(Refused::new(Refusal::WrongCluster, text));
    }
    if hello.to != shared.me {
        let text = format!("this is member {}, not {}", shared.me, hello.to);
        return Err(Refused::new(Refusal::WrongMember, text));
    }
    if hello.from == shared.me {
        return Err(Refused::new(Refusal::WrongMember, "a node does not connect to itself"));
    }
    Ok(())
}

/// Where members speak TLS, each must be the one that its certificate names.
fn check_certificate(keys: &Keys, security: &Security, from: RaftId) -> Result<(), Refused> {
    let Some(tls) = &keys.tls else { return Ok(()) };
    match security {
        Security::Plain => {
            let text = "the nodes of this cluster speak TLS with each other, and that one does not: remove \
                        FLYMQ_CLUSTER_TLS_ENABLED=false (cluster.tls_enabled) there, it is the same on all nodes";
            Err(Refused::new(Refusal::PlainText, text))
        }
        Security::Encrypted { .. }
            if socket::is_certified(tls, security, from) || cfg!(mutant = "net_certificate_not_compared") =>
        {
            Ok(())
        }
        Security::Encrypted { .. } => {
            let text = format!("the certificate is not the one of member {from}");
            Err(Refused::new(Refusal::Certificate, text))
        }
    }
}

/// Who has the secret may still have left: each lane takes those who are there now.
pub(super) async fn check_current(
    shared: &Shared,
    from: RaftId,
    lane: PeerLane,
    epoch: BrokerEpoch,
) -> Result<(), Refused> {
    let checked = if lane.for_brokers_only() {
        check_registered(shared, from, epoch)
    } else {
        check_in_group(shared, from).await
    };
    // One lane may be let in while another is not.
    checked.map_err(|why| Refused::new(why.reason, format!("{} (lane {})", why.text, lane.name())))
}

/// The metadata group's lanes take its members only.
pub(super) async fn check_in_group(shared: &Shared, from: RaftId) -> Result<(), Refused> {
    let check = shared.handlers.read().group.clone();
    match check {
        Some(check) if !check(from).await && !cfg!(mutant = "net_removed_member_taken") => {
            let text = format!("member {from} is not in the metadata group of this cluster: it was removed");
            Err(Refused::new(Refusal::UnknownMember, text))
        }
        Some(_) | None => Ok(()),
    }
}

/// The lanes of brokers take the current registrations of brokers only.
fn check_registered(shared: &Shared, from: RaftId, epoch: BrokerEpoch) -> Result<(), Refused> {
    let members = shared.members.load();
    let Some(known) = members.get(&from) else {
        let text = format!("member {from} is no broker of this cluster, as far as this node knows");
        return Err(Refused::new(Refusal::UnknownMember, text));
    };
    // A newer one than this node knows of is right: metadata comes here later.
    if epoch < known.broker_epoch && !cfg!(mutant = "net_stale_epoch_taken") {
        let text =
            format!("broker epoch {} of member {from} is over, {} is current", epoch.0, known.broker_epoch.0);
        return Err(Refused::new(Refusal::StaleEpoch, text));
    }
    Ok(())
}

impl Guest {
    pub(super) fn transcript(&self) -> &Transcript {
        &self.transcript
    }
}
