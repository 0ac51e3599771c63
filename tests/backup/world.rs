//! A broker's process, a place for backups, and the command line program between them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use flymq_client::{Acks, Client, FetchSpec, Message, NewMessage, pb};
use tempfile::TempDir;

use crate::broker::{Process, program};

pub const DEADLINE: Duration = Duration::from_secs(60);

pub struct World {
    pub process: Option<Process>,
    pub client: Client,
    temp: TempDir,
}

/// The messages of a topic by partition.
pub type Contents = BTreeMap<i32, Vec<Message>>;

impl World {
    pub async fn start() -> Self {
        let temp = tempfile::tempdir().expect("a directory");
        let process = Process::start(&temp.path().join("data"));
        let client = Client::connect(&process.native).await.expect("the broker is there");
        Self { process: Some(process), client, temp }
    }

    /// The broker's data directory.
    pub fn data(&self) -> PathBuf {
        self.temp.path().join("data")
    }

    /// Where the backups are.
    pub fn place(&self) -> PathBuf {
        self.temp.path().join("backups")
    }

    pub fn kill_broker(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// Starts the broker again, on another port.
    pub async fn restart(&mut self) {
        let process = Process::start(&self.temp.path().join("data"));
        self.client = Client::connect(&process.native).await.expect("the broker is there");
        self.process = Some(process);
    }

    /// `flymq-cli backup …` with the place after the verb.
    pub fn command(&self, args: &[&str], key: Option<&str>) -> Command {
        let mut command = Command::new(program("flymq-cli", "FLYMQ_CLI_BIN"));
        let native = self.process.as_ref().map_or("127.0.0.1:1", |process| &process.native);
        command
            .env_clear()
            .env("FLYMQ_ADDR", native)
            .arg("backup")
            .arg(args[0])
            .arg(self.place())
            .args(&args[1..]);
        if let Some(key) = key {
            command.env("FLYMQ_BACKUP_KEY", key);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn run(&self, args: &[&str], key: Option<&str>) -> Output {
        self.command(args, key).output().expect("the program runs")
    }

    /// Runs what must succeed; its standard output.
    pub fn ok(&self, args: &[&str], key: Option<&str>) -> String {
        let output = self.run(args, key);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs what must fail; its standard error.
    pub fn fails(&self, args: &[&str], key: Option<&str>) -> String {
        let output = self.run(args, key);
        assert_eq!(
            output.status.code(),
            Some(1),
            "{args:?}: {}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
        text(&output.stderr)
    }

    pub fn spawn(&self, args: &[&str]) -> Child {
        self.command(args, None)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program runs")
    }

    /// Files of the backup directory whose name begins so.
    pub fn files(&self, prefix: &str) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.place()) else { return Vec::new() };
        let mut files: Vec<_> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
        files.retain(|path| name(path).starts_with(prefix));
        files.sort();
        files
    }

    /// A topic whose partitions begin at these offsets, as after retention.
    pub async fn create(&self, topic: &str, first_offsets: &[u64]) {
        let restore =
            pb::RestoreTopic { backup_id: "test".to_owned(), first_offsets: first_offsets.to_vec() };
        let partitions = i32::try_from(first_offsets.len()).expect("few");
        let options =
            pb::TopicOptions { partitions, retention_ms: 86_400_000, ..pb::TopicOptions::default() };
        let request =
            pb::CreateTopicRequest { name: topic.to_owned(), options: Some(options), restore: Some(restore) };
        let _: pb::CreateTopicResponse = self.client.call("CreateTopic", &request).await.expect("it is new");
        let request = pb::FinishRestoreRequest { topic: topic.to_owned(), backup_id: "test".to_owned() };
        let _: pb::FinishRestoreResponse =
            self.client.call("FinishRestore", &request).await.expect("it is empty");
    }

    /// Sends `batches` batches of different sizes to each partition: keys, headers, own times, tombstones.
    pub async fn fill(&self, topic: &str, partitions: i32, batches: usize) {
        for partition in 0..partitions {
            for batch in 0..batches {
                let messages = (0..1 + batch % 7).map(|n| message(partition, batch, n)).collect();
                let stored = self.client.produce_batch(topic, messages, Acks::All).await;
                stored.expect("the broker takes it");
            }
        }
    }

    /// All messages of a topic.
    pub async fn contents(&self, topic: &str) -> Contents {
        let about = self.client.topic(topic).await.expect("it is there");
        let mut all = Contents::new();
        for partition in about.partitions {
            let messages = all.entry(partition.partition).or_default();
            let mut offset = partition.low_watermark;
            while offset < partition.high_watermark {
                let spec = FetchSpec::new(topic, partition.partition, offset);
                let fetched = self.client.fetch(&spec).await.expect("it can be read");
                offset = fetched.next_offset;
                messages.extend(fetched.messages);
            }
        }
        all
    }

    pub async fn exists(&self, topic: &str) -> bool {
        self.client.list_topics().await.expect("the broker is there").iter().any(|found| found.name == topic)
    }
}

fn message(partition: i32, batch: usize, n: usize) -> NewMessage {
    let text = format!("secret-{partition}-{batch}-{n}-");
    let value = text.repeat(1 + batch * 13 % 40);
    let mut message =
        NewMessage { partition: Some(partition), ..NewMessage::keyed(format!("k{}", batch % 5), value) };
    message.timestamp_ms = (n % 2 == 1).then_some(1_600_000_000_000 + i64::try_from(batch).expect("few"));
    message =
        if batch.is_multiple_of(3) { message.header("h", Bytes::from(vec![0, 255, 7])) } else { message };
    if n == 5 {
        message.value = None;
    }
    message
}

/// The same messages under another topic's name.
pub fn renamed(contents: Contents, topic: &str) -> Contents {
    let rename = |message: Message| Message { topic: topic.into(), ..message };
    contents.into_iter().map(|(p, messages)| (p, messages.into_iter().map(rename).collect())).collect()
}

/// Waits until the condition holds.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let give_up = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < give_up, "never: {what}");
        std::thread::yield_now();
    }
}

pub fn name(path: &Path) -> String {
    path.file_name().expect("a file").to_string_lossy().into_owned()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
