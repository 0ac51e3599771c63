//! What the clients did and saw: one event a line (JSONL), so that a run can be read and checked again.

use std::{
    io::{BufWriter, Write as _},
    path::Path,
    sync::Mutex,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// `info`: no answer, or one that leaves open whether it took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    Invoke,
    Ok,
    Fail,
    Info,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Promise {
    Leader,
    All,
}

/// `value` is `client/cycle/counter`, unique in a run. `at`, once known, is partition and offset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Op {
    Produce {
        value: String,
        acks: Promise,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<(i32, u64)>,
    },
    /// A record was readable.
    Read {
        partition: i32,
        offset: u64,
        value: String,
    },
    /// Retention has removed what is before this offset.
    Start {
        partition: i32,
        offset: u64,
    },
    /// Reads of these offsets (`to` excluded) are answered with a damaged range.
    Refused {
        partition: i32,
        from: u64,
        to: u64,
    },
    /// The broker says, after a restart, that the partition ends here; all before it was just read or is known.
    End {
        partition: i32,
        offset: u64,
    },
    /// What the partition's leader says its end is: invoked with 0, answered with the end.
    Latest {
        partition: i32,
        offset: u64,
    },
    Commit {
        group: String,
        partition: i32,
        offset: u64,
    },
    /// What a group has committed, asked after a restart.
    Committed {
        group: String,
        partition: i32,
        offset: u64,
    },
    CreateTopic {
        topic: String,
    },
    DeleteTopic {
        topic: String,
    },
    /// The topics that there are, asked after a restart.
    Topics {
        topics: Vec<String>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Since the start of the run.
    pub at_ns: u64,
    pub client: u32,
    pub phase: Phase,
    #[serde(flatten)]
    pub op: Op,
}

/// The events since they were last taken, in the order in which they happened.
#[derive(Debug)]
pub struct History {
    began: Instant,
    began_at: SystemTime,
    events: Mutex<Vec<Event>>,
}

impl Default for History {
    fn default() -> Self {
        Self { began: Instant::now(), began_at: SystemTime::now(), events: Mutex::default() }
    }
}

impl History {
    pub fn new() -> Self {
        Self::default()
    }

    /// `at_ns` of a wall time, Unix seconds.
    pub fn ns_at(&self, unix_seconds: f64) -> u64 {
        let at = UNIX_EPOCH + Duration::from_secs_f64(unix_seconds);
        let since = at.duration_since(self.began_at).unwrap_or_default();
        u64::try_from(since.as_nanos()).expect("a run is shorter than 500 years")
    }

    /// Now, as `at_ns`.
    pub fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).expect("a run is shorter than 500 years")
    }

    pub fn add(&self, client: u32, phase: Phase, op: Op) {
        let mut events = self.events.lock().expect("no writer panics");
        let at_ns = self.now();
        events.push(Event { at_ns, client, phase, op });
    }

    /// The events since they were last taken, which stay.
    pub fn peek(&self) -> Vec<Event> {
        self.events.lock().expect("no writer panics").clone()
    }

    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.events.lock().expect("no writer panics"))
    }
}

/// Appends events to a JSONL file.
pub fn append(path: &Path, events: &[Event]) {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path).expect("a writable file");
    let mut out = BufWriter::new(file);
    for event in events {
        serde_json::to_writer(&mut out, event).expect("an event is JSON");
        out.write_all(b"\n").expect("written");
    }
    out.flush().expect("written");
}
