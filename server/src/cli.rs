//! The command line: run the server, or look at its configuration.

use std::{
    io::{self, IsTerminal as _, Write},
    process::ExitCode,
};

use flymq_config::{Args, Command, Config, LoadArgs, Loaded, USAGE, render_show};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use crate::{
    RunningBroker, StartError, VERSION, banner,
    dev::{self, DevCluster},
    logging, open_files, start_loaded,
};

/// Exit code of a wrong command line.
const USAGE_EXIT: u8 = 2;
/// Nodes of `flymq dev` that is not told how many.
const DEV_NODES: u32 = 3;

/// Runs what the arguments ask for; returns the process's exit code (see [`StartError::exit_code`]).
pub fn run(arguments: impl IntoIterator<Item = String>) -> ExitCode {
    let args = match Args::parse(arguments) {
        Ok(args) => args,
        Err(error) => return fail(&error, USAGE_EXIT),
    };
    match args.command {
        Command::Version => print(&format!("flymq {VERSION}\n")),
        Command::Help => print(USAGE),
        Command::Dev => with_config(&args, |loaded| serve(loaded, args.nodes.or(Some(DEV_NODES)))),
        Command::ConfigShow => with_config(&args, |loaded| print(&render_show(&loaded))),
        Command::ConfigCheck => with_config(&args, |_| print("the configuration is valid\n")),
        Command::Run => with_config(&args, |loaded| serve(loaded, None)),
    }
}

fn with_config(args: &Args, then: impl FnOnce(Loaded) -> ExitCode) -> ExitCode {
    match Config::load(&args.load_args(LoadArgs::from_process())) {
        Ok(loaded) => {
            if !matches!(args.command, Command::Run | Command::Dev) {
                loaded.warnings.iter().for_each(|warning| eprintln!("flymq: warning: {warning}"));
            }
            then(loaded)
        }
        Err(error) => {
            let error = StartError::from(error);
            fail(&error, error.exit_code())
        }
    }
}

/// One worker thread less than there are cores: the core that is left is for the sync thread and the kernel's part of
/// the network, and on small machines the workers wake each other less (docs/adr/0004). tokio's own variable
/// `TOKIO_WORKER_THREADS` names another number.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if std::env::var_os("TOKIO_WORKER_THREADS").is_none() {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        builder.worker_threads(cores.saturating_sub(1).max(1));
    }
    builder.enable_all().thread_name("flymq").build()
}

/// `dev`: as a cluster of so many nodes.
fn serve(loaded: Loaded, dev: Option<u32>) -> ExitCode {
    logging::install(&loaded.config.log);
    logging::log_panics();
    loaded.warnings.iter().for_each(|warning| warn!("{warning}"));
    open_files::raise_limit();
    let runtime = runtime();
    let outcome =
        runtime.map_err(StartError::Runtime).and_then(|runtime| runtime.block_on(until_signal(loaded, dev)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // Once: a sentence for whoever sits there, else a line of the log.
        Err(error) if io::stderr().is_terminal() => fail(&error, error.exit_code()),
        Err(error) => {
            let what = match &error {
                StartError::Dismissed { .. } => "the broker has stopped",
                _ => "the broker did not start",
            };
            error!(%error, code = error.exit_code(), "{what}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// What this process runs.
enum Served {
    One(Box<RunningBroker>),
    Cluster(DevCluster),
}

impl Served {
    async fn start(loaded: Loaded, dev: Option<u32>) -> Result<Self, StartError> {
        let Some(nodes) = dev else {
            return Ok(Self::One(Box::new(start_loaded(loaded).await?)));
        };
        let named = loaded.sources.get("data_dir").is_some_and(|source| source.is_explicit());
        let dir = named.then(|| loaded.config.storage.data_dir.clone());
        Ok(Self::Cluster(dev::start(nodes, loaded.config, dir.as_deref()).await?))
    }

    /// Says that it is ready: to a person, and to scripts.
    fn announce(&self, loaded: &Loaded) {
        match self {
            Self::One(broker) => {
                if !loaded.config.quiet {
                    print(&banner::render(loaded, broker));
                }
                announce(broker);
            }
            Self::Cluster(cluster) => {
                if !loaded.config.quiet {
                    print(&banner::render_dev(cluster));
                }
                cluster.nodes.iter().for_each(announce);
            }
        }
    }

    /// Resolves when it is no node of its cluster any more, with the reason.
    fn dismissed(&self) -> impl Future<Output = String> + Send + use<> {
        let one = match self {
            Self::One(broker) => Some(broker.dismissed()),
            // Nobody else takes their ids.
            Self::Cluster(_) => None,
        };
        async move {
            match one {
                Some(one) => one.await,
                None => std::future::pending().await,
            }
        }
    }

    async fn shutdown(self) {
        match self {
            Self::One(broker) => broker.shutdown().await,
            Self::Cluster(cluster) => cluster.shutdown().await,
        }
    }
}

async fn until_signal(loaded: Loaded, dev: Option<u32>) -> Result<(), StartError> {
    // Set up first: a signal during recovery must not kill the process half way.
    let mut signals = Signals::listen().map_err(StartError::Runtime)?;
    let served = tokio::select! {
        started = Served::start(loaded.clone(), dev) => started?,
        name = signals.next() => {
            info!(signal = name, "stopped before the start was done");
            return Ok(());
        }
    };
    served.announce(&loaded);
    let ended = tokio::select! {
        name = signals.next() => {
            info!(signal = name, "shutting down; a second signal ends at once");
            Ok(())
        }
        reason = served.dismissed() => Err(StartError::Dismissed { reason }),
    };
    tokio::select! {
        () = served.shutdown() => info!("stopped"),
        name = signals.next() => warn!(signal = name, "ended at once"),
    }
    ended
}

/// The line that scripts wait for.
fn announce(broker: &RunningBroker) {
    let optional = |addr: Option<std::net::SocketAddr>| addr.map(|addr| addr.to_string());
    info!(
        native = %broker.native_addr(),
        grpc = %broker.grpc_addr(),
        rest = optional(broker.rest_addr()),
        metrics = optional(broker.metrics_addr()),
        health = optional(broker.health_addr()),
        cluster = optional(broker.cluster_addr()),
        pid = std::process::id(),
        "ready"
    );
}

struct Signals {
    term: Signal,
    int: Signal,
    /// Heard only so that it does not end the process: a file above the limit on file sizes is a failed write.
    _file_size: Signal,
}

/// SIGXFSZ, on every platform that has it.
const FILE_SIZE: i32 = 25;

impl Signals {
    fn listen() -> io::Result<Self> {
        let file_size = signal(SignalKind::from_raw(FILE_SIZE))?;
        let (term, int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { term, int, _file_size: file_size })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }
}

/// Prints to standard output; a closed pipe is no failure.
fn print(text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => fail(&error, 1),
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}

fn fail(error: &dyn std::fmt::Display, code: u8) -> ExitCode {
    eprintln!("flymq: {error}");
    ExitCode::from(code)
}
