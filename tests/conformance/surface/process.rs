//! SDKs of other languages: a process that speaks JSON lines.

use std::{path::Path, process::Stdio, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::{Addresses, Failure, Opening, Reply, Surface, Unavailable};

/// A driver says with this exit code that its SDK is not installed here.
const NOT_HERE: i32 = 42;
/// For one operation.
const LIMIT: Duration = Duration::from_secs(30);

struct Process {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    id: u64,
}

pub fn python(addresses: &Addresses) -> Opening {
    open("python.sh", addresses)
}

pub fn java(addresses: &Addresses) -> Opening {
    open("java.sh", addresses)
}

fn open(script: &'static str, addresses: &Addresses) -> Opening {
    let addresses = addresses.clone();
    async move {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/drivers").join(script);
        let mut child = Command::new(path)
            .env("FLYMQ_ADDR", &addresses.native)
            .env("FLYMQ_GRPC_ADDR", &addresses.grpc)
            .env("FLYMQ_REST_ADDR", &addresses.rest)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| Unavailable(format!("{script}: {e}")))?;
        let input = child.stdin.take().ok_or_else(|| Unavailable("no standard input".to_owned()))?;
        let output = child.stdout.take().ok_or_else(|| Unavailable("no standard output".to_owned()))?;
        let mut process = Process { child, input, output: BufReader::new(output).lines(), id: 0 };
        // The first answer shows that it runs; before it the script may find that its SDK is not installed.
        match process.exchange("health", &json!({})).await {
            Ok(_) | Err(Failure::Unsupported(_)) => Ok(Box::new(process) as Box<dyn Surface>),
            Err(Failure::Error { message, .. }) => Err(process.why_absent(message).await),
        }
    }
    .boxed()
}

impl Process {
    async fn exchange(&mut self, op: &str, args: &Value) -> Reply {
        self.id += 1;
        let line = format!("{}\n", json!({"id": self.id, "op": op, "args": args}));
        self.input.write_all(line.as_bytes()).await.map_err(Failure::broken)?;
        self.input.flush().await.map_err(Failure::broken)?;
        let answer = tokio::time::timeout(LIMIT, self.output.next_line()).await;
        let line = answer.map_err(|_| Failure::broken("no answer in time"))?.map_err(Failure::broken)?;
        let line = line.ok_or_else(|| Failure::broken("the driver ended"))?;
        let mut answer: Value =
            serde_json::from_str(&line).map_err(|e| Failure::broken(format!("{e}: {line}")))?;
        if answer["id"] != json!(self.id) {
            return Err(Failure::broken(format!("an answer to another request: {line}")));
        }
        if let Some(why) = answer["unsupported"].as_str() {
            return Err(Failure::Unsupported(why.to_owned()));
        }
        if answer.get("ok").is_some() {
            return Ok(answer["ok"].take());
        }
        let error = &answer["error"];
        if error["hint"].as_str().is_none_or(str::is_empty) {
            return Err(Failure::broken(format!("an error without a hint: {line}")));
        }
        Err(Failure::coded(
            error["code"].as_str().unwrap_or_default(),
            error["message"].as_str().unwrap_or_default(),
        ))
    }

    async fn why_absent(mut self, message: String) -> Unavailable {
        let ended = tokio::time::timeout(LIMIT, self.child.wait()).await;
        match ended {
            Ok(Ok(status)) if status.code() == Some(NOT_HERE) => {
                Unavailable("its SDK is not installed here".to_owned())
            }
            _ => Unavailable(message),
        }
    }
}

impl Surface for Process {
    fn run<'a>(&'a mut self, op: &'a str, args: &'a Value) -> BoxFuture<'a, Reply> {
        async move { self.exchange(op, args).await }.boxed()
    }
}
