//! `txn`: messages that are read together or not at all, in one command or over several.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use clap::{Args, Subcommand};
use flymq_client::{ClientError, ErrorCode, pb};
use serde_json::{Value, json};

use crate::{
    context::Context,
    output::{self, Failure},
};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Txn {
    #[command(subcommand)]
    step: Option<Step>,
    /// Begins, stores the messages and commits.
    #[arg(required = true)]
    topic: Option<String>,
    #[arg(required = true)]
    messages: Vec<String>,
    /// Messages with the same key go to the same partition.
    #[arg(short, long)]
    key: Option<String>,
}

/// One step of a transaction whose id stands in the state file.
#[derive(Debug, Subcommand)]
enum Step {
    /// Begin a transaction and remember its id in `$FLYMQ_STATE_FILE` (else under `~/.local/state/flymq`).
    Begin {
        /// The producer's name: whoever uses it already is fenced. Without it a random one.
        #[arg(long)]
        id: Option<String>,
        /// Seconds after which the broker aborts it; without it the broker's setting.
        #[arg(long)]
        abort_after: Option<u32>,
    },
    /// Store messages in it; nobody sees them before the commit.
    Produce {
        topic: String,
        #[arg(required = true)]
        messages: Vec<String>,
        /// Messages with the same key go to the same partition.
        #[arg(short, long)]
        key: Option<String>,
        /// Send to this partition.
        #[arg(short, long)]
        partition: Option<i32>,
    },
    /// Make all of it visible.
    Commit,
    /// Drop all of it.
    #[command(visible_alias = "rollback")]
    Abort,
    /// Show the one that is remembered.
    Status,
}

pub async fn run(context: &Context, args: Txn) -> Result<(), Failure> {
    match args.step {
        None => at_once(context, &args.topic.unwrap_or_default(), &args.messages, args.key.as_deref()).await,
        Some(Step::Begin { id, abort_after }) => begin(context, id, abort_after).await,
        Some(Step::Produce { topic, messages, key, partition }) => {
            let open = State::at()?.open()?;
            let to = Place { topic: &topic, partition, key: key.as_deref() };
            let stored = produce(context, &open.transaction_id, &to, &messages).await?;
            show(context, &stored)
        }
        Some(Step::Commit) => end(context, true).await,
        Some(Step::Abort) => end(context, false).await,
        Some(Step::Status) => {
            let open = State::at()?.open()?;
            let shown = json!({"transaction_id": open.transaction_id}).to_string();
            output::line(if context.json() { shown } else { open.transaction_id })
        }
    }
}

async fn at_once(
    context: &Context,
    topic: &str,
    messages: &[String],
    key: Option<&str>,
) -> Result<(), Failure> {
    let transaction_id = begun(context, None, None).await?;
    let to = Place { topic, partition: None, key };
    let done = async {
        let stored = produce(context, &transaction_id, &to, messages).await?;
        ended(context, &transaction_id, true).await?;
        Ok::<_, ClientError>(stored)
    };
    match done.await {
        Ok(stored) if context.json() => show(context, &stored),
        Ok(stored) => {
            show(context, &stored)?;
            output::line(format!("committed {} messages", stored.len()))
        }
        Err(error) => {
            // Of two errors the first one tells more; what stays open is aborted by its timeout.
            let _aborted = ended(context, &transaction_id, false).await;
            Err(error.into())
        }
    }
}

async fn begin(context: &Context, id: Option<String>, abort_after: Option<u32>) -> Result<(), Failure> {
    let state = State::at()?;
    if let Some(open) = state.read()? {
        let text = format!("transaction {} is open: commit or abort it", open.transaction_id);
        return Err(Failure::Usage(text));
    }
    state.check_writable()?;
    let transaction_id = begun(context, id, abort_after).await?;
    state.write(&Open { transaction_id: transaction_id.clone() })?;
    if context.json() {
        return output::line(json!({"transaction_id": transaction_id}));
    }
    output::line(format!("began {transaction_id}"))
}

async fn end(context: &Context, commit: bool) -> Result<(), Failure> {
    let state = State::at()?;
    let id = state.open()?.transaction_id;
    let done = ended(context, &id, commit).await;
    let over = match &done {
        Ok(()) => true,
        Err(error) => matches!(
            error.code,
            ErrorCode::ProducerFenced | ErrorCode::TransactionNotFound | ErrorCode::TransactionState
        ),
    };
    if over {
        state.remove()?;
    }
    done?;
    let what = if commit { "committed" } else { "aborted" };
    if context.json() {
        return output::line(json!({"transaction_id": id, what: true}));
    }
    output::line(format!("{what} {id}"))
}

async fn begun(
    context: &Context,
    id: Option<String>,
    abort_after: Option<u32>,
) -> Result<String, ClientError> {
    let request = pb::BeginTransactionRequest {
        transactional_id: id.unwrap_or_default(),
        timeout_ms: abort_after.map_or(0, |seconds| seconds.saturating_mul(1_000)),
        ..pb::BeginTransactionRequest::default()
    };
    let begun: pb::BeginTransactionResponse = context.client.call("BeginTransaction", &request).await?;
    Ok(begun.transaction_id)
}

/// Asking again is answered with the same, so it is asked again where the answer was lost.
async fn ended(context: &Context, id: &str, commit: bool) -> Result<(), ClientError> {
    let transaction_id = id.to_owned();
    if commit {
        let request = pb::CommitTransactionRequest { transaction_id, producer_epoch: 0 };
        context.client.call::<_, pb::CommitTransactionResponse>("CommitTransaction", &request).await?;
    } else {
        let request = pb::AbortTransactionRequest { transaction_id, producer_epoch: 0 };
        context.client.call::<_, pb::AbortTransactionResponse>("AbortTransaction", &request).await?;
    }
    Ok(())
}

/// Where messages go.
struct Place<'a> {
    topic: &'a str,
    partition: Option<i32>,
    key: Option<&'a str>,
}

async fn produce(
    context: &Context,
    transaction_id: &str,
    to: &Place<'_>,
    messages: &[String],
) -> Result<Vec<pb::RecordMetadata>, ClientError> {
    let record = |message: &String| pb::Record {
        key: to.key.map(|key| Bytes::copy_from_slice(key.as_bytes())),
        value: Bytes::copy_from_slice(message.as_bytes()),
        ..pb::Record::default()
    };
    let request = pb::ProduceInTransactionRequest {
        transaction_id: transaction_id.to_owned(),
        topic: to.topic.to_owned(),
        partition: to.partition,
        records: messages.iter().map(record).collect(),
        ..pb::ProduceInTransactionRequest::default()
    };
    let reply: pb::ProduceInTransactionResponse =
        context.client.call("ProduceInTransaction", &request).await?;
    Ok(reply.records)
}

fn show(context: &Context, stored: &[pb::RecordMetadata]) -> Result<(), Failure> {
    for at in stored {
        let (topic, partition, offset) = (&at.topic, at.partition, at.offset);
        if context.json() {
            output::line(json!({"topic": topic, "partition": partition, "offset": offset}))?;
        } else {
            output::line(format!("{topic} partition {partition} offset {offset}"))?;
        }
    }
    Ok(())
}

/// What is remembered between commands.
#[derive(Debug)]
struct Open {
    transaction_id: String,
}

/// The file that remembers it.
struct State(PathBuf);

impl State {
    fn at() -> Result<Self, Failure> {
        let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = named("XDG_STATE_HOME").or_else(|| named("HOME").map(|home| home.join(".local/state")));
        let file = named("FLYMQ_STATE_FILE").or_else(|| folder.map(|at| at.join("flymq/transaction.json")));
        let unknown = "nowhere to keep the transaction's id: set FLYMQ_STATE_FILE to a path";
        file.map(Self).ok_or_else(|| Failure::Usage(unknown.to_owned()))
    }

    fn read(&self) -> Result<Option<Open>, Failure> {
        let text = match fs::read(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed(&error)),
        };
        let damaged = || {
            let why = "it is damaged; the transaction that it named is aborted after its timeout: delete the file, and begin anew";
            self.failed(&why)
        };
        let known: Value = serde_json::from_slice(&text).map_err(|_| damaged())?;
        let id = known["transaction_id"].as_str().ok_or_else(damaged)?;
        Ok(Some(Open { transaction_id: id.to_owned() }))
    }

    fn open(&self) -> Result<Open, Failure> {
        let none = "no transaction is open here: begin one with `flymq-cli txn begin`";
        self.read()?.ok_or_else(|| Failure::Usage(none.to_owned()))
    }

    /// So that no transaction is begun whose id cannot be kept.
    fn check_writable(&self) -> Result<(), Failure> {
        let folder = self.0.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(|error| self.failed(&error))?;
        let probe = self.beside();
        fs::File::create(&probe).and_then(|_| fs::remove_file(&probe)).map_err(|error| self.failed(&error))
    }

    fn write(&self, open: &Open) -> Result<(), Failure> {
        let next = self.beside();
        let write = || {
            let mut file = fs::File::create(&next)?;
            writeln!(file, "{}", json!({"transaction_id": open.transaction_id}))?;
            file.sync_all()?;
            fs::rename(&next, &self.0)
        };
        write().map_err(|error| self.failed(&error))
    }

    fn remove(&self) -> Result<(), Failure> {
        fs::remove_file(&self.0).map_err(|error| self.failed(&error))
    }

    fn beside(&self) -> PathBuf {
        self.0.with_extension(format!("{}.new", std::process::id()))
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> Failure {
        Failure::Io(format!("{}: {error}", self.0.display()))
    }
}
