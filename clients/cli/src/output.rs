//! Tables for people, JSON for machines, errors with what to do next.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use comfy_table::{Table, presets};
use flymq_backup::BackupError;
use flymq_client::{
    ClientError, ErrorCode, Held, Message,
    serde::{Codec, Serde},
};
use flymq_storage::StorageError;
use serde_json::{Value, json};

use crate::cli::Format;

/// Why a command ended.
#[derive(Debug)]
pub enum Failure {
    Client(ClientError),
    Backup(BackupError),
    /// What was typed, or a file that was named, does not fit.
    Usage(String),
    /// Nobody reads our output any more (`| head`): not an error.
    OutputClosed,
    Io(String),
    /// What was looked at is damaged; the findings are on standard output.
    Damaged(String),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        Self::Backup(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::OutputClosed
        } else {
            Self::Io(error.to_string())
        }
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::Io(error.to_string())
    }
}

/// Writes a failure to standard error; 1 for what the server or the machine said, 2 for what was typed.
pub fn fail(failure: &Failure, format: Format) -> ExitCode {
    let (code, message, hint, page) = match failure {
        Failure::OutputClosed => return ExitCode::SUCCESS,
        Failure::Client(error) => {
            (error.code_name(), error.message.clone(), error.hint.clone(), error.doc_url.clone())
        }
        Failure::Backup(BackupError::Broker(error)) => {
            (error.code_name(), error.message.clone(), error.hint.clone(), error.doc_url.clone())
        }
        Failure::Backup(error) => (error.code(), error.to_string(), error.hint(), String::new()),
        Failure::Usage(message) => {
            ("USAGE", message.clone(), "See flymq-cli help.".to_owned(), String::new())
        }
        Failure::Damaged(message) => (
            "DAMAGED",
            message.clone(),
            "Nothing was changed; reads of damaged offsets are refused, the others go on.".to_owned(),
            String::new(),
        ),
        Failure::Io(message) => ("IO", message.clone(), String::new(), String::new()),
    };
    if format == Format::Json {
        let error = json!({"error": {"code": code, "message": message, "hint": hint, "doc_url": page}});
        anstream::eprintln!("{error}");
    } else {
        anstream::eprintln!("error: {message}");
        for (label, text) in [("hint", hint), ("see", page)] {
            if !text.is_empty() {
                anstream::eprintln!("  {label}: {text}");
            }
        }
    }
    let usage = match failure {
        Failure::Usage(_) => true,
        Failure::Client(error) => error.code == ErrorCode::InvalidArgument,
        Failure::Backup(error) => error.is_usage(),
        Failure::OutputClosed | Failure::Io(_) | Failure::Damaged(_) => false,
    };
    ExitCode::from(if usage { 2 } else { 1 })
}

/// Writes a line to standard output.
pub fn line(text: impl std::fmt::Display) -> Result<(), Failure> {
    writeln!(io::stdout().lock(), "{text}").map_err(Failure::from)
}

/// Tells a person something besides the output, which programs may read.
pub fn warn(text: &str) {
    anstream::eprintln!("warning: {text}");
}

/// A table of text, or "none" with what to do.
pub fn table(header: &[&str], rows: Vec<Vec<String>>, if_empty: &str) -> Result<(), Failure> {
    if rows.is_empty() {
        return line(if_empty);
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    for row in rows {
        table.add_row(row);
    }
    let text: Vec<String> = table.to_string().lines().map(|l| l.trim_end().to_owned()).collect();
    line(text.join("\n"))
}

/// One message for a person or as a JSON line.
pub async fn message(
    message: &Message,
    format: Format,
    show_key: bool,
    decoder: &dyn Codec,
) -> Result<(), Failure> {
    let value = decoder.decode_text(&message.value).await?;
    if format == Format::Json {
        return line(message_json(message, &value));
    }
    if !show_key {
        return line(value);
    }
    let key = message.key.as_ref().map_or_else(|| "null".to_owned(), |key| Serde::String.decode_text(key));
    line(format!("[{}] key={key}: {value}", message.offset))
}

/// A message in queue mode, with how often it was delivered.
pub async fn held(held: &Held, format: Format, show_key: bool, decoder: &dyn Codec) -> Result<(), Failure> {
    let Held { message, delivery_count } = held;
    if format != Format::Json && !show_key {
        return self::message(message, format, show_key, decoder).await;
    }
    let value = decoder.decode_text(&message.value).await?;
    if format == Format::Json {
        let mut shown = message_json(message, &value);
        shown["delivery_count"] = json!(delivery_count);
        return line(shown);
    }
    let key = message.key.as_ref().map_or_else(|| "null".to_owned(), |key| Serde::String.decode_text(key));
    line(format!("[{}] key={key} ({delivery_count}): {value}", message.offset))
}

fn message_json(message: &Message, value: &str) -> Value {
    let headers: serde_json::Map<String, Value> = message
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), json!(Serde::String.decode_text(value))))
        .collect();
    json!({
        "topic": &*message.topic,
        "partition": message.partition,
        "offset": message.offset,
        "timestamp_ms": message.timestamp_ms,
        "key": message.key.as_ref().map(|key| Serde::String.decode_text(key)),
        "value": value,
        "headers": headers,
    })
}

/// `1.5 MiB`
pub fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}
