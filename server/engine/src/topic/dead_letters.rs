//! What a topic and its groups say of records that their readers cannot process.

use std::collections::BTreeMap;

use flymq_types::{GroupId, TopicName};

use crate::error::EngineError;
use crate::groups::{DeadLetterOptions, RetryPolicy};

/// From this feature version on every node of a cluster keeps these settings.
pub(super) const POLICIES_FEATURE: u32 = 6;
/// Groups that a topic may have settings of its own for.
const MAX_GROUPS: usize = 200;
/// Redeliveries that may be asked for.
const MAX_RETRIES: u32 = 10_000;
/// The longest first wait, ms.
const MAX_FIRST_DELAY_MS: u32 = 600_000;
/// The longest of all waits, ms: a day.
const MAX_DELAY_MS: u32 = 86_400_000;
/// How much longer each wait may be than the one before, hundredths.
const FACTORS: std::ops::RangeInclusive<u32> = 100..=1_000;

/// How often and when a record that failed is redelivered, and whether it goes to the dead letters then. What is `None` is said
/// elsewhere: for a group by its topic, for a topic by the broker (`dlq.*`), also where that changes later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeadLetterPolicy {
    /// Whether records ever go to the dead letters; else they are redelivered without end.
    pub enabled: Option<bool>,
    /// Redeliveries before that.
    pub max_retries: Option<u32>,
    /// Before the first redelivery, ms.
    pub retry_delay_ms: Option<u32>,
    /// Each wait is so much longer than the one before, hundredths: 200 doubles it.
    pub backoff_percent: Option<u32>,
    /// No wait is longer, ms.
    pub max_retry_delay_ms: Option<u32>,
}

/// All that is kept of it with a topic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeadLetterConfig {
    pub policy: DeadLetterPolicy,
    /// Where they go; `None`: the topic's name with `dlq.topic_suffix` behind it.
    pub topic: Option<TopicName>,
    pub groups: BTreeMap<GroupId, DeadLetterPolicy>,
}

/// A change of it: what is set, and of the groups that are named. A policy that says nothing takes away all that was said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeadLetterChange {
    pub topic: Option<(DeadLetterPolicy, Option<TopicName>)>,
    pub groups: BTreeMap<GroupId, DeadLetterPolicy>,
}

impl DeadLetterPolicy {
    /// What this says, else what `above` says.
    #[must_use]
    pub fn or(self, above: Self) -> Self {
        Self {
            enabled: self.enabled.or(above.enabled),
            max_retries: self.max_retries.or(above.max_retries),
            retry_delay_ms: self.retry_delay_ms.or(above.retry_delay_ms),
            backoff_percent: self.backoff_percent.or(above.backoff_percent),
            max_retry_delay_ms: self.max_retry_delay_ms.or(above.max_retry_delay_ms),
        }
    }

    /// Whether records go to the dead letters, with what the broker says.
    pub fn is_enabled(&self, broker: &DeadLetterOptions) -> bool {
        self.enabled.unwrap_or(broker.enabled)
    }

    /// In force, with what the broker says.
    pub fn resolve(&self, broker: &DeadLetterOptions) -> RetryPolicy {
        let delay_ms = self.retry_delay_ms.unwrap_or(broker.retry_delay_ms);
        RetryPolicy {
            max_retries: self.is_enabled(broker).then(|| self.max_retries.unwrap_or(broker.max_retries)),
            delay_ms,
            backoff_percent: self.backoff_percent.unwrap_or(RetryPolicy::DOUBLED),
            max_delay_ms: self.max_retry_delay_ms.unwrap_or(RetryPolicy::LONGEST_MS),
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn validate(&self) -> Result<(), EngineError> {
        let bounded = |field, value: Option<u32>, low: u32, high: u32| match value {
            Some(value) if !(low..=high).contains(&value) => {
                Err(invalid(field, format!("must be {low} to {high}, not {value}")))
            }
            _ => Ok(()),
        };
        bounded("max_retries", self.max_retries, 0, MAX_RETRIES)?;
        bounded("retry_delay_ms", self.retry_delay_ms, 0, MAX_FIRST_DELAY_MS)?;
        bounded("max_retry_delay_ms", self.max_retry_delay_ms, 1, MAX_DELAY_MS)?;
        if let Some(percent) = self.backoff_percent
            && !FACTORS.contains(&percent)
        {
            let (low, high) = (f64::from(*FACTORS.start()) / 100.0, f64::from(*FACTORS.end()) / 100.0);
            let reason = format!("must be {low} to {high}, not {}", f64::from(percent) / 100.0);
            return Err(invalid("backoff_factor", reason));
        }
        if let (Some(first), Some(most)) = (self.retry_delay_ms, self.max_retry_delay_ms)
            && first > most
        {
            let reason = format!("must be at least retry_delay_ms, which is {first}, not {most}");
            return Err(invalid("max_retry_delay_ms", reason));
        }
        Ok(())
    }
}

impl DeadLetterConfig {
    /// What is said for a group.
    pub fn of(&self, group: &GroupId) -> DeadLetterPolicy {
        self.groups.get(group).copied().unwrap_or_default().or(self.policy)
    }

    /// Whether records of some group may go to the dead letters.
    pub fn is_enabled(&self, broker: &DeadLetterOptions) -> bool {
        self.policy.is_enabled(broker) || self.groups.values().any(|group| group.enabled == Some(true))
    }

    /// Without anything said the same as none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub fn validate(&self) -> Result<(), EngineError> {
        self.policy.validate()?;
        if self.groups.len() > MAX_GROUPS {
            let reason = format!("at most {MAX_GROUPS} groups of a topic, not {}", self.groups.len());
            return Err(invalid("group_dead_letters", reason));
        }
        for policy in self.groups.values() {
            policy.validate()?;
            policy.or(self.policy).validate()?;
        }
        Ok(())
    }

    /// After `change`.
    #[must_use]
    pub fn with(&self, change: &DeadLetterChange) -> Self {
        let mut changed = self.clone();
        if let Some((policy, topic)) = &change.topic {
            let reset = policy.is_empty() && topic.is_none();
            changed.policy = if reset { *policy } else { policy.or(self.policy) };
            changed.topic = if reset { None } else { topic.clone().or_else(|| self.topic.clone()) };
        }
        for (group, policy) in &change.groups {
            if policy.is_empty() {
                changed.groups.remove(group);
            } else {
                let known = self.groups.get(group).copied().unwrap_or_default();
                changed.groups.insert(group.clone(), policy.or(known));
            }
        }
        changed
    }
}

fn invalid(field: &'static str, reason: String) -> EngineError {
    EngineError::InvalidArgument { field, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str) -> GroupId {
        GroupId::new(name).unwrap()
    }

    #[test]
    fn the_group_counts_before_the_topic_and_that_before_the_broker() {
        let broker = DeadLetterOptions::default();
        let mut config = DeadLetterConfig::default();
        let of = |config: &DeadLetterConfig| config.of(&group("g")).resolve(&broker);
        let unsaid = of(&config);
        assert_eq!((unsaid.max_retries, unsaid.delay_ms, unsaid.backoff_percent), (Some(3), 1_000, 200));
        config.policy.max_retries = Some(7);
        config.policy.retry_delay_ms = Some(5);
        let own = DeadLetterPolicy { max_retries: Some(0), backoff_percent: Some(100), ..Default::default() };
        config.groups.insert(group("g"), own);
        let said = of(&config);
        assert_eq!((said.max_retries, said.delay_ms, said.backoff_percent), (Some(0), 5, 100));
        assert_eq!(config.of(&group("other")).resolve(&broker).max_retries, Some(7));
        config.groups.get_mut(&group("g")).unwrap().enabled = Some(false);
        assert_eq!(of(&config).max_retries, None, "without end");
        assert!(config.is_enabled(&broker), "for others");
    }

    #[test]
    fn what_is_beyond_its_bounds_is_refused() {
        let policy = DeadLetterPolicy::default();
        for (field, bad) in [
            ("max_retries", DeadLetterPolicy { max_retries: Some(10_001), ..policy }),
            ("retry_delay_ms", DeadLetterPolicy { retry_delay_ms: Some(600_001), ..policy }),
            ("backoff_factor", DeadLetterPolicy { backoff_percent: Some(99), ..policy }),
            ("backoff_factor", DeadLetterPolicy { backoff_percent: Some(1_001), ..policy }),
            ("max_retry_delay_ms", DeadLetterPolicy { max_retry_delay_ms: Some(0), ..policy }),
            (
                "max_retry_delay_ms",
                DeadLetterPolicy { retry_delay_ms: Some(9), max_retry_delay_ms: Some(8), ..policy },
            ),
        ] {
            let own = DeadLetterConfig { policy: bad, ..Default::default() };
            let groups = BTreeMap::from([(group("g"), bad)]);
            for config in [own, DeadLetterConfig { groups, ..Default::default() }] {
                let refused = config.validate();
                assert!(
                    matches!(&refused, Err(EngineError::InvalidArgument { field: named, .. }) if *named == field),
                    "{config:?}: {refused:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_not_named_stays_and_an_empty_policy_takes_all_away() {
        let set = |policy, topic| DeadLetterChange { topic: Some((policy, topic)), ..Default::default() };
        let retries = DeadLetterPolicy { max_retries: Some(1), ..Default::default() };
        let delay = DeadLetterPolicy { retry_delay_ms: Some(2), ..Default::default() };
        let named = TopicName::new("graves").ok();
        let all = DeadLetterConfig::default().with(&set(retries, None)).with(&set(delay, named.clone()));
        assert_eq!((all.policy, &all.topic), (retries.or(delay), &named));
        assert!(all.with(&set(DeadLetterPolicy::default(), None)).is_empty());
    }

    #[test]
    fn a_group_changes_alone_and_an_empty_policy_goes() {
        let own = DeadLetterPolicy { max_retries: Some(1), ..Default::default() };
        let change = |name: &str, policy| DeadLetterChange {
            topic: None,
            groups: BTreeMap::from([(group(name), policy)]),
        };
        let both = DeadLetterConfig::default().with(&change("a", own)).with(&change("b", own));
        assert_eq!(both.groups.len(), 2);
        let one = both.with(&change("a", DeadLetterPolicy::default()));
        assert_eq!(one.groups.keys().map(GroupId::as_str).collect::<Vec<_>>(), ["b"]);
        let none = one.with(&change("b", DeadLetterPolicy::default()));
        assert!(none.is_empty());
    }
}
