//! Messages that are delivered later: add, list, cancel, deliver now.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{
    context::Context,
    output::{self, Failure},
};

#[derive(Debug, Args)]
pub struct ProduceDelayed {
    pub topic: String,
    pub message: String,
    /// Milliseconds from now.
    pub delay_ms: i64,
    #[arg(short, long)]
    pub key: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum ScheduleCommand {
    /// Have a message delivered at a time, or again and again.
    Add(Add),
    /// List what waits, by due time.
    List {
        topic: String,
        #[arg(short = 'n', long, default_value_t = 100)]
        count: usize,
    },
    /// Have a message never delivered (again).
    Cancel { topic: String, id: String },
    /// Deliver a message now.
    Now { topic: String, id: String },
}

#[derive(Debug, Args)]
pub struct Add {
    pub topic: String,
    pub message: String,
    #[arg(short, long)]
    pub key: Option<String>,
    #[command(flatten)]
    pub when: When,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct When {
    /// Milliseconds from now.
    #[arg(long, value_name = "MS")]
    pub delay: Option<i64>,
    /// RFC 3339: 2027-01-01T08:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub at: Option<jiff::Timestamp>,
    /// "[second] minute hour day month weekday", in UTC.
    #[arg(long)]
    pub cron: Option<String>,
}

/// Entries that are asked for at once.
const PAGE: usize = 1_000;

async fn call(context: &Context, rpc: &str, request: &Value) -> Result<Value, Failure> {
    let reply = context.client.call_json(rpc, &request.to_string()).await?;
    serde_json::from_str(&reply).map_err(|e| Failure::Io(e.to_string()))
}

async fn schedule(
    context: &Context,
    topic: &str,
    (message, key): (&str, Option<&str>),
    when: (&str, Value),
) -> Result<(), Failure> {
    let mut record = json!({"value_text": message});
    if let Some(key) = key {
        record["key_text"] = json!(key);
    }
    let mut request = json!({"topic": topic, "record": record});
    request[when.0] = when.1;
    let reply = call(context, "ScheduleMessage", &request).await?;
    show(context, &reply, || line(&reply["schedule"]))
}

fn show(context: &Context, reply: &Value, text: impl FnOnce() -> String) -> Result<(), Failure> {
    if context.json() { output::line(reply) } else { output::line(text()) }
}

/// 64-bit numbers are text in JSON that comes from protobuf.
fn number(value: &Value) -> i64 {
    value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_default()
}

/// Id, due time, and how often.
fn line(schedule: &Value) -> String {
    let ms = number(&schedule["due_ms"]);
    let due = jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |due| due.to_string());
    let cron = schedule["cron"].as_str().filter(|cron| !cron.is_empty());
    let cron = cron.map_or_else(String::new, |cron| format!("  cron {cron}"));
    let bytes = number(&schedule["value_size"]);
    format!("{}  due {due}  {bytes} bytes{cron}", schedule["id"].as_str().unwrap_or_default())
}

pub async fn produce_delayed(context: &Context, args: &ProduceDelayed) -> Result<(), Failure> {
    let when = ("delay_ms", json!(args.delay_ms));
    schedule(context, &args.topic, (&args.message, args.key.as_deref()), when).await
}

pub async fn schedules(context: &Context, command: ScheduleCommand) -> Result<(), Failure> {
    match command {
        ScheduleCommand::Add(args) => {
            let When { delay, at, cron } = args.when;
            let when = match (delay, at) {
                (Some(delay), _) => ("delay_ms", json!(delay)),
                (None, Some(at)) => ("at_ms", json!(at.as_millisecond())),
                (None, None) => ("cron", json!(cron)),
            };
            schedule(context, &args.topic, (&args.message, args.key.as_deref()), when).await
        }
        ScheduleCommand::List { topic, count } => list(context, &topic, count).await,
        ScheduleCommand::Cancel { topic, id } => {
            let reply = call(context, "CancelSchedule", &json!({"topic": topic, "id": id})).await?;
            show(context, &reply, || format!("cancelled {id}"))
        }
        ScheduleCommand::Now { topic, id } => {
            let reply = call(context, "DeliverScheduleNow", &json!({"topic": topic, "id": id})).await?;
            let record = &reply["record"];
            let place = |field: &str| number(&record[field]);
            show(context, &reply, || {
                format!("delivered to {topic}, partition {}, offset {}", place("partition"), place("offset"))
            })
        }
    }
}

async fn list(context: &Context, topic: &str, count: usize) -> Result<(), Failure> {
    let (mut all, mut token) = (Vec::new(), String::new());
    while all.len() < count {
        let size = (count - all.len()).min(PAGE);
        let request = json!({"topic": topic, "page_size": size, "page_token": token});
        let reply = call(context, "ListSchedules", &request).await?;
        all.extend(reply["schedules"].as_array().cloned().unwrap_or_default());
        token = reply["next_page_token"].as_str().unwrap_or_default().to_owned();
        if token.is_empty() {
            break;
        }
    }
    if context.json() {
        return output::line(json!({"schedules": all}));
    }
    all.iter().try_for_each(|schedule| output::line(line(schedule)))
}
