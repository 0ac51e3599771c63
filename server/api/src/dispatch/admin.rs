//! The server itself.

use std::{sync::atomic::Ordering, time::Duration};

use flymq_proto::pb;

use super::{EngineBroker, storage_checks};
use crate::{Phase, convert};

/// A node that has heard no majority of the metadata group for so long is not ready. While another node is elected nobody
/// hears one, for up to two seconds: that is no reason to send clients elsewhere.
const CUT_OFF: Duration = Duration::from_secs(5);

/// What the check of the cluster says.
fn in_touch(silence: Duration) -> String {
    if silence.is_zero() {
        return "ok".to_owned();
    }
    format!(
        "no majority of the metadata group was heard for {} s: members, leaders and topics are shown as they were then, and this \
         node can elect and change nothing; look at the other nodes, and at the network between them",
        silence.as_secs()
    )
}

impl EngineBroker {
    pub(super) fn get_health(&self, _request: pb::GetHealthRequest) -> pb::GetHealthResponse {
        let (mut checks, mut well) = storage_checks::checks(&self.engine.storage_health());
        let silence = self.control.as_ref().map(|control| control.out_of_touch().unwrap_or_default());
        if let Some(silence) = silence {
            well &= silence.is_zero();
            checks.push(("cluster".to_owned(), in_touch(silence)));
        }
        let serves = silence.unwrap_or_default() < CUT_OFF;
        let (ready, status) = match self.node.phase() {
            Phase::Starting => (false, "starting"),
            Phase::Ready if !well => (serves, "degraded"),
            Phase::Ready => (true, "ok"),
            Phase::Stopping => (false, "stopping"),
        };
        pb::GetHealthResponse {
            status: status.to_owned(),
            live: true,
            ready,
            version: self.node.version.to_owned(),
            node_id: self.node.node_id.clone(),
            uptime_ms: self.node.uptime_ms(),
            checks: checks.into_iter().collect(),
        }
    }

    pub(super) fn get_config(&self, _request: pb::GetConfigRequest) -> pb::GetConfigResponse {
        let values = self.node.config.iter().map(|entry| pb::ConfigValue {
            key: entry.key.clone(),
            value: entry.value.clone(),
            source: entry.source.clone(),
        });
        pb::GetConfigResponse { values: values.collect() }
    }

    pub(super) fn get_stats(&self, _request: pb::GetStatsRequest) -> pb::GetStatsResponse {
        let stats = self.engine.stats();
        let health = self.engine.storage_health();
        pb::GetStatsResponse {
            topics: convert::count(stats.topics),
            partitions: convert::count(stats.partitions),
            groups: convert::count(stats.groups),
            records_produced: stats.produced,
            records_consumed: self.totals.consumed.load(Ordering::Relaxed),
            bytes: stats.bytes,
            connections: self.node.connections.load(Ordering::Relaxed),
            disk: Some(storage_checks::disk_message(&health.disk)),
            failed_partitions: convert::count(health.failed.len()),
            offline_partitions: convert::count(health.offline.len()),
        }
    }
}
