//! The server itself.

use std::sync::atomic::Ordering;

use flymq_proto::pb;

use super::{EngineBroker, storage_checks};
use crate::{Phase, convert};

impl EngineBroker {
    pub(super) fn get_health(&self, _request: pb::GetHealthRequest) -> pb::GetHealthResponse {
        let (checks, well) = storage_checks::checks(&self.engine.storage_health());
        let (ready, status) = match self.node.phase() {
            Phase::Starting => (false, "starting"),
            Phase::Ready if !well => (true, "degraded"),
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
