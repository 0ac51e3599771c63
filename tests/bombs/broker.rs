//! The broker as a process, and the memory it takes.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

pub struct Process {
    child: Child,
    ready: Value,
}

impl Process {
    pub fn start(data_dir: &Path) -> Self {
        let mut command = Command::new(binary());
        command.env_clear().env("FLYMQ_DATA_DIR", data_dir).env("FLYMQ_NODE_ID", "node-1");
        for addr in ["BIND", "GRPC", "METRICS", "HEALTH", "ADMIN"] {
            command.env(format!("FLYMQ_{addr}_ADDR"), "127.0.0.1:0");
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the broker's binary runs");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
        let ready = lines
            .by_ref()
            .filter_map(|line| serde_json::from_str::<Value>(&line).ok())
            .find(|line| line["message"] == "ready")
            .expect("it becomes ready");
        // To its end, so that the broker never waits for a reader of its log.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, ready }
    }

    pub fn addr(&self, door: &str) -> SocketAddr {
        self.ready[door].as_str().and_then(|addr| addr.parse().ok()).unwrap_or_else(|| panic!("no {door}"))
    }

    /// Resident bytes: now, and at the most since the last [`Process::forget_peak`].
    pub fn memory(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux tells it");
            line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
        };
        (field("VmRSS:"), field("VmHWM:"))
    }

    pub fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").expect("a process of ours");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `$FLYMQ_BIN`, or `flymq` of the target folder that this test lies in (`target/debug/deps/bombs-…`).
fn binary() -> PathBuf {
    let beside = || {
        let test = std::env::current_exe().expect("this program has a path");
        test.ancestors().nth(2).expect("it lies in a target folder").join("flymq")
    };
    let binary = std::env::var_os("FLYMQ_BIN").map_or_else(beside, PathBuf::from);
    assert!(binary.is_file(), "no {}: cargo build -p flymq-server, or set FLYMQ_BIN", binary.display());
    binary
}
