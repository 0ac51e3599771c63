//! `dlq policy`: how often and when records that fail are redelivered, and where they go then.

use clap::Args;
use flymq_client::pb;
use serde_json::json;

use crate::{
    context::Context,
    output::{self, Failure},
};

#[derive(Debug, Args)]
pub struct Policy {
    pub topic: String,
    /// For this group alone, before what the topic says.
    #[arg(long)]
    pub group: Option<String>,
    /// Whether records that keep failing become dead letters; else they are redelivered without end.
    #[arg(long, value_name = "true|false")]
    pub enabled: Option<bool>,
    /// Redeliveries before that.
    #[arg(long)]
    pub max_retries: Option<u32>,
    /// Milliseconds before the first redelivery.
    #[arg(long)]
    pub retry_delay_ms: Option<u32>,
    /// Each wait is so many times the one before, 1 to 10.
    #[arg(long)]
    pub backoff_factor: Option<f64>,
    /// No wait is longer, milliseconds.
    #[arg(long)]
    pub max_retry_delay_ms: Option<u32>,
    /// The topic that dead letters go to.
    #[arg(long, value_name = "TOPIC", conflicts_with = "group")]
    pub to: Option<String>,
    /// Take away all that was said for the topic, or for the group.
    #[arg(long, conflicts_with_all = ["enabled", "max_retries", "retry_delay_ms", "backoff_factor", "max_retry_delay_ms", "to"])]
    pub reset: bool,
}

/// Changes what is named; shows what is in force then.
pub async fn policy(context: &Context, args: Policy) -> Result<(), Failure> {
    let policy = pb::DeadLetterPolicy {
        enabled: args.enabled,
        max_retries: args.max_retries,
        retry_delay_ms: args.retry_delay_ms,
        backoff_factor: args.backoff_factor,
        max_retry_delay_ms: args.max_retry_delay_ms,
        topic: args.to,
    };
    let topic = if args.reset || policy != pb::DeadLetterPolicy::default() {
        context.client.set_dead_letter_policy(&args.topic, args.group.as_deref(), policy).await?
    } else {
        context.client.topic(&args.topic).await?
    };
    let options = topic.options.unwrap_or_default();
    let own = options.dead_letters.unwrap_or_default();
    if context.json() {
        let groups = options.group_dead_letters.iter().map(|(name, policy)| (name.clone(), document(policy)));
        let groups: serde_json::Map<_, _> = groups.collect();
        return output::line(json!({"topic": args.topic, "policy": document(&own), "groups": groups}));
    }
    let mut groups: Vec<_> = options.group_dead_letters.iter().collect();
    groups.sort_unstable_by_key(|(name, _)| *name);
    let rows = groups.into_iter().map(|(name, policy)| row(name, policy));
    let rows = std::iter::once(row("(all others)", &own)).chain(rows).collect();
    output::line(format!("Dead letters of {} go to {}.", args.topic, own.topic.unwrap_or_default()))?;
    output::table(&["GROUP", "ENABLED", "RETRIES", "FIRST DELAY", "FACTOR", "LONGEST DELAY"], rows, "")
}

/// For people, in one line.
pub fn summary(policy: &pb::DeadLetterPolicy) -> String {
    if policy.enabled == Some(false) {
        return "none: redelivered without end".to_owned();
    }
    let (retries, there) = (policy.max_retries.unwrap_or_default(), policy.topic.as_deref().unwrap_or("-"));
    format!("after {retries} retries to {there}")
}

/// What a group does not say is as for all others: `-`.
fn row(name: &str, policy: &pb::DeadLetterPolicy) -> Vec<String> {
    let number =
        |value: Option<u32>, unit: &str| value.map_or("-".to_owned(), |value| format!("{value}{unit}"));
    vec![
        name.to_owned(),
        policy.enabled.map_or("-".to_owned(), |on| on.to_string()),
        number(policy.max_retries, ""),
        number(policy.retry_delay_ms, " ms"),
        policy.backoff_factor.map_or("-".to_owned(), |factor| factor.to_string()),
        number(policy.max_retry_delay_ms, " ms"),
    ]
}

fn document(policy: &pb::DeadLetterPolicy) -> serde_json::Value {
    json!({
        "enabled": policy.enabled,
        "max_retries": policy.max_retries,
        "retry_delay_ms": policy.retry_delay_ms,
        "backoff_factor": policy.backoff_factor,
        "max_retry_delay_ms": policy.max_retry_delay_ms,
        "topic": policy.topic,
    })
}
