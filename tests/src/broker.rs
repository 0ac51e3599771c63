//! The broker's process, started on free ports over one data directory again and again.

use std::{
    ffi::OsString,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use serde_json::Value;

/// No start takes longer.
const DEADLINE: Duration = Duration::from_secs(60);
/// Small segments, so that faults hit their change too.
const SEGMENT_BYTES: &str = "256KiB";

/// How a broker is started.
#[derive(Debug, Clone)]
pub struct Launch {
    data_dir: PathBuf,
    env: Vec<(String, String)>,
    /// A program, with its arguments, that the broker runs under.
    under: Vec<OsString>,
}

/// A start that ended before the broker was ready.
#[derive(Debug)]
pub struct Refusal {
    pub status: ExitStatus,
    pub log: Vec<String>,
}

#[derive(Debug)]
pub struct Process {
    child: Child,
    /// The broker's own process, which may be a child of `child`.
    pid: i32,
    log: Arc<Mutex<Vec<String>>>,
    /// Address of the native port.
    pub native: String,
    /// From the start of the process until it was ready.
    pub start: Duration,
}

impl Launch {
    pub fn new(data_dir: &Path) -> Self {
        let mut launch = Self { data_dir: data_dir.to_owned(), env: Vec::new(), under: Vec::new() };
        launch.set("SEGMENT_BYTES", SEGMENT_BYTES);
        launch
    }

    /// Sets `FLYMQ_<name>`.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.push((format!("FLYMQ_{name}"), value.to_owned()));
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.set(name, value);
        self
    }

    /// Another data directory from the next start on.
    pub fn move_to(&mut self, data_dir: &Path) {
        data_dir.clone_into(&mut self.data_dir);
    }

    #[must_use]
    pub fn under<I: IntoIterator<Item = T>, T: Into<OsString>>(mut self, command: I) -> Self {
        self.under = command.into_iter().map(Into::into).collect();
        self
    }

    /// Starts it and waits until it is ready.
    pub fn start(&self) -> Process {
        self.try_start().unwrap_or_else(|refusal| {
            panic!("the broker ended with {} and said:\n{}", refusal.status, refusal.log.join("\n"))
        })
    }

    /// As [`Launch::start`]; a broker that ends by itself is no failure of the test.
    pub fn try_start(&self) -> Result<Process, Refusal> {
        let began = Instant::now();
        let (mut child, lines, log) = self.spawn();
        let Some(native) = native_addr(&lines, &log) else {
            let status = child.wait().expect("it ran");
            return Err(Refusal { status, log: take(&log) });
        };
        let start = began.elapsed();
        let pid = self.pid(&child);
        Ok(Process { child, pid, log, native, start })
    }

    fn spawn(&self) -> (Child, mpsc::Receiver<String>, Arc<Mutex<Vec<String>>>) {
        let mut words = self.under.iter().cloned().chain([binary().into_os_string()]);
        let mut command = Command::new(words.next().expect("the broker at least"));
        command.args(words).env_clear().env("FLYMQ_DATA_DIR", &self.data_dir).env("FLYMQ_NODE_ID", "node-1");
        for addr in ["BIND", "GRPC", "METRICS", "HEALTH", "ADMIN"] {
            command.env(format!("FLYMQ_{addr}_ADDR"), "127.0.0.1:0");
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the broker's binary runs");
        let stderr = child.stderr.take().expect("piped");
        let (sender, lines) = mpsc::channel();
        let log = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            // To its end, so that the broker never waits for a reader of its log.
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                kept.lock().expect("no reader panics").push(line.clone());
                let _ = sender.send(line);
            }
        });
        (child, lines, log)
    }

    /// The lock file names the process that holds the directory.
    fn pid(&self, child: &Child) -> i32 {
        let of_child = i32::try_from(child.id()).expect("a process id");
        if self.under.is_empty() {
            return of_child;
        }
        let text = std::fs::read_to_string(self.data_dir.join("flymq.lock")).expect("it holds the lock");
        text.trim().parse().expect("the lock names a process")
    }
}

impl Process {
    /// `kill -9`: nothing is flushed, nothing said.
    pub fn kill(mut self) {
        assert!(self.ended().is_none(), "the broker had ended by itself:\n{}", self.log().join("\n"));
        self.signal_kill();
        self.child.wait().expect("it ran");
    }

    /// SIGTERM: it ends in order.
    pub fn stop(mut self) {
        let pid = rustix::process::Pid::from_raw(self.pid).expect("a process id is not 0");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        let status = self.child.wait().expect("it ran");
        assert!(status.success(), "{status}:\n{}", self.log().join("\n"));
    }

    /// Its status, if it has ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it was started")
    }

    /// The broker's own process.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// What it has said on stderr so far.
    pub fn log(&self) -> Vec<String> {
        take(&self.log)
    }

    fn signal_kill(&mut self) {
        let pid = rustix::process::Pid::from_raw(self.pid).expect("a process id is not 0");
        // Already gone is fine.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal_kill();
        }
        let _ = self.child.wait();
    }
}

fn take(log: &Mutex<Vec<String>>) -> Vec<String> {
    log.lock().expect("no writer panics").clone()
}

/// The address, once the broker is ready; `None` when it ends before.
fn native_addr(lines: &mpsc::Receiver<String>, log: &Mutex<Vec<String>>) -> Option<String> {
    let give_up = Instant::now() + DEADLINE;
    loop {
        match lines.recv_timeout(give_up.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                let fields: Value = serde_json::from_str(&line).unwrap_or(Value::Null);
                if fields["message"] == "ready" {
                    return Some(fields["native"].as_str().expect("the native port is open").to_owned());
                }
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => return None,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                panic!("the broker did not become ready; it said:\n{}", take(log).join("\n"));
            }
        }
    }
}

/// `$FLYMQ_BIN`, or `flymq` of the target folder that this test lies in (`target/debug/deps/crash-…`).
fn binary() -> PathBuf {
    let beside = || {
        let test = std::env::current_exe().expect("this program has a path");
        test.ancestors().nth(2).expect("it lies in a target folder").join("flymq")
    };
    let binary = std::env::var_os("FLYMQ_BIN").map_or_else(beside, PathBuf::from);
    assert!(binary.is_file(), "no {}: cargo build -p flymq-server, or set FLYMQ_BIN", binary.display());
    binary
}
