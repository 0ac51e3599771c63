//! One function per component: from the configuration to what it is told.

use std::{path::Path, sync::Arc};

use flymq_api::{ConfigEntry, Node, StackOptions};
use flymq_config::{Config, KEYS, Loaded, Role, SchemaValidation, Secret};
use flymq_engine::{
    DeadLetterOptions, Engine, EngineDeps, EngineOptions, Replication, TopicSettings, ValidationMode,
    meta::MetaStore,
};
use flymq_replication::{LocalMetaError, LocalMetaOptions, LocalMetaStore};
use flymq_storage::{
    DataDir, DataDirOptions, EncryptionKey, EncryptionKeys, SpaceOptions, StorageError, SyncMode,
};
use flymq_types::{Clock, Limits, NodeId, SystemRng};

use crate::{StartError, cluster::cluster_address, listen::Addresses, open_files::Shares};

/// Opens or creates the data directory, and locks it for this process.
pub(crate) async fn data_dir(
    loaded: &Loaded,
    shares: &Shares,
    clock: Arc<dyn Clock>,
) -> Result<Arc<DataDir>, StartError> {
    let config = &loaded.config;
    let path = config.storage.data_dir.clone();
    // The host name, its default, may change from start to start: in a container it does.
    let named = loaded.sources.get("node_id").is_some_and(|source| source.is_explicit());
    let encryption = encryption(config)?;
    let options = DataDirOptions {
        encryption,
        clock,
        sync: SyncMode::Thread { interval: config.performance.sync_interval },
        space: SpaceOptions { min_free: config.storage.min_free_bytes, ..SpaceOptions::default() },
        open_files: shares.log_files,
        node: named.then(|| config.node_id.clone()),
        ..DataDirOptions::real(path.clone())
    };
    let opened = tokio::task::spawn_blocking(move || open_data(options)).await;
    opened.unwrap_or_else(|panic| Err(StartError::DataDir { path, reason: panic.to_string() }))
}

/// The keys of encryption at rest; `None` where it is off.
fn encryption(config: &Config) -> Result<Option<EncryptionKeys>, StartError> {
    let security = &config.security;
    if !security.encryption_enabled {
        return Ok(None);
    }
    let current = security.encryption_key.as_ref().ok_or_else(|| StartError::EncryptionKey {
        reason: "encryption at rest is on, but there is no key: set FLYMQ_ENCRYPTION_KEY".to_owned(),
    })?;
    let key = |secret: &Secret| {
        EncryptionKey::from_hex(secret.expose())
            .map_err(|error| StartError::EncryptionKey { reason: error.to_string() })
    };
    let old = security.encryption_old_keys.iter().map(key).collect::<Result<_, _>>()?;
    Ok(Some(EncryptionKeys { current: key(current)?, old }))
}

fn open_data(options: DataDirOptions) -> Result<Arc<DataDir>, StartError> {
    let path = options.path.clone();
    let data = DataDir::open(options).map_err(|error| match error {
        StorageError::DirectoryLocked { path, pid } => StartError::DataDirInUse { path, pid },
        StorageError::ReadOnly { .. } => StartError::DataDirReadOnly { path },
        error @ (StorageError::KeyMissing { .. } | StorageError::WrongKey { .. }) => {
            StartError::EncryptionKey { reason: error.to_string() }
        }
        refusal if refusal.is_refusal() => StartError::DataDirRefused { reason: refusal.to_string() },
        other => StartError::DataDir { path, reason: other.to_string() },
    })?;
    Ok(Arc::new(data))
}

/// The metadata of a broker without cluster. It lies inside the data directory, so that one lock and one backup cover both.
pub(crate) async fn local_meta(data: &Arc<DataDir>) -> Result<Arc<dyn MetaStore>, StartError> {
    let (path, data) = (data.path().to_owned(), data.clone());
    let opened = tokio::task::spawn_blocking(move || open_local_meta(&data)).await;
    opened.unwrap_or_else(|panic| Err(StartError::DataDir { path, reason: panic.to_string() }))
}

fn open_local_meta(data: &DataDir) -> Result<Arc<dyn MetaStore>, StartError> {
    let path = data.path().to_owned();
    let metadata = path.join("metadata");
    check_metadata_is_there(data, &metadata)
        .map_err(|reason| StartError::Recovery { path: path.clone(), reason })?;
    let options =
        LocalMetaOptions { vault: data.vault(), ..LocalMetaOptions::new(data.vital_disk(), metadata) };
    let meta = LocalMetaStore::open(options).map_err(|error| match error {
        LocalMetaError::Key(error) => StartError::EncryptionKey { reason: error.to_string() },
        other => StartError::Recovery { path, reason: other.to_string() },
    })?;
    Ok(Arc::new(meta))
}

/// A log is written after the metadata of its topic: to begin with new metadata beside it would hide it.
fn check_metadata_is_there(data: &DataDir, metadata: &Path) -> Result<(), String> {
    let log = metadata.join("log");
    if data.vital_disk().exists(&log).map_err(|error| error.to_string())? {
        return Ok(());
    }
    let logs = data.logs().map_err(|error| error.to_string())?;
    match logs.first() {
        None => Ok(()),
        Some((topic, partition)) => Err(format!(
            "{} is missing beside {} logs (topics/{topic}/{partition} is one): restore it from a backup; nothing was changed",
            log.display(),
            logs.len()
        )),
    }
}

/// The engine with every log recovered.
pub(crate) async fn engine(
    config: &Config,
    data: Arc<DataDir>,
    meta: Arc<dyn MetaStore>,
    replication: Option<Arc<dyn Replication>>,
    clock: Arc<dyn Clock>,
) -> Result<Arc<Engine>, StartError> {
    let node = replication.as_ref().and_then(|_| NodeId::new(&config.node_id).ok());
    let options = EngineOptions { node, ..engine_options(config) };
    let deps = EngineDeps { data, clock, rng: Arc::new(SystemRng), meta, replication };
    Engine::open(options, deps).await.map_err(|error| StartError::Recovery {
        path: config.storage.data_dir.clone(),
        reason: error.to_string(),
    })
}

fn engine_options(config: &Config) -> EngineOptions {
    let defaults = EngineOptions::default();
    EngineOptions {
        auto_create: config.topics.auto_create,
        default_partitions: config.topics.default_partitions,
        topic_defaults: TopicSettings {
            retention_ms: u64::try_from(config.storage.retention.as_millis()).unwrap_or(u64::MAX),
            retention_bytes: config.storage.retention_bytes,
            segment_bytes: config.storage.segment_bytes,
            ttl_ms: u64::try_from(config.ttl.default_ttl.as_millis()).unwrap_or(u64::MAX),
            ..defaults.topic_defaults
        },
        default_acks: config.performance.acks,
        limits: limits(config),
        schedules: config.delayed.enabled,
        max_delay_ms: u64::try_from(config.delayed.max_delay.as_millis()).unwrap_or(u64::MAX),
        dead_letters: DeadLetterOptions {
            enabled: config.dlq.enabled,
            max_retries: config.dlq.max_retries,
            retry_delay_ms: u32::try_from(config.dlq.retry_delay.as_millis()).unwrap_or(u32::MAX),
            suffix: config.dlq.topic_suffix.clone(),
        },
        schemas: config.schema.enabled,
        schema_validation: match config.schema.validation {
            SchemaValidation::Strict => ValidationMode::Strict,
            SchemaValidation::Warn => ValidationMode::Warn,
            SchemaValidation::Off => ValidationMode::Off,
        },
        transactions: config.transaction.enabled,
        transaction_timeout_ms: u32::try_from(config.transaction.timeout.as_millis()).unwrap_or(u32::MAX),
        ..defaults
    }
}

/// The bounds on single requests.
pub(crate) fn limits(config: &Config) -> Limits {
    let record_bytes = usize::try_from(config.limits.max_record_bytes).unwrap_or(usize::MAX);
    Limits { record_bytes: record_bytes.min(Limits::DEFAULT.batch_bytes - 1024), ..Limits::DEFAULT }
}

/// The layers around the engine.
pub(crate) fn stack_options(config: &Config) -> StackOptions {
    StackOptions {
        bounds: limits(config),
        auth_enabled: config.auth.enabled,
        audit_enabled: config.audit.enabled,
        default_acks: config.performance.acks,
        ..StackOptions::default()
    }
}

/// What the node can tell of itself.
pub(crate) fn node(loaded: &Loaded, addresses: &Addresses, cluster_id: String, role: Role) -> Node {
    let config = &loaded.config;
    let mut node = Node::new(cluster_id, config.node_id.clone());
    node.role = role.to_string();
    node.cluster_addr = cluster_address(config, addresses).unwrap_or_default();
    node.client_addr = config.listen.advertise_addr.clone().unwrap_or_else(|| addresses.advertised());
    node.config = KEYS
        .iter()
        .map(|key| ConfigEntry {
            key: key.name.to_owned(),
            value: (key.show)(config),
            source: loaded.sources.get(key.name).map(ToString::to_string).unwrap_or_default(),
        })
        .collect();
    node
}
