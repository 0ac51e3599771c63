//! Who moves dead records, as `server/api/src/dispatch/dead_letters` does: what is written there and what is over here are one
//! transaction, which is aborted now and then, or left in the middle.

use flymq_engine::{Act, Engine, EngineError, Moving, Outcome, Target};
use flymq_types::{BatchFlags, PartitionId, TransactionalId};
use flymq_wire::batch::ProducerFields;
use parking_lot::Mutex;

use super::{GROUP, LETTERS, PARTITIONS, QUEUE};
use crate::chance::book::Book;
use crate::chance::clients::{Client, REQUESTS, batch_of, timeout};
use crate::chance::counts::Event;
use crate::support::*;

/// Records that one transaction moves.
const AT_ONCE: usize = 3;

/// Id and epoch of a producer that has nothing open.
type Producer = Option<(u64, u16)>;

impl Client<'_> {
    pub(super) async fn bury(&self) {
        let mut producer = None;
        for _ in 0..REQUESTS {
            producer = self.bury_some(producer.take()).await.unwrap_or(None);
            if self.stopped() {
                return;
            }
            self.pause().await;
        }
    }

    /// Moves some, where there are any; the producer goes on where its transaction has ended.
    async fn bury_some(&self, producer: Producer) -> Result<Producer, EngineError> {
        let group = group(GROUP);
        let doomed = self.engine.doomed(&group, AT_ONCE)?;
        if doomed.is_empty() && (producer.is_some() || !self.engine.has_doomed(&group)?) {
            return Ok(producer);
        }
        let id = TransactionalId::new("mover").unwrap();
        let (producer_id, epoch) = match producer {
            Some(known) => known,
            None => self.engine.init_transactional_producer(&id, timeout()).await?,
        };
        if doomed.is_empty() {
            return Ok(Some((producer_id, epoch)));
        }
        let handle = self.engine.begin_transaction(&id, (producer_id, epoch), timeout()).await?;
        let marked = self.engine.mark_moving(&handle, &group, doomed).await?;
        let mut sequences = [0; PARTITIONS as usize];
        for moving in &marked {
            if self.leaves() {
                return Ok(None);
            }
            let partition = moving.partition.get();
            let next = &mut sequences[partition as usize];
            let fields = ProducerFields { id: producer_id, epoch: handle.epoch, base_sequence: *next };
            *next += 1;
            let letter =
                batch_of(Some(fields), Some(BatchFlags::TRANSACTIONAL), &self.value_of(moving).await?);
            let target = Target::Partition(PartitionId(partition));
            self.engine.append_in_transaction(&handle, &topic(LETTERS), target, letter).await?;
        }
        if self.leaves() {
            return Ok(None);
        }
        let outcome = if self.below(6) == 0 { Outcome::Abort } else { Outcome::Commit };
        let epoch = self.engine.end_transaction(&handle, outcome).await?;
        self.count(Event::MovesAborted, u64::from(outcome == Outcome::Abort));
        Ok(Some((producer_id, epoch)))
    }

    /// Whether the mover dies here.
    fn leaves(&self) -> bool {
        let leaves = self.below(16) == 0;
        self.count(Event::MovesLeft, leaves.into());
        leaves
    }

    async fn value_of(&self, moving: &Moving) -> Result<String, EngineError> {
        let (partition, offset) = (moving.partition.get(), moving.offset.get());
        let fetched = self.engine.fetch(spec(QUEUE, partition, offset)).await?;
        Ok(values(&fetched, offset).remove(0).1)
    }

    /// A last worker accepts all that is left, and what is dead is moved.
    async fn work_off(&self) {
        let mut producer = None;
        loop {
            self.node.clock.advance(std::time::Duration::from_millis(500));
            // Refused as long as what the last life has left of transactions is read.
            producer = self.bury_some(producer.take()).await.unwrap_or(None);
            let mut left = self.engine.has_doomed(&group(GROUP)).unwrap();
            for partition in 0..PARTITIONS {
                let taken = self.take("last", partition, 50).await.unwrap();
                left |= !taken.records.is_empty() || taken.wake.is_some() || taken.doomed;
                for (offset, _) in taken.records {
                    self.act("last", (partition, offset.get()), Act::Accept).await;
                }
            }
            if !left {
                return;
            }
        }
    }
}

/// Works off all that is left in the queue.
pub(in crate::chance) async fn work_off(
    node: &Node,
    engine: &Engine,
    book: &mut Book,
    rng: flymq_types::SeededRng,
) {
    let book = Mutex::new(book);
    soon(Client { node, engine, book: &book, rng }.work_off()).await;
}
