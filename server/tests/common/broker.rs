//! A broker process with ports and a directory of its own.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// No test waits longer for anything.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// The binary on `data_dir`, every port ephemeral; further settings go on top.
pub fn flymq(data_dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flymq"));
    command.env_clear().env("FLYMQ_DATA_DIR", data_dir).env("FLYMQ_NODE_ID", "node-1");
    for addr in ["BIND", "GRPC", "METRICS", "HEALTH", "ADMIN"] {
        command.env(format!("FLYMQ_{addr}_ADDR"), "127.0.0.1:0");
    }
    command.stdin(Stdio::null());
    command
}

/// A started broker; killed when dropped.
pub struct Process {
    child: Child,
    /// The fields of its "ready" line.
    pub ready: Value,
    lines: mpsc::Receiver<Value>,
    /// What it logged before it was ready.
    earlier: Vec<Value>,
}

impl Process {
    pub fn start(data_dir: &Path) -> Self {
        Self::run(&mut flymq(data_dir))
    }

    /// With these variables besides.
    pub fn start_with(data_dir: &Path, variables: &[(&str, &str)]) -> Self {
        Self::run(flymq(data_dir).envs(variables.iter().copied()))
    }

    /// Starts this command; see [`flymq`].
    pub fn run(command: &mut Command) -> Self {
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary is built");
        let stderr = child.stderr.take().expect("piped");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut process = Self { child, ready: Value::Null, lines, earlier: Vec::new() };
        loop {
            let line = process.lines.recv_timeout(DEADLINE);
            let line = line.unwrap_or_else(|e| panic!("not ready: {e}; it said {:#?}", process.earlier));
            if line["message"] == "ready" {
                process.ready = line;
                return process;
            }
            process.earlier.push(line);
        }
    }

    /// The next log line with this message.
    pub fn line(&self, message: &str) -> Value {
        loop {
            let line = self.next_line(message);
            if line["message"] == message {
                return line;
            }
        }
    }

    /// Waits for a log line with this message, unless there was one while it started.
    pub fn said(&self, message: &str) {
        if !self.earlier.iter().any(|line| line["message"] == message) {
            self.line(message);
        }
    }

    /// Whether a log line with this message comes within so many seconds.
    #[allow(dead_code, reason = "only the tests of clusters wait for so long")]
    pub fn says_within(&self, message: &str, seconds: u64) -> bool {
        let give_up = Instant::now() + Duration::from_secs(seconds);
        let left = || give_up.saturating_duration_since(Instant::now());
        std::iter::from_fn(|| self.lines.recv_timeout(left()).ok()).any(|line| line["message"] == message)
    }

    /// The next log line, on the way to the one with this message.
    fn next_line(&self, message: &str) -> Value {
        self.lines.recv_timeout(DEADLINE).unwrap_or_else(|e| panic!("no line {message:?}: {e}"))
    }

    pub fn addr(&self, door: &str) -> SocketAddr {
        self.ready[door].as_str().and_then(|addr| addr.parse().ok()).unwrap_or_else(|| panic!("no {door}"))
    }

    /// Ends it in order and returns everything that it logged, the ready line included.
    pub fn end_and_take_lines(mut self) -> String {
        self.signal("TERM");
        self.exit();
        let until_ready: String = self.earlier.iter().chain([&self.ready]).map(Value::to_string).collect();
        until_ready + &self.rest_of_lines()
    }

    /// What it has logged up to now, and nobody has looked at.
    #[allow(dead_code, reason = "only the tests of clusters look")]
    pub fn lines_so_far(&self) -> Vec<Value> {
        self.earlier.iter().cloned().chain(self.lines.try_iter()).collect()
    }

    /// What it has logged since somebody looked last: it has ended.
    pub fn rest_of_lines(&self) -> String {
        self.lines.iter().map(|line| line.to_string()).collect()
    }

    /// `kill -9`: nothing is flushed, nothing said.
    pub fn crash(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ran");
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().expect("kill is installed");
        assert!(sent.success());
    }

    /// Waits for the end.
    /// Bytes of memory that it has, as the kernel says.
    #[allow(dead_code, reason = "not every suite that shares this file measures memory")]
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line of it");
        kib.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") * 1_024
    }

    pub fn exit(&mut self) -> ExitStatus {
        wait(&mut self.child)
    }

    /// One REST call; the answer's status and JSON.
    pub fn rest(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        http(self.addr("rest"), method, path, body)
    }

    /// The value of a metric, by its name with its labels.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let (_, text) = http_text(self.addr("metrics"), "GET", "/metrics", &Value::Null);
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok())
    }

    /// Waits until an unlabelled metric has reached `at_least`.
    pub fn wait_for_metric(&self, name: &str, at_least: f64) {
        let give_up = Instant::now() + DEADLINE;
        loop {
            let value = self.metric(name);
            if value.is_some_and(|value| value >= at_least) {
                return;
            }
            assert!(Instant::now() < give_up, "{name} is {value:?}");
        }
    }

    /// Produces one record with `acks=all`; returns its offset.
    pub fn produce(&self, topic: &str, value: &str) -> u64 {
        let body = json!({"acks": "ACKS_ALL", "partition": 0, "records": [{"value_text": value}]});
        let (status, answer) = self.rest("POST", &format!("/api/v1/topics/{topic}/records"), &body);
        assert_eq!(status, 200, "{answer}");
        answer["base_offset"].as_u64().expect("an offset")
    }

    /// The values of partition 0 from the start.
    pub fn values(&self, topic: &str) -> Vec<String> {
        let (mut values, mut from) = (Vec::new(), 0);
        loop {
            let path = format!(
                "/api/v1/topics/{topic}/partitions/0/records?text=true&max_records=100000&offset={from}"
            );
            let (status, answer) = self.rest("GET", &path, &Value::Null);
            assert_eq!(status, 200, "{answer}");
            let records = answer["records"].as_array().expect("a list");
            values.extend(records.iter().map(|r| r["value_text"].as_str().expect("text").to_owned()));
            let next = answer["next_offset"].as_u64().expect("an offset");
            if next <= from || records.is_empty() {
                return values;
            }
            from = next;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn wait(child: &mut Child) -> ExitStatus {
    let give_up = Instant::now() + DEADLINE;
    loop {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            return status;
        }
        if Instant::now() >= give_up {
            // Nobody else would.
            let _ = child.kill();
            panic!("the process does not end");
        }
        std::thread::yield_now();
    }
}

/// A plain HTTP/1.0 call, so that no client library hides what the server says.
pub fn http(addr: SocketAddr, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let (status, body) = http_text(addr, method, path, body);
    (status, serde_json::from_str(&body).unwrap_or(Value::Null))
}

fn http_text(addr: SocketAddr, method: &str, path: &str, body: &Value) -> (u16, String) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut socket = TcpStream::connect(addr).expect("the door is open");
    socket.set_read_timeout(Some(DEADLINE)).expect("a socket");
    write!(
        socket,
        "{method} {path} HTTP/1.0\r\nHost: {addr}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("answered");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    (status, body.to_owned())
}
