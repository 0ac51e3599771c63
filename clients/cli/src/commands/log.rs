//! `log inspect`, `log verify`: a data directory as it is on disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use flymq_storage::inspect::{BatchReport, Inspector, PayloadState, SegmentReport, VerifyReport};
use flymq_storage::{EncryptionKey, EncryptionKeys, LockState, RealDisk};
use serde_json::json;

use super::partitions::time;
use crate::{
    cli::Format,
    output::{self, Failure},
};

#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// List the segments of a data directory, or the batches of one segment file.
    Inspect(Inspect),
    /// Read everything and check it: crcs, chain, footers, checkpoints, gaps, indexes. Never writes; exit code 1 when
    /// something is damaged. FLYMQ_ENCRYPTION_KEY lets it check encrypted payloads.
    Verify(Verify),
}

#[derive(Debug, Args)]
pub struct Inspect {
    /// Data directory, partition directory, or segment file.
    pub path: PathBuf,
    /// Of a segment: also its records.
    #[arg(long)]
    pub records: bool,
    /// Of a segment: only from the batch with this offset on.
    #[arg(long, default_value_t = 0)]
    pub offset: u64,
    /// Of a segment: most batches to show.
    #[arg(short = 'n', long)]
    pub count: Option<usize>,
}

#[derive(Debug, Args)]
pub struct Verify {
    /// Data directory, or a partition's directory in it.
    pub path: PathBuf,
}

pub fn run(command: &LogCommand, format: Format) -> Result<(), Failure> {
    match command {
        LogCommand::Inspect(args) if args.path.is_file() => batches(args, format),
        LogCommand::Inspect(args) => segments(args, format),
        LogCommand::Verify(args) => verify(args, format),
    }
}

/// The path for looking, with the key from the environment where there is one.
pub fn open(path: &Path) -> Result<Inspector, Failure> {
    if !path.exists() {
        return Err(Failure::Usage(format!("{} does not exist", path.display())));
    }
    let path = path.canonicalize()?;
    let key = std::env::var("FLYMQ_ENCRYPTION_KEY").ok().filter(|key| !key.is_empty());
    let key = key.map(|key| EncryptionKey::from_hex(&key)).transpose();
    let key = key.map_err(|error| Failure::Usage(format!("FLYMQ_ENCRYPTION_KEY: {error}")))?;
    let keys = key.map(|current| EncryptionKeys { current, old: Vec::new() });
    let inspector = Inspector::open(Arc::new(RealDisk), &path, keys.as_ref())?;
    if path.is_dir() && inspector.root().is_none() {
        let text = format!("{} is no data directory and in none: it has no `topics`", path.display());
        return Err(Failure::Usage(text));
    }
    Ok(inspector)
}

fn segments(args: &Inspect, format: Format) -> Result<(), Failure> {
    let inspector = open(&args.path)?;
    let segments = inspector.segments()?;
    if format == Format::Json {
        return segments.iter().try_for_each(|segment| output::line(json!(segment)));
    }
    note_broker(&inspector)?;
    let rows = segments.iter().map(|segment| segment_row(segment, inspector.root()));
    let header = [
        "SEGMENT",
        "FIRST",
        "END",
        "BATCHES",
        "SIZE",
        "FILE SIZE",
        "SEALED",
        "ENCRYPTED",
        "CREATED",
        "LAST TIME",
    ];
    output::table(&header, rows.collect(), "no segments")
}

fn segment_row(segment: &SegmentReport, root: Option<&Path>) -> Vec<String> {
    let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    vec![
        relative(&segment.file, root),
        segment.base_offset.to_string(),
        segment.next_offset.to_string(),
        segment.batches.to_string(),
        output::bytes(segment.bytes),
        output::bytes(segment.file_bytes),
        yes(segment.sealed),
        yes(segment.encrypted),
        time(segment.created_ms),
        time(segment.max_timestamp_ms.unwrap_or(0)),
    ]
}

/// A path as it stands in the data directory.
pub fn relative(path: &Path, root: Option<&Path>) -> String {
    let shown = root.and_then(|root| path.strip_prefix(root.join("topics")).ok());
    shown.unwrap_or(path).display().to_string()
}

/// A batch a line, streamed: a segment may have a million.
fn batches(args: &Inspect, format: Format) -> Result<(), Failure> {
    let inspector = open(&args.path)?;
    if format == Format::Table {
        note_broker(&inspector)?;
    }
    let (mut left, mut outcome) = (args.count.unwrap_or(usize::MAX), Ok(()));
    let report = inspector.batches(args.records, |batch, records| {
        if batch.last_offset < args.offset {
            return true;
        }
        if left == 0 {
            return false;
        }
        left -= 1;
        outcome = show_batch(&batch, format);
        for record in records.iter().flat_map(|records| records.iter()).flatten() {
            if outcome.is_ok() {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let (key, value) = (record.key.map(text), record.value.map(text));
                outcome = match format {
                    Format::Json => output::line(json!({
                        "offset": record.offset, "timestamp_ms": record.timestamp, "key": key, "value": value,
                    })),
                    Format::Table => output::line(format!(
                        "  [{}] {} key={}: {}",
                        record.offset,
                        time(record.timestamp),
                        key.as_deref().unwrap_or("null"),
                        value.as_deref().unwrap_or("null")
                    )),
                };
            }
        }
        outcome.is_ok()
    })?;
    outcome?;
    conclude(&report, format)
}

fn show_batch(batch: &BatchReport, format: Format) -> Result<(), Failure> {
    if format == Format::Json {
        return output::line(json!(batch));
    }
    let payload = match batch.payload {
        PayloadState::Good => "good",
        PayloadState::Bad => "BAD",
        PayloadState::NeedsKey => "needs the key",
    };
    let flags = if batch.flags.is_empty() { String::new() } else { format!(" {}", batch.flags.join(",")) };
    output::line(format!(
        "{:>10}  offsets {}-{}  epoch {}  {}  appended {}  {} B {}{flags}  crc {payload}{}",
        batch.position,
        batch.base_offset,
        batch.last_offset,
        batch.leader_epoch,
        time(batch.max_timestamp_ms),
        time(batch.append_time_ms),
        batch.bytes,
        batch.compression,
        if batch.chained { "" } else { "  chain BROKEN" },
    ))
}

fn verify(args: &Verify, format: Format) -> Result<(), Failure> {
    let inspector = open(&args.path)?;
    let report = inspector.verify()?;
    if format == Format::Json {
        output::line(json!(report))?;
        return conclude(&report, format);
    }
    note_broker(&inspector)?;
    output::line(format!(
        "read {} partitions, {} segments, {} batches, {} records, {}",
        report.partitions,
        report.segments,
        report.batches,
        report.records,
        output::bytes(report.bytes)
    ))?;
    conclude(&report, format)
}

fn conclude(report: &VerifyReport, format: Format) -> Result<(), Failure> {
    if format == Format::Table {
        for finding in &report.findings {
            output::line(finding)?;
        }
    }
    if report.is_damaged() {
        let all = report.findings.iter().filter(|f| f.kind == flymq_storage::inspect::FindingKind::Damage);
        return Err(Failure::Damaged(format!("damage in {} places", all.count())));
    }
    Ok(())
}

fn note_broker(inspector: &Inspector) -> Result<(), Failure> {
    match inspector.running() {
        None | Some(LockState::Free) => Ok(()),
        Some(LockState::HeldBy(pid)) => {
            let who =
                pid.map_or_else(|| "a broker".to_owned(), |pid| format!("the broker with process id {pid}"));
            output::line(format!("{who} works here now: what is not durable yet is left out"))
        }
    }
}
