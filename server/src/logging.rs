//! Logs to standard error: JSON for machines, text for people; panics included.

use std::{backtrace::Backtrace, io::IsTerminal as _, panic};

use flymq_config::{LogLevel, LogOptions};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer as _, filter::Targets, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

/// Libraries that say too much at debug level.
const QUIET: [&str; 5] = ["h2", "hyper", "hyper_util", "tower", "tonic"];
/// The metadata group's library tells its whole life at info level, warns of what it is made for, and has an error line for
/// each message to a node that is away. Who cannot be reached is told once, by its connection; who leads, and a log that
/// fails, by the store.
const CONSENSUS: &str = "openraft";

/// Installs the process-wide subscriber. A process that already has one keeps it.
pub(crate) fn install(options: &LogOptions) {
    let level = level(options.level);
    let consensus = if level >= LevelFilter::DEBUG { level } else { LevelFilter::OFF };
    let filter = Targets::new()
        .with_default(level)
        .with_targets(QUIET.map(|target| (target, level.min(LevelFilter::INFO))))
        .with_target(CONSENSUS, consensus);
    let writer = std::io::stderr;
    let layer = if options.json {
        fmt::layer().json().flatten_event(true).with_current_span(false).with_writer(writer).boxed()
    } else {
        fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(writer).boxed()
    };
    if tracing_subscriber::registry().with(layer.with_filter(filter)).try_init().is_err() {
        tracing::debug!("logging was already set up");
    }
}

/// Panics go to the log, with where and why, rather than as loose text between its lines.
pub(crate) fn log_panics() {
    panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or(payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text");
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = Backtrace::capture();
        tracing::error!(panic = text, place, backtrace = %backtrace, "a task panicked");
    }));
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    }
}
