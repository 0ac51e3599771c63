//! The load that is not records: commits, topics, and readers of what is new.

use std::time::Duration;

use flymq_client::{ClientError, FetchSpec, pb::PartitionOffset};

use super::{PARTITIONS, Session, TOPIC, unanswered, unpadded};
use crate::history::{Op, Phase};

pub const GROUPS: [&str; 2] = ["even", "odd"];
/// Topics made in one cycle; each but the last is deleted again.
const TOPICS_A_CYCLE: u32 = 4;

/// Commits rising offsets for two groups on every partition.
pub async fn commit(session: Session) {
    for n in 0_u32.. {
        let group = GROUPS[n as usize % GROUPS.len()];
        // Rises over the cycles too.
        let offset = u64::from(session.cycle) * 1_000_000 + u64::from(n);
        let ops: Vec<Op> = (0..PARTITIONS)
            .map(|partition| Op::Commit { group: group.to_owned(), partition, offset })
            .collect();
        session.add_all(Phase::Invoke, &ops);
        let offsets = (0..PARTITIONS).map(|partition| PartitionOffset {
            topic: TOPIC.to_owned(),
            partition,
            offset,
            ..PartitionOffset::default()
        });
        let result = session.client.commit(group, offsets.collect()).await;
        session.add_all(phase(result.as_ref()), &ops);
        if result.is_err() {
            return;
        }
    }
}

/// Creates topics and deletes the one before.
pub async fn topics(session: Session) {
    for n in 0..TOPICS_A_CYCLE {
        let topic = format!("made-{}-{n}", session.cycle);
        let op = Op::CreateTopic { topic: topic.clone() };
        session.add(Phase::Invoke, op.clone());
        let result = session.client.create_topic(&topic, 1).await.map(drop);
        session.add(phase(result.as_ref()), op);
        if result.is_err() {
            return;
        }
        if n + 1 == TOPICS_A_CYCLE {
            return;
        }
        let op = Op::DeleteTopic { topic: topic.clone() };
        session.add(Phase::Invoke, op.clone());
        let result = session.client.delete_topic(&topic).await;
        session.add(phase(result.as_ref()), op);
        if result.is_err() {
            return;
        }
    }
}

/// Reads a partition as it grows: what was readable once must be there after the crash.
pub async fn read(session: Session, partition: i32, from: u64) {
    let mut spec = FetchSpec::new(TOPIC, partition, from);
    spec.max_wait = Duration::from_millis(100);
    while let Ok(page) = session.client.fetch(&spec).await {
        for message in &page.messages {
            let value = unpadded(&message.value);
            session.add(Phase::Ok, Op::Read { partition, offset: message.offset, value });
        }
        spec.offset = page.next_offset;
    }
}

impl Session {
    fn add_all(&self, phase: Phase, ops: &[Op]) {
        for op in ops {
            self.add(phase, op.clone());
        }
    }
}

fn phase(result: Result<&(), &ClientError>) -> Phase {
    match result {
        Ok(()) => Phase::Ok,
        Err(error) => unanswered(error),
    }
}
