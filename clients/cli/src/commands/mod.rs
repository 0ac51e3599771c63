//! One file per command; this one only delegates.

pub mod admin;
pub mod away;
pub mod backup;
pub mod call;
pub mod cluster;
pub mod cluster_change;
pub mod completion;
pub mod consume;
pub mod dlq;
pub mod groups;
pub mod health;
pub mod index;
pub mod later;
pub mod log;
pub mod packing;
pub mod partitions;
pub mod produce;
pub mod queue;
pub mod schedules;
pub mod schemas;
pub mod subscribe;
pub mod topics;
pub mod txn;
pub mod whoami;

use crate::{
    bench,
    cli::{Cli, Command},
    context::Context,
    output::Failure,
};

/// Runs one command.
pub async fn run(cli: Cli) -> Result<(), Failure> {
    if let Command::Completion(args) = &cli.command {
        return completion::run(args);
    }
    if let Command::Bench(args) = &cli.command {
        return bench::run(args, &cli.global).await;
    }
    if let Command::Log(args) = &cli.command {
        return log::run(args, cli.global.output);
    }
    if let Command::Index(args) = &cli.command
        && let Some(done) = index::offline(args, cli.global.output)
    {
        return done;
    }
    if let Command::Backup(command) = cli.command {
        return backup::run(command, &cli.global).await;
    }
    let global = cli.global;
    let context = Context::connect(&global).await?;
    match cli.command {
        Command::Create(args) | Command::Topic(topics::TopicCommand::Create(args)) => {
            topics::create(&context, &args).await
        }
        Command::Delete(args) | Command::Topic(topics::TopicCommand::Delete(args)) => {
            topics::delete(&context, &args).await
        }
        Command::Topics | Command::Topic(topics::TopicCommand::List) => topics::list(&context).await,
        Command::Info(args) | Command::Topic(topics::TopicCommand::Info(args)) => {
            topics::info(&context, &args).await
        }
        Command::Topic(topics::TopicCommand::DeleteRecords(args)) => {
            topics::delete_records(&context, &args).await
        }
        Command::Index(args) => index::run(&context, &args).await,
        Command::Partition(args) => partitions::run(&context, &args).await,
        Command::Produce(args) => produce::run(&context, args).await,
        Command::Consume(args) => consume::run(&context, &args).await,
        Command::Subscribe(args) => subscribe::run(&context, &args).await,
        Command::Queue(args) => queue::run(&context, &args).await,
        Command::Groups(args) => groups::run(&context, &args).await,
        Command::Cluster(args) => cluster::run(&context, &args).await,
        Command::Health(args) => health::run(&context, &args).await,
        Command::Txn(args) => txn::run(&context, args).await,
        Command::Whoami => whoami::run(&context).await,
        Command::Auth => whoami::login(&context, &global).await,
        Command::Admin(args) => admin::run(&context, &args).await,
        Command::ProduceDelayed(args) => schedules::produce_delayed(&context, &args).await,
        Command::Schedule(command) => schedules::schedules(&context, command).await,
        Command::ProduceTtl(args) => later::produce_ttl(&context, &args).await,
        Command::Dlq(args) => later::dlq(&context, args).await,
        Command::Schema(args) => schemas::run(&context, args).await,
        Command::Users(args) => later::users(&context, args).await,
        Command::Roles(args) => later::roles(&context, args).await,
        Command::Acl(args) => later::acl(&context, args).await,
        Command::Audit(args) => later::audit(&context, args).await,
        Command::Call(args) => call::run(&context, &args).await,
        Command::Backup(_) | Command::Bench(_) | Command::Completion(_) | Command::Log(_) => {
            unreachable!("handled above, without a connection")
        }
    }
}
