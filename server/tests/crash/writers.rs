//! The load: each writer sends one record after the other, several of them at once.

use flymq_client::{Acks, Client, NewMessage};

pub const TOPIC: &str = "crash";
pub const WRITERS: u32 = 8;

/// An acknowledged record.
pub struct Acked {
    pub partition: i32,
    pub offset: u64,
    pub value: String,
}

/// Writes until the first error, which is the crash; returns what was acknowledged.
pub async fn write_until_it_breaks(client: Client, cycle: u32, writer: u32, acks: Acks) -> Vec<Acked> {
    let mut acked = Vec::new();
    for number in 0_u64.. {
        let value = format!("{cycle}/{writer}/{number}");
        let message = NewMessage::keyed(format!("key-{}", number % 7), value.clone());
        match client.produce_one(TOPIC, message, acks).await {
            Ok(at) => acked.push(Acked { partition: at.partition, offset: at.offset, value }),
            Err(_) => break,
        }
    }
    acked
}
