//! Dead letters: list, count, replay, purge. They are records of an ordinary topic, `<topic><dlq.topic_suffix>`; which of them have
//! been replayed is kept as the single records of a group of the broker's own, so that a replay is a move like the one that brought
//! them there.

mod held_back;
mod letter;
mod moving;
mod purge;
mod replay;
mod scan;
mod wanted;

use std::ops::ControlFlow;

use flymq_proto::pb;
use flymq_types::{GroupId, TopicName, fnv1a_32};

pub(super) use moving::Movers;

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

    /// The topic that dead letters of `topic` go to.
    pub(super) fn dead_letter_topic(&self, topic: &TopicName) -> Result<TopicName, BrokerError> {
        let name = self.engine.dead_letter_topic(topic);
        TopicName::new(&name).map_err(|why| convert::invalid("topic", format_args!("{why}, as {name:?}")))
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
}

/// `PARTITION-OFFSET`.
fn place(text: &str) -> Option<Place> {
    let (partition, offset) = text.split_once('-')?;
    Some((partition.parse().ok()?, offset.parse().ok()?))
}
