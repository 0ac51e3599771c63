//! From a configuration to a running broker.

use std::{sync::Arc, time::Instant};

use flymq_api::{Phase, stack};
use flymq_config::{Config, KEYS, Loaded, Source};
use flymq_types::{Clock, SystemClock};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::info;

use crate::{
    StartError, build, doors::Doors, encryption, listen::Listeners, open_files::Shares, retention,
    running::RunningBroker, scrub,
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
    let mut listeners = Listeners::bind(config).await?;
    let addresses = listeners.addresses().map_err(StartError::Runtime)?;

    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let shares = Shares::of_process(config);
    let storage = build::storage(&loaded, &shares, clock.clone()).await?;
    let node = Arc::new(build::node(&loaded, &addresses, &storage.data));
    let data = storage.data.clone();
    let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
    // Closes what is open already, should the rest of the start fail.
    let unfinished = stop.clone().drop_guard();
    let doors = Doors { config, shares, node: &node, stop: &stop, tracker: &tracker };
    let health = doors.open_health(listeners.health.take());
    let engine = build::engine(config, storage, clock.clone()).await?;
    let broker = stack(engine.clone(), node.clone(), clock, &build::stack_options(config));

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
    Ok(RunningBroker { addresses, engine, broker, node, doors: tracker, stop })
}
