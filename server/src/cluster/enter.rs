//! The way into the cluster, up to the registration.

use std::{
    path::Path,
    sync::{Arc, OnceLock, atomic::Ordering},
};

use flymq_config::{Config, Loaded, Role};
use flymq_proto::internal::JoinRequest;
use flymq_replication::{
    ClusterSecret, LocalMetaError, PeerMembership, PeerNetwork, PeerOptions, PeerSettings, RaftMetaError,
    RaftMetaOptions, RaftMetaStore, member_id,
};
use flymq_storage::DataDir;
use flymq_types::{Clock, DirectoryId, NodeId, Rng, SystemRng};
use parking_lot::Mutex;
use tokio::{net::TcpListener, sync::watch};
use tracing::info;

use super::{
    alone,
    announce::announce,
    form, group_files, group_settings,
    identity::{self, Identity},
    inbox::Inbox,
    join::Candidate,
    losses,
    mdns::Told,
    member::Member,
    register,
    running::introduce,
};
use crate::StartError;

/// What a node enters the cluster with.
pub(crate) struct Entering<'a> {
    pub loaded: &'a Loaded,
    pub data: &'a Arc<DataDir>,
    pub clock: Arc<dyn Clock>,
    pub listener: TcpListener,
    /// Where others are told that it is.
    pub addresses: flymq_engine::meta::NodeAddresses,
}

/// A registered member, and what takes other nodes' questions.
pub(crate) struct Entered {
    pub member: Arc<Member>,
    pub inbox: Arc<Inbox>,
    /// Lets nodes find it that are to join.
    pub told: Option<Told>,
    pub data: Arc<DataDir>,
}

/// Takes this node into its cluster: returns when it is registered, and its metadata is at least as new as that.
///
/// # Errors
/// The cluster does not want it, or its files cannot be used. Waits as long as nobody answers.
pub(crate) async fn enter(entering: Entering<'_>) -> Result<Entered, StartError> {
    let Entering { loaded, data, clock, listener, addresses } = entering;
    let config = &loaded.config;
    let node = NodeId::new(&config.node_id)
        .map_err(|error| cluster(format!("FLYMQ_NODE_ID (node_id) cannot be used: {error}")))?;
    let directory = DirectoryId::from_bytes(*data.id().as_bytes());
    let address = addresses.cluster.as_deref().unwrap_or_default().to_owned();
    let rng: Arc<dyn Rng> = Arc::new(SystemRng);

    let files = identity::directory(data.path());
    let mut known = Identity::load(&files).map_err(cluster)?;
    group_files::check(data.path(), known.is_some())?;
    let founds = known.is_none() && config.cluster.role == Role::Bootstrap;
    let others = if founds { alone::others(config, &address) } else { Vec::new() };
    if founds && others.is_empty() {
        // Before the port answers: who joins at the same moment must not hear that there is no cluster here.
        known = Some(keep(Identity::new(&*rng, secret_of(config)), &files)?);
    }
    let inbox = Arc::new(Inbox::default());
    inbox.address.get_or_init(|| address.clone());
    let network = PeerNetwork::start(PeerOptions {
        me: member_id(directory),
        membership: known.as_ref().map(membership).or_else(|| visitor(config).filter(|_| !founds)),
        listener,
        clock: clock.clone(),
        rng: rng.clone(),
        settings: PeerSettings { tls: config.cluster.tls_enabled, ..PeerSettings::default() },
    });
    network.set_service(inbox.clone());

    let request = JoinRequest {
        node_id: node.to_string(),
        directory: directory.as_bytes().to_vec().into(),
        cluster_address: address.clone(),
        feature_version: super::understands(config),
        encryption_key: encryption_key(config),
        plain_text: !config.cluster.tls_enabled,
    };
    let identity = match known {
        Some(identity) => identity,
        None if founds => {
            // Whoever asks meanwhile hears that it is in no cluster yet, and asks again.
            alone::check(&network, &others, data.path()).await?;
            keep(Identity::new(&*rng, secret_of(config)), &files)?
        }
        None => keep(find(config, data, &network, request.clone(), &*rng).await?, &files)?,
    };
    network.set_membership(membership(&identity));
    inbox.joined.store(true, Ordering::Relaxed);

    let store =
        open_store(data, &network, &identity, member_id(directory), (rng.clone(), clock.clone())).await?;
    // Before it votes.
    group_files::note(data.path()).map_err(|error| unwritable(&files, &error))?;
    serve(&network, &store);
    let member = Arc::new(Member {
        node,
        id: member_id(directory),
        directory,
        cluster: identity.cluster,
        role: super::role(config.cluster.role, identity.founder),
        understands: super::understands(config),
        address,
        encryption_key: request.encryption_key.clone(),
        store,
        network,
        clock,
        secret: identity.secret.clone(),
        moved: Mutex::default(),
        sessions: Mutex::default(),
        heard: Mutex::default(),
        epoch: OnceLock::new(),
        dismissed: watch::Sender::default(),
    });
    member.introduce(&member.image());
    if identity.founder {
        form::form(&member, data).await?;
    }
    inbox.member.get_or_init(|| member.clone());
    let told = config.cluster.server.iter().chain(&config.cluster.peers).cloned().collect();
    let registered = register::register(&member, config, addresses, &*rng);
    tokio::select! {
        registered = registered => registered?,
        removed = announce(&member, &told, &request) => return Err(cluster(removed)),
        // The leader may be elsewhere, too: where to is in its own registration, which comes from it.
        () = introduce(member.clone()) => {}
    }
    member.introduce(&member.image());
    losses::check(&member, data)?;
    let told = config
        .cluster
        .mdns_enabled
        .then(|| Told::tell(&member.address, &member.node, directory, member.cluster));
    Ok(Entered { member, inbox, told: told.flatten(), data: data.clone() })
}

/// From now on the others' requests are answered.
fn serve(network: &PeerNetwork, store: &RaftMetaStore) {
    let (answering, checking) = (store.clone(), store.clone());
    network.set_raft(Arc::new(move |request| {
        let store = answering.clone();
        Box::pin(async move { store.answer(request).await })
    }));
    network.set_group(Arc::new(move |id| {
        let store = checking.clone();
        Box::pin(async move { store.knows(id).await })
    }));
}

/// Writes the identity down, before anything is done with it.
fn keep(identity: Identity, files: &Path) -> Result<Identity, StartError> {
    identity.store(files).map_err(|error| unwritable(files, &error))?;
    Ok(identity)
}

fn unwritable(files: &Path, error: &std::io::Error) -> StartError {
    cluster(format!("cannot write {}: {error}", files.display()))
}

fn cluster(reason: String) -> StartError {
    StartError::Cluster { reason }
}

fn membership(identity: &Identity) -> PeerMembership {
    PeerMembership { cluster: Some(*identity.cluster.as_bytes()), secret: identity.secret.clone() }
}

/// Who is in no cluster yet, and has peers, tells them so.
fn visitor(config: &Config) -> Option<PeerMembership> {
    let secret = secret_of(config).filter(|_| !config.cluster.peers.is_empty())?;
    Some(PeerMembership { cluster: None, secret })
}

fn secret_of(config: &Config) -> Option<ClusterSecret> {
    config.cluster.cluster_token.as_ref().and_then(|token| ClusterSecret::new(token.expose()))
}

fn token_of(config: &Config) -> Option<String> {
    let tokens = [&config.cluster.join_token, &config.cluster.cluster_token];
    tokens.into_iter().flatten().map(|token| token.expose().to_owned()).next()
}

/// The cluster that this node is to be in: a new one, or one that it joins.
async fn find(
    config: &Config,
    data: &DataDir,
    network: &PeerNetwork,
    request: JoinRequest,
    rng: &dyn Rng,
) -> Result<Identity, StartError> {
    let token = token_of(config).ok_or_else(|| {
        cluster(
            "this node is to join a cluster and has no token for it: set FLYMQ_JOIN_TOKEN (cluster.join_token) to the first \
             node's FLYMQ_CLUSTER_TOKEN, or to what `flymq-cli cluster token` prints"
                .to_owned(),
        )
    })?;
    let own = request.cluster_address.clone();
    let candidate = Candidate { network, request, token };
    if let Some(server) = &config.cluster.server {
        check_empty(data)?;
        info!(server, "joining a cluster");
        return candidate.join(server).await;
    }
    if config.cluster.peers.is_empty() {
        check_empty(data)?;
        return candidate.look().await;
    }
    let joined = candidate.discover(&config.cluster.peers, &own).await?;
    match joined {
        Some(identity) => {
            check_empty(data)?;
            Ok(identity)
        }
        None => Ok(Identity::new(rng, secret_of(config))),
    }
}

/// Only who forms a cluster brings its records along: two brokers' topics cannot be made one.
fn check_empty(data: &DataDir) -> Result<(), StartError> {
    let logs = data.logs().map_err(|error| cluster(error.to_string()))?;
    if logs.is_empty() {
        return Ok(());
    }
    let (path, partitions) = (data.path().display(), logs.len());
    if !data.path().join("metadata").exists() {
        return Err(cluster(format!(
            "the data directory {path} holds {partitions} partitions, and neither the metadata of a broker without cluster (metadata) nor a member's (raft, \
             cluster): restore those from a backup of this node, or start with an empty directory"
        )));
    }
    Err(cluster(format!(
        "the data directory {path} holds {partitions} partitions of a broker without cluster, and a node that joins brings nothing along: \
         choose an empty directory with FLYMQ_DATA_DIR (data_dir), or let this node form the cluster (FLYMQ_ROLE=bootstrap)"
    )))
}

/// Names the key that data is encrypted with; empty where it is not.
fn encryption_key(config: &Config) -> String {
    let key = config.security.encryption_key.as_ref().filter(|_| config.security.encryption_enabled);
    let key = key.and_then(|key| flymq_storage::EncryptionKey::from_hex(key.expose()).ok());
    key.map(|key| key.id().to_string()).unwrap_or_default()
}

async fn open_store(
    data: &DataDir,
    network: &Arc<PeerNetwork>,
    identity: &Identity,
    id: u64,
    (rng, clock): (Arc<dyn Rng>, Arc<dyn Clock>),
) -> Result<RaftMetaStore, StartError> {
    let path = data.path().join("raft");
    let options = RaftMetaOptions {
        disk: data.vital_disk(),
        path: path.clone(),
        vault: data.vault(),
        rng,
        clock,
        id,
        cluster: *identity.cluster.as_bytes(),
        transport: network.clone(),
        settings: group_settings(),
    };
    RaftMetaStore::open(options).await.map_err(|error| match error {
        RaftMetaError::Files(LocalMetaError::Damaged { .. }) => {
            StartError::MetadataGroup { path, reason: error.to_string() }
        }
        RaftMetaError::Files(_) | RaftMetaError::Settings { .. } | RaftMetaError::Start { .. } => {
            recovery(&path, error.to_string())
        }
    })
}

pub(super) fn recovery(path: &Path, reason: String) -> StartError {
    StartError::Recovery { path: path.to_owned(), reason }
}
