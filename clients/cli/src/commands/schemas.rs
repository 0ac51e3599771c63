//! The schema registry: register, list, get, delete, validate, compatibility, bind, produce.

use std::fs;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{
    context::Context,
    output::{self, Failure},
};

const MODES: [&str; 7] =
    ["none", "backward", "forward", "full", "backward-transitive", "forward-transitive", "full-transitive"];

#[derive(Debug, Subcommand)]
pub enum SchemaCommand {
    /// Register a version: json, avro or protobuf.
    Register(Register),
    /// Store a message that must match a schema.
    Produce { topic: String, name: String, message: String },
    /// List schemas.
    List {
        /// Only this one.
        name: Option<String>,
    },
    /// Show a schema's text.
    Get {
        #[arg(required_unless_present = "id")]
        name: Option<String>,
        /// The latest unless said.
        #[arg(long)]
        schema_version: Option<u32>,
        /// By the number that framed values carry.
        #[arg(long, conflicts_with_all = ["name", "schema_version"])]
        id: Option<u32>,
    },
    /// Delete a version, or all; by their id they are still found.
    Delete {
        name: String,
        #[arg(long)]
        schema_version: Option<u32>,
        /// Forget what is deleted already.
        #[arg(long)]
        permanent: bool,
    },
    /// Check a message without storing it.
    Validate {
        name: String,
        message: String,
        #[arg(long)]
        schema_version: Option<u32>,
    },
    /// Set what new versions have to keep.
    Compatibility {
        #[arg(value_parser = MODES)]
        mode: String,
        /// Of all that have none of their own unless said.
        name: Option<String>,
    },
    /// Have every message of a topic checked; without a schema: none any more.
    Bind(Bind),
}

#[derive(Debug, Args)]
pub struct Register {
    pub name: String,
    #[arg(value_parser = ["json", "avro", "protobuf"])]
    pub kind: String,
    /// The text, or @FILE.
    pub schema: String,
    /// What new versions of a new schema have to keep.
    #[arg(long, value_parser = MODES)]
    pub compatibility: Option<String>,
    /// A schema that the text refers to: NAME=SCHEMA:VERSION.
    #[arg(long, value_name = "NAME=SCHEMA:VERSION", value_parser = reference)]
    pub reference: Vec<Value>,
}

#[derive(Debug, Args)]
pub struct Bind {
    pub topic: String,
    /// The schema of values.
    pub name: Option<String>,
    /// The schema of keys.
    #[arg(long)]
    pub key: Option<String>,
    /// How the schema of a value is found where none is named.
    #[arg(long, value_parser = ["topic-name", "record-name", "topic-record-name"], conflicts_with = "name")]
    pub strategy: Option<String>,
    /// Likewise of a key.
    #[arg(long, value_parser = ["topic-name", "record-name", "topic-record-name"], conflicts_with = "key")]
    pub key_strategy: Option<String>,
    /// What becomes of a message that does not match; the server's setting unless said.
    #[arg(long, value_parser = ["strict", "warn", "off"])]
    pub mode: Option<String>,
}

/// `address.json=address:1`
fn reference(text: &str) -> Result<Value, String> {
    let parts = text.split_once('=').and_then(|(name, to)| Some((name, to.rsplit_once(':')?)));
    let (name, (subject, version)) = parts.ok_or("it is not like NAME=SCHEMA:VERSION")?;
    let version: u32 = version.parse().map_err(|_| format!("{version} is no version"))?;
    Ok(json!({"name": name, "subject": subject, "version": version}))
}

/// The name of a value of an enum in proto.
fn named(prefix: &str, word: &str) -> String {
    format!("{prefix}_{}", word.to_uppercase().replace('-', "_"))
}

async fn call(context: &Context, rpc: &str, request: &Value) -> Result<Value, Failure> {
    let reply = context.client.call_json(rpc, &request.to_string()).await?;
    serde_json::from_str(&reply).map_err(|e| Failure::Io(e.to_string()))
}

fn show(context: &Context, reply: &Value, text: impl FnOnce() -> String) -> Result<(), Failure> {
    if context.json() { output::line(reply) } else { output::line(text()) }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn line(schema: &Value) -> String {
    let kind = text(schema, "type").trim_start_matches("SCHEMA_TYPE_").to_lowercase();
    let rule = text(schema, "compatibility").trim_start_matches("COMPATIBILITY_").to_lowercase();
    format!("{}  {kind}  id {}  {rule}", text(schema, "id"), schema["global_id"])
}

pub async fn run(context: &Context, command: SchemaCommand) -> Result<(), Failure> {
    match command {
        SchemaCommand::Register(args) => register(context, args).await,
        SchemaCommand::Produce { topic, name, message } => {
            let request = json!({"topic": topic, "records": [{"value_text": message}], "schema": name});
            let reply = call(context, "Produce", &request).await?;
            show(context, &reply, || {
                let stored = &reply["records"][0];
                format!(
                    "{topic}, partition {}, offset {}",
                    number(&stored["partition"]),
                    number(&stored["offset"])
                )
            })
        }
        SchemaCommand::List { name } => {
            let reply = call(context, "ListSchemas", &json!({"name": name.unwrap_or_default()})).await?;
            let schemas = reply["schemas"].as_array().cloned().unwrap_or_default();
            if context.json() {
                return output::line(&reply);
            }
            schemas.iter().try_for_each(|schema| output::line(line(schema)))
        }
        SchemaCommand::Get { name, schema_version: version, id } => {
            let request = json!({"name": name.unwrap_or_default(), "version": version.unwrap_or(0), "global_id": id.unwrap_or(0)});
            let reply = call(context, "GetSchema", &request).await?;
            show(context, &reply, || text(&reply["schema"], "definition").to_owned())
        }
        SchemaCommand::Delete { name, schema_version: version, permanent } => {
            let request = json!({"name": name, "version": version.unwrap_or(0), "permanent": permanent});
            let reply = call(context, "DeleteSchema", &request).await?;
            show(context, &reply, || format!("deleted {name}, versions {}", reply["versions"]))
        }
        SchemaCommand::Validate { name, message, schema_version: version } => {
            validate(context, &name, &message, version).await
        }
        SchemaCommand::Compatibility { mode, name } => {
            let rule = named("COMPATIBILITY", &mode);
            let request = json!({"name": name.as_deref().unwrap_or_default(), "compatibility": rule});
            let reply = call(context, "SetCompatibility", &request).await?;
            show(context, &reply, || format!("{}: {mode}", name.as_deref().unwrap_or("all schemas")))
        }
        SchemaCommand::Bind(args) => bind(context, args).await,
    }
}

/// 64-bit numbers are text in JSON that comes from protobuf, and zeros may be missing.
fn number(value: &Value) -> i64 {
    value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0)
}

async fn register(context: &Context, args: Register) -> Result<(), Failure> {
    let definition = match args.schema.strip_prefix('@') {
        Some(path) => fs::read_to_string(path).map_err(|error| Failure::Io(format!("{path}: {error}")))?,
        None => args.schema,
    };
    let kind = named("SCHEMA_TYPE", &args.kind);
    let mut request =
        json!({"name": args.name, "type": kind, "definition": definition, "references": args.reference});
    if let Some(mode) = args.compatibility {
        request["compatibility"] = json!(named("COMPATIBILITY", &mode));
    }
    let reply = call(context, "RegisterSchema", &request).await?;
    show(context, &reply, || line(&reply["schema"]))
}

async fn validate(context: &Context, name: &str, message: &str, version: Option<u32>) -> Result<(), Failure> {
    let request = json!({"name": name, "version": version.unwrap_or(0), "value_text": message});
    let reply = call(context, "ValidateSchema", &request).await?;
    if context.json() {
        return output::line(&reply);
    }
    if reply["valid"].as_bool().unwrap_or(false) {
        return output::line("valid");
    }
    let errors = reply["errors"].as_array().cloned().unwrap_or_default();
    let errors: Vec<_> = errors.iter().filter_map(Value::as_str).collect();
    Err(Failure::Io(format!("the message does not match {name}: {}", errors.join("; "))))
}

async fn bind(context: &Context, args: Bind) -> Result<(), Failure> {
    let strategy =
        |word: Option<String>| word.map_or(json!(0), |word| json!(named("SUBJECT_STRATEGY", &word)));
    let bound =
        args.name.is_some() || args.key.is_some() || args.strategy.is_some() || args.key_strategy.is_some();
    let request = json!({
        "topic": args.topic,
        "name": args.name.unwrap_or_default(),
        "key_name": args.key.unwrap_or_default(),
        "strategy": strategy(args.strategy),
        "key_strategy": strategy(args.key_strategy),
        "mode": args.mode.map_or(json!(0), |mode| json!(named("VALIDATION_MODE", &mode))),
    });
    let reply = call(context, "BindSchema", &request).await?;
    show(context, &reply, || {
        if bound { format!("{} is checked", args.topic) } else { format!("{} is not checked", args.topic) }
    })
}
