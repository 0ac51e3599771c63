//! Dead-letter policies of topics and groups.

use std::collections::HashMap;

use flymq_engine::{DeadLetterChange, DeadLetterOptions, DeadLetterPolicy, RetryPolicy, TopicInfo};
use flymq_proto::pb;
use flymq_types::TopicName;

use super::{group, invalid};
use crate::BrokerError;

/// What options say of it; nothing where they say nothing.
pub(super) fn change(options: &pb::TopicOptions) -> Result<DeadLetterChange, BrokerError> {
    let mut change = DeadLetterChange::default();
    if let Some(own) = &options.dead_letters {
        let name = own.topic.as_deref().map(TopicName::new).transpose();
        let name = name.map_err(|why| invalid("options.dead_letters.topic", why))?;
        change.topic = Some((policy("options.dead_letters", own)?, name));
    }
    for (name, own) in &options.group_dead_letters {
        let field = "options.group_dead_letters";
        if own.topic.is_some() {
            return Err(invalid(field, "a group has the dead-letter topic of its topic").with("group", name));
        }
        let name = group(name).map_err(|error| invalid(field, error.message).with("group", name))?;
        change.groups.insert(name, policy(field, own)?);
    }
    Ok(change)
}

fn policy(field: &str, policy: &pb::DeadLetterPolicy) -> Result<DeadLetterPolicy, BrokerError> {
    Ok(DeadLetterPolicy {
        enabled: policy.enabled,
        max_retries: policy.max_retries,
        retry_delay_ms: policy.retry_delay_ms,
        backoff_percent: policy.backoff_factor.map(|factor| percent(field, factor)).transpose()?,
        max_retry_delay_ms: policy.max_retry_delay_ms,
    })
}

/// In hundredths; what is not within the engine's bounds is refused there.
fn percent(field: &str, factor: f64) -> Result<u32, BrokerError> {
    if !(1.0..=10.0).contains(&factor) {
        return Err(invalid(&format!("{field}.backoff_factor"), format!("must be 1 to 10, not {factor}")));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 10")]
    Ok((factor * 100.0).round() as u32)
}

/// In force for a topic.
pub(super) fn in_force(topic: &TopicInfo, broker: &DeadLetterOptions) -> pb::DeadLetterPolicy {
    let config = topic.config.dead_letters.as_deref();
    let policy = config.map(|config| config.policy).unwrap_or_default();
    let RetryPolicy { delay_ms, backoff_percent, max_delay_ms, .. } = policy.resolve(broker);
    pb::DeadLetterPolicy {
        enabled: Some(policy.is_enabled(broker)),
        max_retries: Some(policy.max_retries.unwrap_or(broker.max_retries)),
        retry_delay_ms: Some(delay_ms),
        backoff_factor: Some(f64::from(backoff_percent) / 100.0),
        max_retry_delay_ms: Some(max_delay_ms),
        topic: Some(broker.topic_of(&topic.name, config)),
    }
}

/// What groups say themselves.
pub(super) fn of_groups(topic: &TopicInfo) -> HashMap<String, pb::DeadLetterPolicy> {
    let said = topic.config.dead_letters.iter().flat_map(|config| &config.groups);
    said.map(|(group, policy)| (group.to_string(), message(policy))).collect()
}

fn message(policy: &DeadLetterPolicy) -> pb::DeadLetterPolicy {
    pb::DeadLetterPolicy {
        enabled: policy.enabled,
        max_retries: policy.max_retries,
        retry_delay_ms: policy.retry_delay_ms,
        backoff_factor: policy.backoff_percent.map(|percent| f64::from(percent) / 100.0),
        max_retry_delay_ms: policy.max_retry_delay_ms,
        topic: None,
    }
}
