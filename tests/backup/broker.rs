//! The broker's process, on free ports over a data directory.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Instant,
};

use serde_json::Value;

use crate::world::DEADLINE;

pub struct Process {
    child: Child,
    /// Address of the native port.
    pub native: String,
}

impl Process {
    pub fn start(data_dir: &Path) -> Self {
        let mut command = Command::new(program("flymq", "FLYMQ_BIN"));
        command.env_clear().env("FLYMQ_DATA_DIR", data_dir).env("FLYMQ_NODE_ID", "node-1");
        command.env("FLYMQ_SEGMENT_BYTES", "1MiB");
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
        Self { child, native: native_addr(&lines) }
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

/// What the variable names, or the program in the target folder that this test lies in (`target/debug/deps/…`).
pub fn program(name: &str, variable: &str) -> PathBuf {
    let beside = || {
        let test = std::env::current_exe().expect("this program has a path");
        test.ancestors().nth(2).expect("it lies in a target folder").join(name)
    };
    let binary = std::env::var_os(variable).map_or_else(beside, PathBuf::from);
    assert!(binary.is_file(), "no {}: cargo build --workspace, or set {variable}", binary.display());
    binary
}
