//! Commands of features that the server may not have yet: each is one rpc, and shows what the server says of it.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{
    context::Context,
    output::{self, Failure},
};

#[derive(Debug, Args)]
pub struct ProduceTtl {
    pub topic: String,
    pub message: String,
    pub ttl_ms: i64,
}

#[derive(Debug, Subcommand)]
pub enum DlqCommand {
    /// List dead letters.
    List {
        topic: String,
        #[arg(short = 'n', long, default_value_t = 10)]
        count: i32,
    },
    /// Count dead letters by reason.
    Stats { topic: String },
    /// Put one, those with a text in them, or all back into their topic.
    Replay {
        topic: String,
        #[arg(required_unless_present_any = ["all", "filter"], conflicts_with_all = ["all", "filter"])]
        id: Option<String>,
        #[arg(long, conflicts_with = "filter")]
        all: bool,
        /// Text in value, key, error, reason or group.
        #[arg(long)]
        filter: Option<String>,
    },
    /// Delete all.
    Purge { topic: String },
    /// Show or change how often and when records that fail are redelivered, and where they go then.
    Policy(super::dlq::Policy),
}

#[derive(Debug, Subcommand)]
pub enum UsersCommand {
    /// List users.
    List,
    /// Create a user.
    Create {
        name: String,
        password: String,
        #[arg(long, value_delimiter = ',')]
        roles: Vec<String>,
    },
    /// Change a user.
    Update {
        name: String,
        #[arg(long, value_delimiter = ',')]
        roles: Option<Vec<String>>,
        #[arg(long)]
        enabled: Option<bool>,
    },
    /// Delete a user.
    Delete { name: String },
}

#[derive(Debug, Subcommand)]
pub enum RolesCommand {
    /// List roles.
    List,
    /// Show a role.
    Get { name: String },
}

#[derive(Debug, Subcommand)]
pub enum AclCommand {
    /// List access lists.
    List,
    /// Set a topic's access list.
    Set {
        topic: String,
        #[arg(long, value_delimiter = ',')]
        users: Vec<String>,
        #[arg(long, value_delimiter = ',')]
        roles: Vec<String>,
        #[arg(long)]
        public: bool,
    },
    /// Delete a topic's access list.
    Delete { topic: String },
}

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// The newest events.
    List,
    /// Events by user, type and time.
    Query {
        #[arg(long)]
        user: Option<String>,
        #[arg(long = "type", value_delimiter = ',')]
        types: Vec<String>,
        /// RFC 3339.
        #[arg(long)]
        start: Option<jiff::Timestamp>,
    },
    /// Write events to a file.
    Export {
        #[arg(long, default_value = "csv", value_parser = ["csv", "json"])]
        format: String,
        #[arg(long = "output", value_name = "FILE")]
        file: std::path::PathBuf,
    },
}

async fn show(context: &Context, rpc: &str, request: Value) -> Result<(), Failure> {
    let reply = context.client.call_json(rpc, &request.to_string()).await?;
    if context.json() {
        return output::line(reply);
    }
    let document: Value = serde_json::from_str(&reply).map_err(|e| Failure::Io(e.to_string()))?;
    output::line(format!("{document:#}"))
}

pub async fn produce_ttl(context: &Context, args: &ProduceTtl) -> Result<(), Failure> {
    let records = json!([{"value_text": args.message}]);
    show(context, "Produce", json!({"topic": args.topic, "records": records, "ttl_ms": args.ttl_ms})).await
}

pub async fn dlq(context: &Context, command: DlqCommand) -> Result<(), Failure> {
    match command {
        DlqCommand::List { topic, count } => {
            show(context, "ListDeadLetters", json!({"topic": topic, "max_messages": count, "text": true}))
                .await
        }
        DlqCommand::Stats { topic } => show(context, "GetDeadLetterStats", json!({"topic": topic})).await,
        DlqCommand::Replay { topic, id, all, filter } => {
            let ids: Vec<String> = id.into_iter().collect();
            let filter = filter.unwrap_or_default();
            let request = json!({"topic": topic, "ids": ids, "all": all, "filter": filter});
            show(context, "ReplayDeadLetters", request).await
        }
        DlqCommand::Policy(args) => super::dlq::policy(context, args).await,
        DlqCommand::Purge { topic } => show(context, "PurgeDeadLetters", json!({"topic": topic})).await,
    }
}

pub async fn users(context: &Context, command: UsersCommand) -> Result<(), Failure> {
    match command {
        UsersCommand::List => show(context, "ListUsers", json!({})).await,
        UsersCommand::Create { name, password, roles } => {
            show(context, "CreateUser", json!({"name": name, "password": password, "roles": roles})).await
        }
        UsersCommand::Update { name, roles, enabled } => {
            let mut request = json!({"name": name});
            if let Some(roles) = roles {
                request["roles"] = json!({"names": roles});
            }
            if let Some(enabled) = enabled {
                request["enabled"] = json!(enabled);
            }
            show(context, "UpdateUser", request).await
        }
        UsersCommand::Delete { name } => show(context, "DeleteUser", json!({"name": name})).await,
    }
}

pub async fn roles(context: &Context, command: RolesCommand) -> Result<(), Failure> {
    match command {
        RolesCommand::List => show(context, "ListRoles", json!({})).await,
        RolesCommand::Get { name } => show(context, "GetRole", json!({"name": name})).await,
    }
}

pub async fn acl(context: &Context, command: AclCommand) -> Result<(), Failure> {
    match command {
        AclCommand::List => show(context, "ListAcls", json!({})).await,
        AclCommand::Set { topic, users, roles, public } => {
            show(context, "SetAcl", json!({"topic": topic, "users": users, "roles": roles, "public": public}))
                .await
        }
        AclCommand::Delete { topic } => show(context, "DeleteAcl", json!({"topic": topic})).await,
    }
}

pub async fn audit(context: &Context, command: AuditCommand) -> Result<(), Failure> {
    match command {
        AuditCommand::List => show(context, "QueryAudit", json!({})).await,
        AuditCommand::Query { user, types, start } => {
            let from_ms = start.map_or(0, jiff::Timestamp::as_millisecond);
            let filter = json!({"user": user.unwrap_or_default(), "types": types, "from_ms": from_ms});
            show(context, "QueryAudit", json!({"filter": filter})).await
        }
        AuditCommand::Export { format, file } => {
            let request =
                flymq_client::pb::ExportAuditRequest { format: format.clone(), ..Default::default() };
            let reply: flymq_client::pb::ExportAuditResponse =
                context.client.call("ExportAudit", &request).await?;
            let named = |e: std::io::Error| Failure::Io(format!("{}: {e}", file.display()));
            std::fs::write(&file, &reply.data).map_err(named)?;
            if context.json() {
                return output::line(json!({"file": file, "format": format, "bytes": reply.data.len()}));
            }
            output::line(format!("wrote {}", file.display()))
        }
    }
}
