//! From a configuration to a running broker.

use std::{sync::Arc, time::Instant};

use flymq_api::{Phase, Stack, cluster_stack};
use flymq_config::{Config, KEYS, Loaded, Role, Source};
use flymq_storage::DataDir;
use flymq_types::{Clock, SystemClock};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::info;

use crate::{
    StartError, advertise, build, cluster,
    doors::Doors,
    encryption,
    listen::{Addresses, Listeners},
    open_files::Shares,
    retention,
    running::RunningBroker,
    scrub,
};

/// Starts a broker; it is ready when this returns.
///
/// # Errors
/// A port that is taken, a data directory that cannot be used or is in use, or data that cannot be recovered.
pub async fn start(config: Config) -> Result<RunningBroker, StartError> {
    let sources = KEYS.iter().map(|key| (key.name, Source::Default)).collect();
    start_loaded(Loaded { config, sources, warnings: Vec::new(), file: None }).await
}

/// [`start`] with a configuration that knows where its values come from, so that `GetConfig` can tell.
///
/// # Errors
/// Those of [`start`].
pub async fn start_loaded(loaded: Loaded) -> Result<RunningBroker, StartError> {
    let began = Instant::now();
    let config = &loaded.config;
    // Before anything is made that counts.
    let _ = flymq_gateway::metrics::install();
    let mut listeners = Listeners::bind(config, cluster::is_member(&loaded)).await?;
    let mut addresses = listeners.addresses().map_err(StartError::Runtime)?;
    addresses.outside = advertise::find(config, &addresses).await;

    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let shares = Shares::of_process(config);
    let data = build::data_dir(&loaded, &shares, clock.clone()).await?;
    let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
    // Closes what is open already, should the rest of the start fail.
    let unfinished = stop.clone().drop_guard();
    let starting = Arc::new(build::node(&loaded, &addresses, String::new(), config.cluster.role));
    let doors = Doors { config, shares, node: &starting, stop: &stop, tracker: &tracker };
    let health = doors.open_health(listeners.health.take());
    let member = enter(&loaded, &data, &clock, listeners.cluster.take(), &addresses).await?;
    let meta = match &member {
        Some(member) => member.meta(),
        None => build::local_meta(&data).await?,
    };
    let replication = member.as_ref().map(cluster::Running::replication);
    let engine = build::engine(config, data.clone(), meta, replication, clock.clone()).await?;
    let named = member.as_ref().map(|member| member.member().cluster.to_string());
    // A broker without cluster is named by its data directory.
    let named = named.unwrap_or_else(|| data.id().to_string());
    let role = member.as_ref().map_or(Role::Standalone, |member| member.member().role);
    let node = Arc::new(build::node(&loaded, &addresses, named, role));
    let links = member.as_ref().map(|member| cluster::links(member.member()));
    let Stack { broker, forwarded } =
        cluster_stack(engine.clone(), node.clone(), clock, &build::stack_options(config), links);
    if let Some(member) = &member {
        member.check_logs()?;
        member.take_part(&engine, forwarded, cluster::expected_nodes(config, &addresses)).await;
    }

    let doors = Doors { node: &node, ..doors };
    doors.open(listeners, &broker);
    health.started(broker.clone());
    tracker.spawn(retention::run(engine.clone(), config.ttl.cleanup_interval, stop.clone()));
    let (every, speed) = (config.storage.scrub_interval, config.storage.scrub_bytes_per_second);
    tracker.spawn(scrub::run(engine.clone(), every, speed, stop.clone()));
    if data.vault().is_some() {
        let old_keys = config.security.encryption_old_keys.len();
        tracker.spawn(encryption::run(data, old_keys, stop.clone()));
    }
    node.enter(Phase::Ready);
    unfinished.disarm();
    info!(
        node = %config.node_id,
        data_dir = %config.storage.data_dir.display(),
        took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        "the broker is up"
    );
    Ok(RunningBroker { addresses, engine, broker, node, doors: tracker, stop, member })
}

/// A member of a cluster enters it; anybody else has no cluster listener.
async fn enter(
    loaded: &Loaded,
    data: &Arc<DataDir>,
    clock: &Arc<dyn Clock>,
    listener: Option<TcpListener>,
    addresses: &Addresses,
) -> Result<Option<cluster::Running>, StartError> {
    let Some(listener) = listener else { return Ok(None) };
    let addresses = cluster::advertised(&loaded.config, addresses);
    let entering = cluster::Entering { loaded, data, clock: clock.clone(), listener, addresses };
    Ok(Some(cluster::Running::new(cluster::enter(entering).await?)))
}
