//! Those who take records and answer for them: in time, too late, never, or for records that others have.

use std::sync::Arc;
use std::time::Duration;

use flymq_engine::{Acquired, Act, Ask, EngineError, Fetched, Nack, Offered, RecordAt};
use flymq_types::{Offset, PartitionId, fnv1a_32};

use super::fates::{At, Call, Told};
use super::{GROUP, PARTITIONS, QUEUE, is_ordered};
use crate::chance::clients::{Client, REQUESTS};
use crate::support::*;

/// The longest lock, ms.
const LOCK_MS: u64 = 1_500;

/// Offset and key of each record from `from` on.
fn keys(fetched: &Fetched, from: u64) -> Vec<(u64, Option<String>)> {
    let records = fetched.batches.iter().flat_map(|batch| {
        batch.records().unwrap().map(|record| {
            let record = record.unwrap();
            (record.offset, record.key.map(|key| String::from_utf8(key.to_vec()).unwrap()))
        })
    });
    records.filter(|(offset, _)| *offset >= from).collect()
}

fn hash(key: &str) -> u32 {
    fnv1a_32(key.as_bytes())
}

impl Client<'_> {
    fn any(&self, of: &[At]) -> Option<usize> {
        (!of.is_empty()).then(|| usize::try_from(self.below(of.len() as u64)).unwrap())
    }

    /// Takes records and answers for them, one after the other.
    pub(super) async fn work(&self, by: &str) {
        let (mut held, mut forgotten): (Vec<At>, Vec<At>) = (Vec::new(), Vec::new());
        for _ in 0..REQUESTS {
            match (self.below(8), self.any(&held), self.any(&forgotten)) {
                (0, Some(at), _) => forgotten.push(held.swap_remove(at)),
                (1, _, Some(at)) => drop(self.answer(by, forgotten.swap_remove(at)).await),
                (2, ..) => {
                    if let Some(at) = self.anywhere() {
                        // Without a name: as a reader in order, which acquires nothing.
                        let by = if self.below(2) == 0 { by } else { "" };
                        self.answer(by, at).await;
                        // And perhaps something else, as one that did not hear that it was heard.
                        self.answer(by, at).await;
                    }
                }
                (3.., Some(at), _) => {
                    if let Told::Extended(_) = self.answer(by, held[at]).await {
                        continue;
                    }
                    held.swap_remove(at);
                }
                _ => {
                    let partition = u32::try_from(self.below(PARTITIONS.into())).unwrap();
                    let most = usize::try_from(1 + self.below(4)).unwrap();
                    if let Ok(taken) = self.take(by, partition, most).await {
                        held.extend(taken.records.iter().map(|(offset, _)| (partition, offset.get())));
                    }
                }
            }
            if self.stopped() {
                return;
            }
            self.pause().await;
        }
    }

    /// A record that another may have, or nobody yet, or that is over; more often one of the newest.
    fn anywhere(&self) -> Option<At> {
        let book = self.book.lock();
        let stored = &book.queue.stored;
        let newest = if self.below(3) == 0 { 0 } else { stored.len().saturating_sub(4) };
        self.any(&stored[newest..]).map(|at| stored[newest + at])
    }

    pub(super) async fn take(&self, by: &str, partition: u32, most: usize) -> Result<Acquired, EngineError> {
        let (group, name, number) = (group(GROUP), topic(QUEUE), PartitionId(partition));
        let from = self.engine.next_to_acquire(&group, &name, number)?.map_or(0, Offset::get);
        let fetched = self.engine.fetch(spec(QUEUE, partition, from)).await?;
        let found = keys(&fetched, from);
        let records = found.iter().map(|(offset, key)| (*offset, key.as_deref().map(hash)));
        let offered = Offered { from, upto: fetched.next_offset.get(), records: records.collect() };
        let lock = 100 + self.below(LOCK_MS);
        let ask = Ask {
            member: by.into(),
            max: most,
            lock: Duration::from_millis(lock),
            ordered: is_ordered(partition),
            policy: self.engine.retry_policy(&group, &name),
        };
        let call = self.book.lock().queue.call(self.now());
        let acquired = self.engine.acquire((&group, &name, number), offered, ask).await?;
        let mut given = Vec::new();
        for (offset, failed) in &acquired.records {
            let known = found.iter().find(|(known, _)| known == &offset.get());
            let key = match known {
                Some((_, key)) => key.clone(),
                None => {
                    let fetched = self.engine.fetch(spec(QUEUE, partition, offset.get())).await?;
                    keys(&fetched, offset.get()).remove(0).1
                }
            };
            given.push((((partition, offset.get()), key), *failed));
        }
        let mut book = self.book.lock();
        let book = &mut **book;
        for (record, failed) in given {
            let lock = i64::try_from(lock).unwrap();
            book.queue.given(record, (by, lock), failed, (call, self.now()), &mut book.counts);
        }
        Ok(acquired)
    }

    /// One of the answers by chance, most of them an acceptance.
    async fn answer(&self, by: &str, at: At) -> Told {
        let error: Arc<str> = "boom".into();
        match self.below(12) {
            0 => self.act(by, at, Act::Release).await,
            1 => self.act(by, at, Act::Reject { error }).await,
            2 => self.act(by, at, Act::Extend(Duration::from_millis(100 + self.below(LOCK_MS)))).await,
            3..6 => self.nack(by, at).await,
            _ => self.act(by, at, Act::Accept).await,
        }
    }

    pub(super) async fn act(&self, by: &str, at: At, act: Act) -> Told {
        let began = self.now();
        let call = self.answering(by, at);
        let place = (&group(GROUP), &topic(QUEUE), PartitionId(at.0));
        let answered = self.engine.answer(place, vec![Offset(at.1)], act.clone(), by.to_owned()).await;
        let told = match (answered, act) {
            (Ok(_), Act::Accept) => Told::Accepted,
            (Ok(_), Act::Release) => Told::Released,
            (Ok(_), Act::Extend(time)) => Told::Extended(began + i64::try_from(time.as_millis()).unwrap()),
            (Ok(_), Act::Fail { .. } | Act::Reject { .. }) => Told::Dead,
            (Err(EngineError::RecordNotHeld { .. }), _) => Told::Refused,
            (Err(_), act) => Told::Unknown(act == Act::Accept),
        };
        self.answered(by, at, told, call)
    }

    async fn nack(&self, by: &str, (partition, offset): At) -> Told {
        let call = self.answering(by, (partition, offset));
        let key = self.book.lock().queue.key_of((partition, offset));
        let at = RecordAt {
            group: group(GROUP),
            topic: topic(QUEUE),
            partition: PartitionId(partition),
            offset: Offset(offset),
        };
        let nack = Nack {
            error: "boom".to_owned(),
            member: by.to_owned(),
            membership: None,
            commit: false,
            max_retries: None,
            delay_ms: None,
        };
        let told = match self.engine.nack(&at, key.as_deref().map(hash), nack).await {
            Ok(nacked) if nacked.wait.is_some() => Told::Failed(nacked.attempts),
            Ok(_) => Told::Dead,
            Err(EngineError::RecordNotHeld { .. }) => Told::Refused,
            Err(_) => Told::Unknown(false),
        };
        self.answered(by, (partition, offset), told, call)
    }

    fn answering(&self, by: &str, at: At) -> Call {
        let mut book = self.book.lock();
        book.queue.answering(at, by);
        book.queue.call(self.now())
    }

    fn answered(&self, by: &str, at: At, told: Told, call: Call) -> Told {
        let mut book = self.book.lock();
        let book = &mut **book;
        book.queue.told(at, by, told, (call, self.now()), &mut book.counts);
        told
    }
}
