//! A data disk that is full, or read-only, under a running broker.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    broker::{DEADLINE, Process, flymq, http},
    mounts::Mount,
    refusals::refused,
};

/// So soon after space is free, records are taken again.
const RESUME: Duration = Duration::from_secs(5);

impl Process {
    fn try_produce(&self, topic: &str, value: &str, acks: &str) -> (u16, Value) {
        let body = json!({"acks": acks, "partition": 0, "records": [{"value_text": value}]});
        self.rest("POST", &format!("/api/v1/topics/{topic}/records"), &body)
    }

    fn commit(&self, group: &str, offset: u64) {
        // Long enough that many of them need new blocks.
        let place = json!({"topic": "kept", "partition": 0, "offset": offset, "metadata": "m".repeat(1_000)});
        let body = json!({"offsets": [place]});
        let (status, answer) = self.rest("POST", &format!("/api/v1/consumer-groups/{group}/offsets"), &body);
        assert_eq!(status, 200, "commit: {answer}");
    }

    fn health(&self) -> Value {
        let (status, health) = http(self.addr("health"), "GET", "/health", &Value::Null);
        assert_eq!(status, 200, "reads are served: {health}");
        health
    }

    /// Waits for the health check `disk` to begin with the text.
    fn wait_for_disk(&self, wanted: &str) -> Value {
        let give_up = Instant::now() + DEADLINE;
        loop {
            let health = self.health();
            if health["checks"]["disk"].as_str().is_some_and(|disk| disk.starts_with(wanted)) {
                return health;
            }
            assert!(Instant::now() < give_up, "the disk is never {wanted}: {health}");
        }
    }

    /// Produces until not even little goes in; returns how many MiB did, and the refusal.
    fn fill(&self, topic: &str) -> (u64, u16, Value) {
        let (large, small) = ("x".repeat(1 << 20), "x".repeat(1 << 10));
        let mut count = 0;
        while self.try_produce(topic, &large, "ACKS_LEADER").0 == 200 {
            count += 1;
        }
        loop {
            let (status, answer) = self.try_produce(topic, &small, "ACKS_LEADER");
            if status != 200 {
                return (count, status, answer);
            }
        }
    }

    fn resumes(&self, topic: &str, value: &str) {
        let began = Instant::now();
        while self.try_produce(topic, value, "ACKS_ALL").0 != 200 {
            assert!(began.elapsed() < RESUME, "{}", self.health());
        }
    }
}

#[test]
fn a_full_disk_refuses_records_alone_and_opens_again_by_itself() {
    let Some(disk) = Mount::tmpfs("64m") else { return };
    let broker = Process::start(&disk.data());
    broker.produce("kept", "first");
    broker.commit("early", 1);

    // Our own records stop at the watermark.
    let (count, status, refusal) = broker.fill("bulk");
    assert_eq!((status, refusal["error"]["code"].as_str()), (507, Some("STORAGE_FULL")), "{refusal}");
    assert!(count > 20, "{count} MiB went in");
    assert_eq!(broker.try_produce("kept", "no", "ACKS_LEADER").0, 507);
    broker.commit("early", 1);

    // Another program takes what is left: the rest lives on the reserve.
    let mut filler = std::fs::File::create(disk.path().join("filler")).expect("a file");
    while filler.write_all(&[1; 4096]).is_ok() {}
    let health = broker.wait_for_disk("nearly full");
    assert_eq!((health["status"].as_str(), health["ready"].as_bool()), (Some("degraded"), Some(true)));
    for n in 0..600 {
        broker.commit(&format!("late-{n}"), 1);
    }
    broker.wait_for_disk("full: ");
    let (status, answer) = broker.rest("POST", "/api/v1/topics", &json!({"name": "made", "options": {}}));
    assert_eq!(status, 200, "{answer}");
    assert_eq!(broker.values("kept"), ["first"]);
    assert_eq!(broker.try_produce("kept", "no", "ACKS_LEADER").0, 507);
    broker.wait_for_metric("flymq_disk_state{state=\"full\"}", 1.0);

    // Deletion frees space; the filler goes, too.
    let (status, answer) = broker.rest("DELETE", "/api/v1/topics/bulk", &Value::Null);
    assert_eq!(status, 200, "{answer}");
    drop(filler);
    std::fs::remove_file(disk.path().join("filler")).expect("it is there");
    broker.resumes("kept", "second");
    broker.wait_for_disk("ok");
    broker.wait_for_metric("flymq_disk_reserve_bytes", 1.0);

    broker.crash();
    let broker = Process::start(&disk.data());
    assert_eq!(broker.values("kept"), ["first", "second"]);
    let (_, groups) = broker.rest("GET", "/api/v1/consumer-groups/late-599/offsets", &Value::Null);
    assert_eq!(groups["offsets"][0]["offset"].as_u64(), Some(1), "{groups}");
}

#[test]
fn a_broker_starts_on_a_full_disk_and_serves_reads() {
    let Some(disk) = Mount::tmpfs("64m") else { return };
    let broker = Process::start(&disk.data());
    broker.produce("kept", "first");
    broker.crash();
    let mut filler = std::fs::File::create(disk.path().join("filler")).expect("a file");
    while filler.write_all(&[1; 4096]).is_ok() {}
    let mut broker = Process::start(&disk.data());
    assert_eq!(broker.values("kept"), ["first"]);
    broker.wait_for_disk("nearly full");
    assert_eq!(broker.try_produce("kept", "no", "ACKS_LEADER").0, 507);
    broker.signal("TERM");
    assert!(broker.exit().success(), "and it stops in order");
}

#[test]
fn a_disk_that_turns_read_only_serves_reads() {
    let Some(disk) = Mount::ext4(64 << 20) else { return };
    let device = disk.device.as_deref().expect("an image has one");
    let trigger = device.replace("/dev/", "/sys/fs/ext4/") + "/trigger_fs_error";
    let broker = Process::start(&disk.data());
    broker.produce("kept", "first");
    std::fs::write(&trigger, "a test").expect("ext4 takes errors on request");
    let (status, answer) = broker.try_produce("other", "no", "ACKS_LEADER");
    assert!([503, 500].contains(&status), "{status} {answer}");
    let (status, answer) = broker.try_produce("kept", "no", "ACKS_ALL");
    assert!([503, 500].contains(&status), "{status} {answer}");
    assert_eq!(broker.health()["status"], "degraded", "{}", broker.health());
    assert_eq!(broker.values("kept"), ["first"]);
    broker.crash();
}

#[test]
fn a_read_only_directory_is_refused_at_start_with_a_sentence() {
    let Some(disk) = Mount::tmpfs("64m") else { return };
    let broker = Process::start(&disk.data());
    broker.produce("kept", "first");
    broker.crash();
    disk.remount("ro");
    let (code, text) = refused(&mut flymq(&disk.data()));
    assert_eq!(code, 6, "{text}");
    assert!(text.contains("read-only") && text.contains("remount"), "{text}");
    disk.remount("rw");
    assert_eq!(Process::start(&disk.data()).values("kept"), ["first"]);
}

/// A limit on the size of files is told by a signal that ends a process which does not know it.
#[test]
fn a_limit_on_file_sizes_refuses_records_and_ends_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let plain = flymq(dir.path());
    let mut limited = std::process::Command::new("sh");
    let program = plain.get_program().to_str().expect("a path");
    // Blocks of 512 bytes, or of 1,024 in some shells: 8 or 16 MiB.
    limited
        .args(["-c", &format!("ulimit -f 16384; exec '{program}'")])
        .env_clear()
        .stdin(std::process::Stdio::null());
    limited.env("PATH", "/usr/bin:/bin");
    for (name, value) in plain.get_envs() {
        limited.env(name, value.unwrap_or_default());
    }
    let broker = Process::run(&mut limited);
    let value = "x".repeat(1 << 20);
    let mut stored = 0;
    while broker.try_produce("t", &value, "ACKS_ALL").0 == 200 {
        stored += 1;
        assert!(stored < 64, "no limit is felt");
    }
    let (status, answer) = broker.try_produce("t", "one more", "ACKS_ALL");
    assert_ne!(status, 200, "{answer}");
    assert_eq!(broker.health()["status"], "degraded", "it lives, and says so");
    assert_eq!(broker.values("t").len(), stored);
    broker.crash();
    assert_eq!(Process::start(dir.path()).values("t").len(), stored, "all that was acknowledged is there");
}
