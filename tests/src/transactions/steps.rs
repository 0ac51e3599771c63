//! One client that runs one transaction at a time, over all partitions and with an offset, for whoever stops the broker at a
//! chosen step of it (`docs/reliability.md`, B28b).

use std::collections::{BTreeMap, HashMap};

use flymq_client::{Client, ClientError, pb};
use tokio::task::JoinHandle;

use super::{
    Counts, Looked,
    checker::{End, Unit},
    load::{self, Open, ask, connect, in_transaction},
    look,
};
use crate::row::Scenario;

/// Its transactional id.
pub const ID: &str = "txn-steps";
/// Client number: of its group too.
const CLIENT: u32 = 0;

/// What it did so far.
#[derive(Debug)]
pub struct Steps {
    client: Client,
    units: Vec<Unit>,
    /// Of its group, as its last committed transaction said.
    offset: u64,
}

impl Steps {
    /// Topics that are there, at a broker that is up.
    pub async fn new(addresses: &str) -> Self {
        Self { client: connect(addresses).await, units: Vec::new(), offset: 0 }
    }

    /// Takes the id, so that whoever had it is fenced and nothing of it is open.
    ///
    /// # Errors
    /// The broker's refusal.
    pub async fn init(&self) -> Result<(u64, u32), ClientError> {
        let request = pb::InitProducerRequest { transactional_id: ID.to_owned(), transaction_timeout_ms: 0 };
        let given: pb::InitProducerResponse = ask(&self.client, "InitProducer", &request).await?;
        Ok((given.producer_id, given.producer_epoch))
    }

    /// Begins the next transaction of the producer; what the task asks is asked again until there is an answer.
    pub fn start(&mut self, producer: (u64, u32), commit: bool) -> JoinHandle<Result<(), ClientError>> {
        let number = self.units.len();
        let sent: Vec<_> =
            load::keys().enumerate().map(|(n, key)| (key, format!("{CLIENT}/{number}/{n}"))).collect();
        self.units.push(Unit { client: CLIENT, end: End::Unknown, sent: sent.clone(), polled: Vec::new() });
        let (client, offset) = (self.client.clone(), number as u64 + 1);
        tokio::spawn(async move {
            let begin = pb::BeginTransactionRequest {
                transactional_id: ID.to_owned(),
                producer_id: producer.0,
                producer_epoch: producer.1,
                timeout_ms: 0,
            };
            let begun: pb::BeginTransactionResponse = ask(&client, "BeginTransaction", &begin).await?;
            let transaction_id = begun.transaction_id;
            let open = Open { transaction_id, producer, sequences: HashMap::new() };
            for (key, value) in &sent {
                let record = in_transaction(open.producer, &open.transaction_id, key, 0, value);
                let _: pb::ProduceInTransactionResponse =
                    ask(&client, "ProduceInTransaction", &record).await?;
            }
            let offsets = load::offsets(&open.transaction_id, CLIENT, offset);
            let _: pb::CommitOffsetsInTransactionResponse =
                ask(&client, "CommitOffsetsInTransaction", &offsets).await?;
            let transaction_id = open.transaction_id;
            if commit {
                let request = pb::CommitTransactionRequest { transaction_id, producer_epoch: 0 };
                ask::<_, pb::CommitTransactionResponse>(&client, "CommitTransaction", &request)
                    .await
                    .map(drop)
            } else {
                let request = pb::AbortTransactionRequest { transaction_id, producer_epoch: 0 };
                ask::<_, pb::AbortTransactionResponse>(&client, "AbortTransaction", &request).await.map(drop)
            }
        })
    }

    /// How the last transaction must have ended.
    pub fn ended(&mut self, committed: bool) {
        let number = self.units.len() as u64;
        let unit = self.units.last_mut().expect("one was begun");
        unit.end = if committed { End::Committed } else { End::Aborted };
        if committed {
            self.offset = number;
        }
    }

    /// Reads everything, and counts what is wrong into the scenario.
    pub async fn look(&self, scenario: &mut Scenario) -> Looked {
        let offsets = BTreeMap::from([(CLIENT, self.offset)]);
        look(&self.units, &offsets, &Counts::default(), &self.client, scenario).await
    }
}
