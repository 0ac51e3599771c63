//! A broker that may open few files.

use std::{net::TcpStream, path::Path, process::Command, time::Instant};

use serde_json::{Value, json};

use crate::broker::{DEADLINE, Process, flymq};

const PARTITIONS: usize = 150;

/// The binary under this limit on open files, soft and hard.
fn limited(data_dir: &Path, files: usize) -> Command {
    let plain = flymq(data_dir);
    let mut command = Command::new("sh");
    let script = format!("ulimit -n {files} && exec \"$0\"");
    command.args(["-c", &script]).arg(plain.get_program()).env_clear();
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

impl Process {
    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.ready["pid"])).expect("it runs").count()
    }

    /// Produces to a partition, again as long as the broker says that it has no descriptor for it just now.
    fn produce_to(&self, partition: usize, value: &str) {
        let give_up = Instant::now() + DEADLINE;
        loop {
            let body =
                json!({"acks": "ACKS_ALL", "partition": partition, "records": [{"value_text": value}]});
            match self.rest("POST", "/api/v1/topics/many/records", &body) {
                (200, _) => return,
                (429 | 503, answer) => {
                    assert_eq!(answer["error"]["code"], "OVERLOADED", "{answer}");
                    assert!(Instant::now() < give_up, "{answer}");
                }
                (status, answer) => panic!("{status} {answer}"),
            }
        }
    }

    fn values_of(&self, partition: usize) -> Vec<String> {
        let path = format!("/api/v1/topics/many/partitions/{partition}/records?text=true&max_records=100");
        let (status, answer) = self.rest("GET", &path, &Value::Null);
        assert_eq!(status, 200, "{answer}");
        let records = answer["records"].as_array().expect("a list");
        records.iter().map(|r| r["value_text"].as_str().expect("text").to_owned()).collect()
    }
}

#[test]
fn more_partitions_than_descriptors_and_more_connections_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let broker = Process::run(&mut limited(dir.path(), 160));
    let made = json!({"name": "many", "options": {"partitions": PARTITIONS}});
    assert_eq!(broker.rest("POST", "/api/v1/topics", &made).0, 200);
    for round in ["first", "second"] {
        for partition in 0..PARTITIONS {
            broker.produce_to(partition, round);
        }
    }
    assert!(broker.descriptors() < 150, "{} are open", broker.descriptors());

    // A crowd that takes every connection there is, on each door.
    let crowd: Vec<_> = ["native", "grpc"]
        .iter()
        .flat_map(|door| (0..300).map(|_| TcpStream::connect(broker.addr(door))))
        .collect();
    broker.produce_to(7, "third");
    assert_eq!(broker.values_of(7), ["first", "second", "third"]);
    let (status, health) = crate::broker::http(broker.addr("health"), "GET", "/health", &Value::Null);
    assert_eq!((status, health["status"].as_str()), (200, Some("ok")), "{health}");
    drop(crowd);
    broker.crash();

    let broker = Process::run(&mut limited(dir.path(), 160));
    for partition in 0..PARTITIONS {
        let expected: &[&str] =
            if partition == 7 { &["first", "second", "third"] } else { &["first", "second"] };
        assert_eq!(broker.values_of(partition), expected, "partition {partition}");
    }
    broker.produce_to(8, "after");
}
