//! Dead letters, and the policies of topics and groups that make them.

use flymq_proto::pb;

use super::Client;
use crate::error::ClientError;

impl Client {
    /// Changes settings of a topic, or adds partitions: what is set in `options`. Returns the topic with what is in force now.
    ///
    /// # Errors
    /// `TopicNotFound`, `InvalidArgument`, `PartitionsShrink`, transport errors.
    pub async fn alter_topic(&self, name: &str, options: pb::TopicOptions) -> Result<pb::Topic, ClientError> {
        let request = pb::AlterTopicRequest { name: name.to_owned(), options: Some(options) };
        let reply: pb::AlterTopicResponse = self.call("AlterTopic", &request).await?;
        reply.topic.ok_or_else(|| ClientError::protocol("the server sent no topic"))
    }

    /// Says how often and when records of the topic that fail are redelivered, and where they go then: for one group, or for all that
    /// say nothing themselves. What `policy` leaves open stays; an empty one takes away all that was said.
    ///
    /// # Errors
    /// `TopicNotFound`; `InvalidArgument` names the field.
    pub async fn set_dead_letter_policy(
        &self,
        topic: &str,
        group: Option<&str>,
        policy: pb::DeadLetterPolicy,
    ) -> Result<pb::Topic, ClientError> {
        let mut options = pb::TopicOptions::default();
        match group {
            Some(group) => drop(options.group_dead_letters.insert(group.to_owned(), policy)),
            None => options.dead_letters = Some(policy),
        }
        self.alter_topic(topic, options).await
    }

    /// Dead letters of a topic, up to `max` (at most 1,000), in the order in which they came.
    ///
    /// # Errors
    /// `TopicNotFound`.
    pub async fn dead_letters(&self, topic: &str, max: i32) -> Result<Vec<pb::DeadLetter>, ClientError> {
        let request = pb::ListDeadLettersRequest {
            topic: topic.to_owned(),
            max_messages: max,
            ..pb::ListDeadLettersRequest::default()
        };
        let reply: pb::ListDeadLettersResponse = self.call("ListDeadLetters", &request).await?;
        Ok(reply.dead_letters)
    }

    /// Puts dead letters back into the topics they came from: those of ids, all, or those that match a filter, as the request says.
    /// Returns how many that were.
    ///
    /// # Errors
    /// `TopicNotFound`, `InvalidArgument`; `MessageNotFound` for an id.
    pub async fn replay_dead_letters(
        &self,
        request: &pb::ReplayDeadLettersRequest,
    ) -> Result<u32, ClientError> {
        let reply: pb::ReplayDeadLettersResponse = self.call("ReplayDeadLetters", request).await?;
        Ok(reply.replayed)
    }

    /// Deletes the dead letters of a topic; how many there were.
    ///
    /// # Errors
    /// `TopicNotFound`.
    pub async fn purge_dead_letters(&self, topic: &str) -> Result<u32, ClientError> {
        let request = pb::PurgeDeadLettersRequest { topic: topic.to_owned() };
        let reply: pb::PurgeDeadLettersResponse = self.call("PurgeDeadLetters", &request).await?;
        Ok(reply.purged)
    }

    /// How many dead letters a topic has, by reason and by group.
    ///
    /// # Errors
    /// `TopicNotFound`.
    pub async fn dead_letter_stats(
        &self,
        topic: &str,
    ) -> Result<pb::GetDeadLetterStatsResponse, ClientError> {
        self.call("GetDeadLetterStats", &pb::GetDeadLetterStatsRequest { topic: topic.to_owned() }).await
    }
}
