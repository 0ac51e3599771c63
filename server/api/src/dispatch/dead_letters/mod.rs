//! Dead letters: list, count, replay, purge. They are records of an ordinary topic, `<topic><dlq.topic_suffix>`; which of them have
//! been replayed is kept as the single records of a group of the broker's own, so that a replay is a move like the one that brought
//! them there.

mod letter;
mod moving;
mod wanted;

use std::{collections::BTreeMap, ops::ControlFlow, time::Instant};

use flymq_engine::Moving;
use flymq_proto::pb;
use flymq_types::{GroupId, Offset, PartitionId, TopicName, fnv1a_32};

pub(super) use moving::Movers;
use wanted::Wanted;

use super::EngineBroker;
use crate::{BrokerError, CallContext, ErrorCode, convert};

/// Letters of a list that says nothing.
const DEFAULT_LETTERS: usize = 10;
/// Most letters of one list, and most ids of one replay.
const MAX_LETTERS: usize = 1_000;
/// Records that are read at once.
const PAGE: i32 = 500;
/// Bytes of letters of one list, about.
const MOST_BYTES: usize = 8 << 20;
/// Letters that one transaction of a replay moves.
const AT_ONCE: usize = 64;

/// The dead letters of a topic.
struct Letters {
    source: TopicName,
    topic: TopicName,
    /// The group whose single records are those that were replayed.
    group: GroupId,
    /// None: there is no such topic, so no letters.
    partitions: usize,
}

/// Where one is.
type Place = (usize, u64);

impl EngineBroker {
    pub(super) async fn list_dead_letters(
        &self,
        ctx: &CallContext,
        request: pb::ListDeadLettersRequest,
    ) -> Result<pb::ListDeadLettersResponse, BrokerError> {
        let letters = self.letters(&request.topic)?;
        let most = match usize::try_from(request.max_messages) {
            Ok(0) => DEFAULT_LETTERS,
            Ok(most) if most <= MAX_LETTERS => most,
            _ => return Err(convert::invalid("max_messages", format!("1 to {MAX_LETTERS}"))),
        };
        let from = match request.page_token.as_str() {
            "" => (0, 0),
            token => {
                place(token).ok_or_else(|| convert::invalid("page_token", "is none that a list gave"))?
            }
        };
        let mut found = pb::ListDeadLettersResponse::default();
        let mut bytes = 0;
        self.scan(&letters, from, ctx.deadline, |at, mut letter| {
            let size = letter.record.as_ref().map_or(0, |record| record.value.len());
            if found.dead_letters.len() >= most || bytes + size > MOST_BYTES && bytes > 0 {
                found.next_page_token = format!("{}-{}", at.0, at.1);
                return ControlFlow::Break(());
            }
            bytes += size;
            if let Some(record) = letter.record.as_mut().filter(|_| request.text) {
                convert::show_text(record);
            }
            found.dead_letters.push(letter);
            ControlFlow::Continue(())
        })
        .await?;
        Ok(found)
    }

    pub(super) async fn get_dead_letter_stats(
        &self,
        ctx: &CallContext,
        request: &pb::GetDeadLetterStatsRequest,
    ) -> Result<pb::GetDeadLetterStatsResponse, BrokerError> {
        let letters = self.letters(&request.topic)?;
        let mut stats = pb::GetDeadLetterStatsResponse::default();
        self.scan(&letters, (0, 0), ctx.deadline, |_, letter| {
            stats.total += 1;
            *stats.by_reason.entry(letter.reason).or_default() += 1;
            *stats.by_group.entry(letter.group).or_default() += 1;
            ControlFlow::Continue(())
        })
        .await?;
        Ok(stats)
    }

    pub(super) async fn replay_dead_letters(
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
        let mut producer = mover.lock().await;
        if producer.is_none() && letters.partitions > 0 {
            // What a mover before has left ends now, so that it is seen which letters are still there.
            *producer = Some(self.begin_replays(&letters.group).await?);
        }
        let (mut from, mut replayed) = ((0, 0), 0);
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
                replayed += self.move_batch((&letters.group, &mut producer), part.collect()).await?;
            }
            match next {
                Some(next) => from = next,
                None => break,
            }
        }
        self.pass_replayed(letters, deadline).await?;
        Ok(pb::ReplayDeadLettersResponse { replayed: u32::try_from(replayed).unwrap_or(u32::MAX) })
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

    /// Whether there is a record at a place that somebody names.
    async fn is_there(
        &self,
        at: (&TopicName, PartitionId, Offset),
        deadline: Option<Instant>,
    ) -> Result<bool, BrokerError> {
        match self.record_at(at, deadline).await {
            Ok(record) => Ok(record.is_some()),
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

    pub(super) async fn purge_dead_letters(
        &self,
        ctx: &CallContext,
        request: &pb::PurgeDeadLettersRequest,
    ) -> Result<pb::PurgeDeadLettersResponse, BrokerError> {
        let letters = self.letters(&request.topic)?;
        let mover = self.movers.of(&letters.group);
        let _turn = mover.lock().await;
        let mut purged: u32 = 0;
        let mut ends = vec![0; letters.partitions];
        self.scan(&letters, (0, 0), ctx.deadline, |(partition, offset), _| {
            purged = purged.saturating_add(1);
            ends[partition] = offset + 1;
            ControlFlow::Continue(())
        })
        .await?;
        for (partition, end) in ends.into_iter().enumerate().filter(|(_, end)| *end > 0) {
            let request = pb::DeleteRecordsRequest {
                topic: letters.topic.to_string(),
                partition: convert::count(partition),
                before_offset: end,
            };
            let _deleted: pb::DeleteRecordsResponse = self.routed(request, ctx.deadline).await?;
            let number = PartitionId(u32::try_from(partition).unwrap_or(u32::MAX));
            self.engine.pass_records(&letters.group, &letters.topic, number, Offset(end)).await?;
        }
        metrics::counter!("flymq_dead_letters_purged_total").increment(purged.into());
        Ok(pb::PurgeDeadLettersResponse { purged })
    }

    /// The topic that dead letters of `topic` go to.
    pub(super) fn dead_letter_topic(&self, topic: &TopicName) -> Result<TopicName, BrokerError> {
        let name = self.engine.dead_letter_topic(topic);
        TopicName::new(&name).map_err(|why| convert::invalid("topic", format_args!("{why}, as {name:?}")))
    }

    /// The topic whose dead letters go to `topic`.
    fn source_of(&self, topic: &TopicName) -> String {
        if let Some(source) = self.engine.source_of_dead_letters(topic) {
            return source.to_string();
        }
        let name = topic.as_str();
        name.strip_suffix(self.engine.dead_letters().suffix.as_str()).unwrap_or(name).to_owned()
    }

    /// # Errors
    /// `FeatureDisabled`, `InvalidArgument`, `TopicNotFound`; `NotLeader` where another node keeps them.
    fn letters(&self, source: &str) -> Result<Letters, BrokerError> {
        let source = TopicName::new(source).map_err(|why| convert::invalid("topic", why))?;
        // What was there before they were switched off for the topic can still be seen and replayed.
        if !self.engine.dead_letters().enabled && !self.engine.has_dead_letters(&source) {
            let message = "dead letters are switched off (dlq.enabled)";
            return Err(BrokerError::new(ErrorCode::FeatureDisabled, message).with("feature", "dead letters"));
        }
        let topic = self.dead_letter_topic(&source)?;
        let name = format!("__dead-letters.{:08x}", fnv1a_32(topic.as_str().as_bytes()));
        let group = GroupId::internal(&name).expect("hexadecimal digits behind the prefix are a name");
        self.engine.check_group(&group)?;
        let partitions = match self.engine.topic(&topic) {
            Ok(info) => info.partitions.len(),
            // None has failed yet; of a topic that is not there either, nothing can be said.
            Err(_) => self.engine.topic(&source).map(|_| 0)?,
        };
        Ok(Letters { source, topic, group, partitions })
    }

    /// Shows the letters from that place on, partition after partition, until `visit` has enough.
    async fn scan(
        &self,
        letters: &Letters,
        (first, offset): Place,
        deadline: Option<Instant>,
        mut visit: impl FnMut(Place, pb::DeadLetter) -> ControlFlow<()> + Send,
    ) -> Result<(), BrokerError> {
        for partition in first..letters.partitions {
            let number = PartitionId(u32::try_from(partition).unwrap_or(u32::MAX));
            let passed = self.engine.next_to_acquire(&letters.group, &letters.topic, number)?;
            let asked = if partition == first { offset } else { 0 };
            let mut from = passed.map_or(asked, |passed| passed.get().max(asked));
            loop {
                let page = self.letters_from(letters, partition, from, deadline).await?;
                let kept = self.engine.kept_records(&letters.group, &letters.topic, number)?;
                for record in page.records {
                    if kept.contains(&Offset(record.offset)) {
                        continue;
                    }
                    let at = (partition, record.offset);
                    let letter = letter::read(letters.source.as_str(), convert::count(partition), record);
                    if visit(at, letter).is_break() {
                        return Ok(());
                    }
                }
                if page.next_offset <= from {
                    break;
                }
                from = page.next_offset;
            }
        }
        Ok(())
    }

    /// A page of records; where they were deleted, those behind.
    async fn letters_from(
        &self,
        letters: &Letters,
        partition: usize,
        offset: u64,
        deadline: Option<Instant>,
    ) -> Result<pb::FetchResponse, BrokerError> {
        let mut request = pb::FetchRequest {
            topic: letters.topic.to_string(),
            partition: convert::count(partition),
            offset,
            max_records: PAGE,
            ..pb::FetchRequest::default()
        };
        match self.routed::<pb::FetchResponse>(request.clone(), deadline).await {
            Err(error) if error.code == ErrorCode::OffsetOutOfRange => {
                let start = error.metadata.get("start").and_then(|start| start.parse().ok());
                request.offset = start.filter(|start| *start > offset).ok_or(error)?;
                self.routed(request, deadline).await
            }
            other => other,
        }
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

/// `PARTITION-OFFSET`.
fn place(text: &str) -> Option<Place> {
    let (partition, offset) = text.split_once('-')?;
    Some((partition.parse().ok()?, offset.parse().ok()?))
}
