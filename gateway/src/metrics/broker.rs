//! Figures asked of the broker at the time of the scrape: topics and groups that are gone leave no series behind.

use std::sync::Arc;

use flymq_api::{Broker, BrokerError, CallContext, Door, Request, Response};
use flymq_proto::pb;

use super::{text::Text, topics};

const DISK_STATE: &str = "flymq_disk_state";
const LAG: &str = "flymq_consumer_group_lag";
const LAG_SECONDS: &str = "flymq_consumer_group_lag_seconds";
const MEMBERS: &str = "flymq_consumer_group_members";
const DROPPED: &str = "flymq_metrics_series_dropped";

/// Adds the families of topics and groups; at most `max_series` of each, so that labels stay bounded.
pub(crate) async fn render(text: &mut Text, broker: &Arc<dyn Broker>, max_series: usize) {
    let asked = Asked { broker: broker.clone() };
    storage(text, &asked).await;
    let mut dropped = 0;
    topics::render(text, &asked.topics().await, max_series, &mut dropped);
    groups(text, &asked, max_series, &mut dropped).await;
    text.family(DROPPED, "gauge", "Series left out of this scrape because there are too many.");
    text.sample(DROPPED, &[], dropped);
}

/// Lag and members.
async fn groups(text: &mut Text, asked: &Asked, max_series: usize, dropped: &mut usize) {
    let groups = asked.groups().await;
    let lags = asked.lags(&groups).await;
    let lags = bounded(&lags, max_series, dropped);
    let mut each = |name, help, value: fn(&pb::PartitionLag) -> f64| {
        text.family(name, "gauge", help);
        for (group, lag) in lags {
            let partition = lag.partition.to_string();
            let labels = [("group", group.as_str()), ("topic", &lag.topic), ("partition", &partition)];
            text.sample(name, &labels, value(lag));
        }
    };
    each(LAG, "Records a group has not committed yet, by group, topic and partition.", |lag| lag.lag as f64);
    each(LAG_SECONDS, "Age of the oldest record that a group has not committed yet; 0 without any.", |lag| {
        lag.lag_ms as f64 / 1_000.0
    });
    text.family(MEMBERS, "gauge", "Members of a group, by the group's state.");
    for group in bounded(&groups, max_series, dropped) {
        let state = match group.state() {
            pb::GroupState::Stable => "stable",
            pb::GroupState::Rebalancing => "rebalancing",
            pb::GroupState::Empty | pb::GroupState::Unspecified => "empty",
        };
        text.sample(MEMBERS, &[("group", &group.group), ("state", state)], group.members);
    }
}

/// The data disk and what it did to partitions.
async fn storage(text: &mut Text, asked: &Asked) {
    let Ok(Response::GetStats(stats)) = asked.call(pb::GetStatsRequest {}.into()).await else { return };
    let disk = stats.disk.unwrap_or_default();
    let state = disk.state();
    for (name, kind, help, value) in [
        ("flymq_disk_free_bytes", "gauge", "Bytes free on the data disk.", disk.free_bytes),
        ("flymq_disk_size_bytes", "gauge", "Bytes of the data disk.", disk.total_bytes),
        ("flymq_disk_min_free_bytes", "gauge", "Records are refused when less is free.", disk.min_free_bytes),
        (
            "flymq_disk_reserve_bytes",
            "gauge",
            "Blocks held for commits and deletions on a full disk; 0 while given up.",
            disk.reserve_bytes,
        ),
        ("flymq_disk_full_errors_total", "counter", "Times the data disk was found full.", disk.full_errors),
        (
            "flymq_disk_read_only_errors_total",
            "counter",
            "Times the data disk was found read-only.",
            disk.read_only_errors,
        ),
        (
            "flymq_partitions_failed",
            "gauge",
            "Partitions closed for records until a restart, since a write or sync failed.",
            u64::try_from(stats.failed_partitions).unwrap_or(0),
        ),
        (
            "flymq_partitions_offline",
            "gauge",
            "Partitions that could not be opened.",
            u64::try_from(stats.offline_partitions).unwrap_or(0),
        ),
    ] {
        text.family(name, kind, help);
        text.sample(name, &[], value);
    }
    text.family(DISK_STATE, "gauge", "1 for the state that the data disk is in.");
    for (name, one) in [
        ("ok", pb::DiskState::Ok),
        ("low", pb::DiskState::Low),
        ("full", pb::DiskState::Full),
        ("read_only", pb::DiskState::ReadOnly),
    ] {
        text.sample(DISK_STATE, &[("state", name)], u8::from(state == one));
    }
}

pub(super) fn bounded<'a, T>(all: &'a [T], most: usize, dropped: &mut usize) -> &'a [T] {
    *dropped += all.len().saturating_sub(most);
    &all[..all.len().min(most)]
}

struct Asked {
    broker: Arc<dyn Broker>,
}

impl Asked {
    async fn call(&self, request: Request) -> Result<Response, BrokerError> {
        let answer = self.broker.call(CallContext::new(Door::InProcess, "metrics"), request).await;
        answer.inspect_err(|error| tracing::debug!(%error, "a scrape could not ask the broker"))
    }

    async fn topics(&self) -> Vec<pb::Topic> {
        let Ok(Response::ListTopics(list)) = self.call(pb::ListTopicsRequest::default().into()).await else {
            return Vec::new();
        };
        let mut topics = Vec::with_capacity(list.topics.len());
        for summary in list.topics {
            let request = pb::GetTopicRequest { name: summary.name };
            if let Ok(Response::GetTopic(found)) = self.call(request.into()).await {
                topics.extend(found.topic);
            }
        }
        topics
    }

    async fn groups(&self) -> Vec<pb::GroupSummary> {
        match self.call(pb::ListGroupsRequest::default().into()).await {
            Ok(Response::ListGroups(list)) => list.groups,
            _ => Vec::new(),
        }
    }

    async fn lags(&self, groups: &[pb::GroupSummary]) -> Vec<(String, pb::PartitionLag)> {
        let mut lags = Vec::new();
        for summary in groups {
            let request = pb::GetLagRequest { group: summary.group.clone(), ..Default::default() };
            if let Ok(Response::GetLag(found)) = self.call(request.into()).await {
                lags.extend(found.partitions.into_iter().map(|lag| (summary.group.clone(), lag)));
            }
        }
        lags
    }
}
