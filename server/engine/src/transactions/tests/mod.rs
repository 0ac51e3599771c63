//! The state machine, step by step and by chance.

mod chance;
mod steps;

use flymq_types::{PartitionId, Timestamp, TopicId, TopicName};

use super::state::{LAST_EPOCH, Producer, Refusal, Step, Transaction};
use super::{Outcome, Phase, Place};

const TIMEOUT_MS: u32 = 1_000;

fn at(ms: i64) -> Timestamp {
    Timestamp(ms)
}

fn place(number: u32) -> Place {
    let name = TopicName::new("t").unwrap();
    Place::Partition { topic: TopicId::from_bytes([1; 16]), name, partition: PartitionId(number) }
}

fn by(id: u64, epoch: u16) -> Producer {
    Producer { id, epoch }
}

fn written<T>(step: Step<T>) -> (Transaction, T) {
    match step {
        Step::Write(next, answer) => (next, answer),
        _ => panic!("nothing was to be written and answered"),
    }
}

fn ended<T>(step: Step<T>) -> Transaction {
    match step {
        Step::End(next) => next,
        _ => panic!("nothing was to be ended"),
    }
}
