//! A member of a consumer group, over REST.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Instant,
};

use serde_json::{Value, json};

use crate::broker::{DEADLINE, http};

/// A consumer's process would do the same.
#[derive(Debug)]
pub struct Member {
    pub rest: SocketAddr,
    pub id: String,
    pub epoch: u64,
    pub generation: u64,
    /// Partitions of topic `t`.
    pub owned: BTreeSet<u64>,
    /// Everything that it read: partition and value.
    pub read: BTreeSet<(u64, String)>,
    /// Next offsets of what it owns.
    next: BTreeMap<u64, u64>,
}

impl Member {
    /// Joins group `g` for topic `t`.
    pub fn join(rest: SocketAddr, id: &str, session_timeout_ms: u64) -> Self {
        let body = json!({"topics": ["t"], "member_id": id, "session_timeout_ms": session_timeout_ms});
        let (status, answer) = http(rest, "POST", "/api/v1/consumer-groups/g/members", &body);
        assert_eq!(status, 200, "{answer}");
        let mut member = Self {
            rest,
            id: id.to_owned(),
            epoch: 0,
            generation: 0,
            owned: BTreeSet::new(),
            read: BTreeSet::new(),
            next: BTreeMap::new(),
        };
        member.apply(&answer);
        member
    }

    /// One heartbeat, which waits up to so long for another assignment; the refusal, where it is refused.
    pub fn try_beat(&mut self, max_wait_ms: u64) -> Result<(), (u16, Value)> {
        let owned: Vec<u64> = self.owned.iter().copied().collect();
        let body = json!({
            "generation": self.generation, "member_epoch": self.epoch, "max_wait_ms": max_wait_ms,
            "owned": [{"topic": "t", "partitions": owned}],
        });
        let path = format!("/api/v1/consumer-groups/g/members/{}/heartbeat", self.id);
        let (status, answer) = http(self.rest, "POST", &path, &body);
        if status != 200 {
            return Err((status, answer));
        }
        if answer["changed"] == true {
            self.apply(&answer);
        }
        Ok(())
    }

    pub fn beat(&mut self, max_wait_ms: u64) {
        self.try_beat(max_wait_ms).unwrap_or_else(|refusal| panic!("{}: {refusal:?}", self.id));
    }

    /// Beats until it owns so many partitions.
    pub fn beat_until_it_owns(&mut self, count: usize) {
        let give_up = Instant::now() + DEADLINE;
        while self.owned.len() != count {
            assert!(Instant::now() < give_up, "{} owns {:?}", self.id, self.owned);
            self.beat(500);
        }
    }

    fn apply(&mut self, answer: &Value) {
        let number = |field: &str| answer[field].as_u64().expect("a number");
        (self.epoch, self.generation) = (number("member_epoch"), number("generation"));
        let topics = answer["assignment"].as_array().cloned().unwrap_or_default();
        let numbers = topics.iter().flat_map(|of| of["partitions"].as_array().expect("a list"));
        let now: BTreeSet<u64> = numbers.map(|number| number.as_u64().expect("a number")).collect();
        self.next.retain(|partition, _| now.contains(partition));
        self.owned = now;
    }

    /// Reads up to so many records of each of its partitions, from where the group or itself was.
    pub fn read(&mut self, most: usize) {
        for partition in self.owned.clone() {
            let start = format!("/api/v1/consumer-groups/g/topics/t/partitions/{partition}/start");
            let next = self.next.get(&partition).copied().unwrap_or_else(|| {
                let (status, answer) =
                    http(self.rest, "GET", &format!("{start}?from=START_FROM_COMMITTED"), &Value::Null);
                assert_eq!(status, 200, "{answer}");
                answer["offset"].as_u64().expect("an offset")
            });
            let path = format!(
                "/api/v1/topics/t/partitions/{partition}/records?text=true&offset={next}&max_records={most}"
            );
            let (status, answer) = http(self.rest, "GET", &path, &Value::Null);
            assert_eq!(status, 200, "{answer}");
            let records = answer["records"].as_array().cloned().unwrap_or_default();
            let values = records.iter().map(|r| r["value_text"].as_str().expect("text").to_owned());
            self.read.extend(values.map(|value| (partition, value)));
            let next = records.last().and_then(|r| r["offset"].as_u64()).map_or(next, |last| last + 1);
            self.next.insert(partition, next);
        }
    }

    /// Commits what it read; the status and answer.
    pub fn commit(&self) -> (u16, Value) {
        let offsets = self.next.iter();
        let offsets: Vec<Value> = offsets
            .map(|(partition, offset)| json!({"topic": "t", "partition": partition, "offset": offset}))
            .collect();
        let body = json!({"offsets": offsets, "member_id": self.id, "generation": self.generation});
        http(self.rest, "POST", "/api/v1/consumer-groups/g/offsets", &body)
    }
}
