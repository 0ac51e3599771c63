//! The broker's process, started on free ports over one data directory again and again.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use serde_json::Value;

/// No start takes longer.
const DEADLINE: Duration = Duration::from_secs(60);
/// Small segments, so that kills hit their change too.
const SEGMENT_BYTES: &str = "256KiB";

pub struct Process {
    child: Child,
    /// Address of the native port.
    pub native: String,
    /// From the start of the process until it was ready.
    pub start: Duration,
}

impl Process {
    pub fn start(data_dir: &Path) -> Self {
        let began = Instant::now();
        let mut command = Command::new(binary());
        command.env_clear().env("FLYMQ_DATA_DIR", data_dir).env("FLYMQ_NODE_ID", "node-1");
        command.env("FLYMQ_SEGMENT_BYTES", SEGMENT_BYTES);
        for addr in ["BIND", "GRPC", "METRICS", "HEALTH", "ADMIN"] {
            command.env(format!("FLYMQ_{addr}_ADDR"), "127.0.0.1:0");
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the broker's binary runs");
        let stderr = child.stderr.take().expect("piped");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            // To its end, so that the broker never waits for a reader of its log.
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut process = Self { child, native: String::new(), start: Duration::ZERO };
        process.native = native_addr(&lines);
        process.start = began.elapsed();
        process
    }

    /// `kill -9`: nothing is flushed, nothing said.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs until it is killed");
        let status = self.child.wait().expect("it ran");
        assert_eq!(status.code(), None, "the broker had ended by itself: {status}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn native_addr(lines: &mpsc::Receiver<String>) -> String {
    let give_up = Instant::now() + DEADLINE;
    let mut log = Vec::new();
    loop {
        let left = give_up.saturating_duration_since(Instant::now());
        let Ok(line) = lines.recv_timeout(left) else {
            panic!("the broker did not become ready; it said:\n{}", log.join("\n"));
        };
        let fields: Value = serde_json::from_str(&line).unwrap_or(Value::Null);
        if fields["message"] == "ready" {
            return fields["native"].as_str().expect("the native port is open").to_owned();
        }
        log.push(line);
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
