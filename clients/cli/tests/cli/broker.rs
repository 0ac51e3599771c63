//! A broker in this process, and the program that talks to it.

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

use flymq_client::Client;
use flymq_server::{Config, RunningBroker, start};
use serde_json::Value;

/// A broker of its own for each test, on free ports; it lives on a runtime of its own.
pub struct Broker {
    runtime: tokio::runtime::Runtime,
    running: Option<RunningBroker>,
    data: Option<tempfile::TempDir>,
}

impl Broker {
    pub fn start() -> Self {
        let data = tempfile::tempdir().expect("a directory");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let running = runtime.block_on(start(Config::embedded(data.path()))).expect("the broker starts");
        Self { runtime, running: Some(running), data: Some(data) }
    }

    /// Stops the broker; its data directory stays.
    pub fn stop(&mut self) -> tempfile::TempDir {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.shutdown());
        }
        self.data.take().expect("stopped once")
    }

    /// Stops it, does something meanwhile, and starts it again where it was.
    pub fn restart_after(&mut self, meanwhile: impl FnOnce()) {
        let running = self.running.take().expect("it runs");
        let addr = running.native_addr();
        self.runtime.block_on(running.shutdown());
        meanwhile();
        let mut config = Config::embedded(self.data());
        config.listen.bind_addr = addr.to_string().parse().expect("an address");
        self.running = Some(self.runtime.block_on(start(config)).expect("the broker starts again"));
    }

    pub fn data(&self) -> &std::path::Path {
        self.data.as_ref().expect("until it is stopped").path()
    }

    pub fn addr(&self) -> String {
        self.running.as_ref().expect("it runs until it is dropped").native_addr().to_string()
    }

    /// `flymq-cli` with this broker in `FLYMQ_ADDR`.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = cli(args);
        command.env("FLYMQ_ADDR", self.addr());
        command
    }

    /// Runs a command that must succeed; its standard output.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = run(self.command(args), "");
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", err(&output));
        out(&output)
    }

    /// Runs a command that must fail with this exit code; its standard error. Standard output stays empty.
    pub fn fails(&self, args: &[&str], code: i32) -> String {
        let output = run(self.command(args), "");
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}{}", out(&output), err(&output));
        assert_eq!(out(&output), "", "{args:?}");
        err(&output)
    }

    /// Runs a command with `-o json`; each line of its output is a document.
    pub fn json(&self, args: &[&str]) -> Vec<Value> {
        let text = self.ok(&[&["-o", "json"], args].concat());
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{args:?}: {e}: {line}"));
        text.lines().map(parse).collect()
    }

    /// What a group has committed on partition 0 of a topic.
    pub fn committed(&self, group: &str, topic: &str) -> Option<u64> {
        let ask = async {
            let client = Client::connect(&self.addr()).await.expect("the broker is there");
            client.committed(group, topic).await.expect("commits can be asked for")
        };
        self.runtime.block_on(ask).first().map(|commit| commit.offset)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.shutdown());
        }
    }
}

/// `flymq-cli`, knowing no broker.
pub fn cli(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flymq-cli"));
    command.args(args).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end with this standard input.
pub fn run(mut command: Command, input: &str) -> Output {
    let mut child = command.stdin(Stdio::piped()).spawn().expect("the binary is built");
    let mut stdin = child.stdin.take().expect("piped");
    // One that fails for what was typed does not read it.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

pub fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

pub fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}
