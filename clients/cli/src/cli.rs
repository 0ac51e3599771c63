//! What can be typed.

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{bench::BenchCommand, commands};

/// FlyMQ from a shell.
#[derive(Debug, Parser)]
#[command(name = "flymq-cli", version, propagate_version = true, max_term_width = 110)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Brokers, `host:port`, several with commas; `grpc://host:port` for gRPC.
    #[arg(long, global = true, env = "FLYMQ_ADDR", default_value = "localhost:9092", visible_aliases = ["servers", "addr"])]
    pub server: String,
    /// User name.
    #[arg(long, global = true, env = "FLYMQ_USERNAME")]
    pub username: Option<String>,
    /// Password.
    #[arg(long, global = true, env = "FLYMQ_PASSWORD", hide_env_values = true)]
    pub password: Option<String>,
    /// `table` for people, `json` for machines.
    // Not `--output`: that is the file of `audit export`, and a global option stands beside those of every command.
    #[arg(short, long = "output-format", global = true, value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// Seconds a request may take, retries included.
    #[arg(long, global = true, default_value_t = 30)]
    pub timeout: u64,
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    Json,
}

/// The commands; both spellings (`topic create`, `create`) are one.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a topic.
    Create(commands::topics::Create),
    /// Delete a topic and its data.
    Delete(commands::topics::Name),
    /// List topics.
    Topics,
    /// Show a topic: settings, watermarks, segments.
    Info(commands::topics::Name),
    /// Topics, noun first: create, delete, list, info.
    #[command(subcommand)]
    Topic(commands::topics::TopicCommand),
    /// Look into a data directory without a broker, or beside one: inspect, verify.
    #[command(subcommand)]
    Log(commands::log::LogCommand),
    /// The indexes of logs: stats, rebuild.
    #[command(subcommand)]
    Index(commands::index::IndexCommand),
    /// Partitions: health.
    #[command(subcommand)]
    Partition(commands::partitions::PartitionCommand),
    /// Store a message, lines of standard input, or lines of a file.
    Produce(commands::produce::Produce),
    /// Read messages that are there.
    Consume(commands::consume::Consume),
    /// Read messages as they come, until Ctrl-C.
    Subscribe(commands::subscribe::Subscribe),
    /// Take messages one by one, however many readers there are, and answer for each: accept, nack, reject or release.
    Queue(commands::queue::Queue),
    /// Messages that are read together or not at all: `txn TOPIC MESSAGES`, or begin, produce, commit, abort.
    Txn(commands::txn::Txn),
    /// Consumer groups.
    #[command(subcommand, visible_alias = "group")]
    Groups(commands::groups::GroupsCommand),
    /// The cluster: status, members, join, remove, drain, reassign, balance, token.
    Cluster(commands::cluster::Cluster),
    /// Whether the server lives and serves.
    Health(commands::health::Health),
    /// Who the server takes you for.
    Whoami,
    /// Log in and show the roles.
    Auth,
    /// What the admin API offers.
    Admin(commands::admin::Admin),
    /// Store a message that becomes visible later.
    ProduceDelayed(commands::schedules::ProduceDelayed),
    /// Messages that are delivered later.
    #[command(subcommand, alias = "schedules")]
    Schedule(commands::schedules::ScheduleCommand),
    /// Store a message that expires.
    ProduceTtl(commands::later::ProduceTtl),
    /// Dead letters.
    #[command(subcommand)]
    Dlq(commands::later::DlqCommand),
    /// Schemas.
    #[command(subcommand)]
    Schema(commands::schemas::SchemaCommand),
    /// Users.
    #[command(subcommand)]
    Users(commands::later::UsersCommand),
    /// Roles.
    #[command(subcommand)]
    Roles(commands::later::RolesCommand),
    /// Access lists.
    #[command(subcommand)]
    Acl(commands::later::AclCommand),
    /// The audit trail.
    #[command(subcommand)]
    Audit(commands::later::AuditCommand),
    /// Back up topics to a directory or a bucket, verify and restore them.
    #[command(subcommand)]
    Backup(commands::backup::BackupCommand),
    /// Any rpc by name, JSON in and out.
    Call(commands::call::Call),
    /// Measure: produce, consume, end to end.
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Completion script for a shell.
    Completion(commands::completion::Completion),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// Two options of one name come to light only when somebody types the command, or asks for a completion script.
    #[test]
    fn the_options_of_every_command_are_unique() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_file_and_a_format_are_two_things() {
        let typed =
            ["flymq-cli", "-o", "json", "audit", "export", "--format", "csv", "--output", "report.csv"];
        assert_eq!(Cli::parse_from(typed).global.output, Format::Json);
    }
}
