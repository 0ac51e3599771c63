//! Dead letters back to where they came from: some by their ids, those that match, or all.

use std::{collections::BTreeMap, ops::ControlFlow, time::Instant};

use flymq_engine::Moving;
use flymq_proto::pb;
use flymq_types::{Offset, PartitionId, TopicName};

use super::{super::EngineBroker, Letters, MAX_LETTERS, Place, letter, place, wanted::Wanted};
use crate::{BrokerError, CallContext, ErrorCode, convert};

/// Letters that one transaction of a replay moves.
const AT_ONCE: usize = 64;

impl EngineBroker {
    pub(in crate::dispatch) async fn replay_dead_letters(
        &self,
        ctx: &CallContext,
        request: pb::ReplayDeadLettersRequest,
    ) -> Result<pb::ReplayDeadLettersResponse, BrokerError> {
        let ways = [!request.ids.is_empty(), request.all, !request.filter.is_empty()];
        if ways.iter().filter(|way| **way).count() != 1 {
            return Err(convert::invalid("ids", "name ids, or all, or a filter"));
        }
        if request.ids.len() > MAX_LETTERS {
            return Err(convert::invalid("ids", format!("at most {MAX_LETTERS}")));
        }
        let wanted = Wanted::of(&request.filter, &self.filters)?;
        let letters = self.letters(&request.topic)?;
        let me = self.owned()?;
        let deadline = ctx.deadline;
        // A transaction that has begun is ended also if the caller goes away.
        let work = tokio::spawn(async move { me.replay(&letters, request, wanted, deadline).await });
        work.await.unwrap_or_else(|_| {
            Err(BrokerError::new(ErrorCode::Internal, "a replay failed inside the broker"))
        })
    }

    async fn replay(
        &self,
        letters: &Letters,
        request: pb::ReplayDeadLettersRequest,
        wanted: Wanted,
        deadline: Option<Instant>,
    ) -> Result<pb::ReplayDeadLettersResponse, BrokerError> {
        let mover = self.movers.of(&letters.group);
        let mut mover = mover.lock().await;
        let producer = &mut mover.producer;
        if producer.is_none() && letters.partitions > 0 {
            // What a mover before has left ends now, so that it is seen which letters are still there.
            *producer = Some(self.begin_replays(&letters.group).await?);
        }
        let (mut from, mut replayed) = ((0, 0), 0);
        let mut refused = Vec::new();
        loop {
            let (batch, next) = if request.ids.is_empty() {
                self.matching(letters, from, &wanted, deadline).await?
            } else {
                (self.named(letters, &request.ids, deadline).await?, None)
            };
            for part in batch.chunks(AT_ONCE) {
                let part = part.iter().map(|(partition, offset)| {
                    let partition = PartitionId(u32::try_from(*partition).unwrap_or(u32::MAX));
                    Moving::replay(letters.topic.clone(), partition, Offset(*offset))
                });
                replayed +=
                    self.replay_batch((letters, &mut *producer), part.collect(), &mut refused).await?;
            }
            match next {
                Some(next) => from = next,
                None => break,
            }
        }
        self.pass_replayed(letters, deadline).await?;
        match refused.into_iter().next() {
            Some(first) => Err(first.with("replayed", replayed)),
            None => {
                Ok(pb::ReplayDeadLettersResponse { replayed: u32::try_from(replayed).unwrap_or(u32::MAX) })
            }
        }
    }

    /// Moves letters back; returns how many. One that its topic does not take holds up no other: why is told at the end.
    ///
    /// # Errors
    /// What passes by itself: then the rest is not tried.
    async fn replay_batch(
        &self,
        (letters, producer): (&Letters, &mut Option<(u64, u16)>),
        batch: Vec<Moving>,
        refused: &mut Vec<BrokerError>,
    ) -> Result<usize, BrokerError> {
        let (mut left, mut replayed) = (vec![batch], 0);
        while let Some(mut batch) = left.pop() {
            match self.move_batch((&letters.group, &mut *producer), batch.clone()).await {
                Ok(moved) => replayed += moved,
                Err(error) if error.traits().retryable => return Err(error),
                Err(error) if batch.len() == 1 => {
                    let id = format!("{}-{}", batch[0].partition, batch[0].offset);
                    let message =
                        format!("dead letter {id} cannot go back, those that can are: {}", error.message);
                    refused.push(BrokerError { message, ..error }.with("id", id));
                }
                Err(_) => {
                    let half = batch.split_off(batch.len() / 2);
                    left.extend([half, batch]);
                }
            }
        }
        Ok(replayed)
    }

    /// Letters that are wanted, some hundred at most, and where the rest begins.
    async fn matching(
        &self,
        letters: &Letters,
        from: Place,
        wanted: &Wanted,
        deadline: Option<Instant>,
    ) -> Result<(Vec<Place>, Option<Place>), BrokerError> {
        let (mut found, mut next, mut failed) = (Vec::new(), None, None);
        self.scan(letters, from, deadline, |at, letter| {
            if found.len() >= MAX_LETTERS {
                next = Some(at);
                return ControlFlow::Break(());
            }
            match wanted.takes(&letter) {
                Ok(true) => found.push(at),
                Ok(false) => {}
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })
        .await?;
        failed.map_or(Ok((found, next)), Err)
    }

    /// Whether there is a letter at a place that somebody names.
    async fn is_there(
        &self,
        at: (&TopicName, PartitionId, Offset),
        deadline: Option<Instant>,
    ) -> Result<bool, BrokerError> {
        match self.record_at(at, deadline).await {
            Ok(record) => Ok(record.and_then(|record| letter::read(0, record)).is_some()),
            Err(error) if matches!(error.code, ErrorCode::EndOfPartition | ErrorCode::OffsetOutOfRange) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// The letters with these ids.
    ///
    /// # Errors
    /// `MessageNotFound`: one is not there, so none is replayed.
    async fn named(
        &self,
        letters: &Letters,
        ids: &[String],
        deadline: Option<Instant>,
    ) -> Result<Vec<Place>, BrokerError> {
        let mut places: BTreeMap<&str, Place> = BTreeMap::new();
        for id in ids {
            let Some((partition, offset)) = place(id).filter(|at| at.0 < letters.partitions) else {
                continue;
            };
            let number = PartitionId(u32::try_from(partition).unwrap_or(u32::MAX));
            let kept = self.engine.kept_records(&letters.group, &letters.topic, number)?;
            let at = (&letters.topic, number, Offset(offset));
            if !kept.contains(&Offset(offset))
                && self
                    .engine
                    .next_to_acquire(&letters.group, &letters.topic, number)?
                    .is_none_or(|next| next.get() <= offset)
                && self.is_there(at, deadline).await?
            {
                places.insert(id, (partition, offset));
            }
        }
        if ids.iter().any(|id| !places.contains_key(id.as_str())) {
            self.scan(letters, (0, 0), deadline, |at, letter| {
                if let Some(id) = ids.iter().find(|id| **id == letter.id) {
                    places.entry(id).or_insert(at);
                }
                if places.len() == ids.len() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .await?;
        }
        if let Some(id) = ids.iter().find(|id| !places.contains_key(id.as_str())) {
            let message = format!("topic {} has no dead letter {id}", letters.source);
            return Err(BrokerError::new(ErrorCode::MessageNotFound, message)
                .with("topic", &letters.source)
                .with("id", id));
        }
        let mut places: Vec<Place> = places.into_values().collect();
        places.sort_unstable();
        places.dedup();
        Ok(places)
    }

    /// Nothing more is kept of the letters before the first one that has not been replayed.
    async fn pass_replayed(&self, letters: &Letters, deadline: Option<Instant>) -> Result<(), BrokerError> {
        for partition in 0..letters.partitions {
            let mut first = None;
            let only = Letters {
                source: letters.source.clone(),
                topic: letters.topic.clone(),
                group: letters.group.clone(),
                partitions: partition + 1,
            };
            self.scan(&only, (partition, 0), deadline, |at, _| {
                first = Some(at.1);
                ControlFlow::Break(())
            })
            .await?;
            let number = PartitionId(u32::try_from(partition).unwrap_or(u32::MAX));
            let kept = self.engine.kept_records(&letters.group, &letters.topic, number)?;
            let upto = first.or_else(|| kept.last().map(|last| last.get() + 1));
            let before = upto.filter(|upto| kept.first().is_some_and(|kept| kept.get() < *upto));
            if let Some(upto) = before {
                self.engine.pass_records(&letters.group, &letters.topic, number, Offset(upto)).await?;
            }
        }
        Ok(())
    }
}
