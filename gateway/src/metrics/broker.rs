//! Figures asked of the broker at the time of the scrape: topics and groups that are gone leave no series behind.

use std::sync::Arc;

use flymq_api::{Broker, BrokerError, CallContext, Door, Request, Response};
use flymq_proto::pb;

use super::text::Text;

const MESSAGES: &str = "flymq_topic_messages_total";
const LAG: &str = "flymq_consumer_group_lag";
const DROPPED: &str = "flymq_metrics_series_dropped";

/// Adds the families of topics and groups; at most `max_series` of each, so that labels stay bounded.
pub(crate) async fn render(text: &mut Text, broker: &Arc<dyn Broker>, max_series: usize) {
    let asked = Asked { broker: broker.clone() };
    text.family(MESSAGES, "counter", "Records ever appended to a topic and readable, by topic.");
    let topics = asked.topics().await;
    let mut dropped = 0;
    for (topic, messages) in bounded(&topics, max_series, &mut dropped) {
        text.sample(MESSAGES, &[("topic", topic)], messages);
    }
    text.family(LAG, "gauge", "Records a group has not committed yet, by group, topic and partition.");
    let lags = asked.lags().await;
    for (group, lag) in bounded(&lags, max_series, &mut dropped) {
        let partition = lag.partition.to_string();
        let labels = [("group", group.as_str()), ("topic", &lag.topic), ("partition", &partition)];
        text.sample(LAG, &labels, lag.lag);
    }
    text.family(DROPPED, "gauge", "Series left out of this scrape because there are too many.");
    text.sample(DROPPED, &[], dropped);
}

fn bounded<'a, T>(all: &'a [T], most: usize, dropped: &mut usize) -> &'a [T] {
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

    /// Name and number of records ever readable.
    async fn topics(&self) -> Vec<(String, u64)> {
        let Ok(Response::ListTopics(list)) = self.call(pb::ListTopicsRequest::default().into()).await else {
            return Vec::new();
        };
        let mut topics = Vec::with_capacity(list.topics.len());
        for summary in list.topics {
            let request = pb::GetTopicRequest { name: summary.name.clone() };
            if let Ok(Response::GetTopic(found)) = self.call(request.into()).await {
                let partitions = found.topic.unwrap_or_default().partitions;
                topics.push((summary.name, partitions.iter().map(|p| p.high_watermark).sum()));
            }
        }
        topics
    }

    async fn lags(&self) -> Vec<(String, pb::PartitionLag)> {
        let Ok(Response::ListGroups(list)) = self.call(pb::ListGroupsRequest::default().into()).await else {
            return Vec::new();
        };
        let mut lags = Vec::new();
        for summary in list.groups {
            let request = pb::GetLagRequest { group: summary.group.clone(), ..Default::default() };
            if let Ok(Response::GetLag(found)) = self.call(request.into()).await {
                lags.extend(found.partitions.into_iter().map(|lag| (summary.group.clone(), lag)));
            }
        }
        lags
    }
}
