//! Dead-letter policies of topics and groups.

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
}
