//! Messages that are delivered later.

use flymq_proto::pb;

use super::Client;
use crate::{NewMessage, RecordMetadata, error::ClientError};

/// When a message is delivered (proto rpc `ScheduleMessage`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// So many milliseconds from now.
    DelayMs(i64),
    /// Unix time in milliseconds; at once where it is over.
    AtMs(i64),
    /// Again and again: "minute hour day month weekday", with seconds in front where there are six fields; in UTC.
    Cron(String),
}

impl Client {
    /// Keeps a message until it is due; durable when it returns.
    ///
    /// # Errors
    /// `TopicNotFound`; `InvalidArgument` for a time or an expression that cannot be; those of [`Client::produce`].
    pub async fn schedule(
        &self,
        topic: &str,
        message: NewMessage,
        when: When,
    ) -> Result<pb::Schedule, ClientError> {
        let message = self.sealed(message)?;
        let mut request = pb::ScheduleMessageRequest {
            topic: topic.to_owned(),
            partition: message.partition,
            record: Some(message.into_record()),
            ..pb::ScheduleMessageRequest::default()
        };
        match when {
            When::DelayMs(delay) => request.delay_ms = delay,
            When::AtMs(time) => request.at_ms = time,
            When::Cron(expression) => request.cron = expression,
        }
        let reply: pb::ScheduleMessageResponse = self.call("ScheduleMessage", &request).await?;
        reply.schedule.ok_or_else(|| ClientError::protocol("the server sent no schedule"))
    }

    /// Messages of a topic that wait, up to `max` (at most 1,000), by due time.
    ///
    /// # Errors
    /// `TopicNotFound`.
    pub async fn schedules(&self, topic: &str, max: i32) -> Result<Vec<pb::Schedule>, ClientError> {
        let request = pb::ListSchedulesRequest {
            topic: topic.to_owned(),
            page_size: max,
            ..pb::ListSchedulesRequest::default()
        };
        let reply: pb::ListSchedulesResponse = self.call("ListSchedules", &request).await?;
        Ok(reply.schedules)
    }

    /// Has a message never delivered (again).
    ///
    /// # Errors
    /// `ScheduleNotFound`: it was delivered or cancelled.
    pub async fn cancel_schedule(&self, topic: &str, id: &str) -> Result<(), ClientError> {
        let request = pb::CancelScheduleRequest { topic: topic.to_owned(), id: id.to_owned() };
        self.call::<_, pb::CancelScheduleResponse>("CancelSchedule", &request).await.map(drop)
    }

    /// Delivers a message now; a recurring one stays as it is.
    ///
    /// # Errors
    /// `ScheduleNotFound`; those of [`Client::produce`].
    pub async fn deliver_schedule_now(&self, topic: &str, id: &str) -> Result<RecordMetadata, ClientError> {
        let request = pb::DeliverScheduleNowRequest { topic: topic.to_owned(), id: id.to_owned() };
        let reply: pb::DeliverScheduleNowResponse = self.call("DeliverScheduleNow", &request).await?;
        let stored = reply.record.ok_or_else(|| ClientError::protocol("the server sent no place"))?;
        Ok(RecordMetadata {
            topic: stored.topic.into(),
            partition: stored.partition,
            offset: stored.offset,
            timestamp_ms: stored.timestamp_ms,
        })
    }
}
