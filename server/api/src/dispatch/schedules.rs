//! Messages that become visible later (docs/scheduled-messages.md).

use flymq_engine::{Delivered, NewSchedule, ScheduleId, Scheduled, When};
use flymq_proto::pb;
use flymq_types::TopicName;

use super::EngineBroker;
use crate::{BrokerError, convert};

/// Entries of a page where the request says nothing, and at most.
const PAGE: usize = 100;
const LONGEST_PAGE: usize = 1_000;

impl EngineBroker {
    pub(super) async fn schedule_message(
        &self,
        request: pb::ScheduleMessageRequest,
    ) -> Result<pb::ScheduleMessageResponse, BrokerError> {
        let topic = convert::topic("topic", &request.topic)?;
        let partition = convert::optional_partition(request.partition)?;
        let when = when(&request)?;
        let record = request.record.ok_or_else(|| convert::invalid("record", "a schedule needs a record"))?;
        let batch = convert::single(&record, &self.limits)?;
        let scheduled = self.engine.schedule(NewSchedule { topic, partition, when, batch }).await?;
        Ok(pb::ScheduleMessageResponse { schedule: Some(shown(scheduled)) })
    }

    pub(super) async fn cancel_schedule(
        &self,
        request: &pb::CancelScheduleRequest,
    ) -> Result<pb::CancelScheduleResponse, BrokerError> {
        let (topic, id) = named(&request.topic, &request.id)?;
        self.engine.cancel_schedule(&topic, id).await?;
        Ok(pb::CancelScheduleResponse {})
    }

    pub(super) async fn deliver_schedule_now(
        &self,
        request: &pb::DeliverScheduleNowRequest,
    ) -> Result<pb::DeliverScheduleNowResponse, BrokerError> {
        let (topic, id) = named(&request.topic, &request.id)?;
        let Delivered { appended, key_size, value_size } = self.engine.deliver_schedule(&topic, id).await?;
        let record = pb::RecordMetadata {
            topic: topic.to_string(),
            partition: convert::count(appended.partition.get() as usize),
            offset: appended.base_offset.get(),
            timestamp_ms: appended.append_time.as_millis(),
            key_size: key_size.map_or(-1, convert::count),
            value_size: convert::count(value_size),
        };
        Ok(pb::DeliverScheduleNowResponse { record: Some(record) })
    }

    pub(super) async fn list_schedules(
        &self,
        request: &pb::ListSchedulesRequest,
    ) -> Result<pb::ListSchedulesResponse, BrokerError> {
        let topic = convert::topic("topic", &request.topic)?;
        let count = match usize::try_from(request.page_size) {
            Ok(0) => PAGE,
            Ok(count) => count.min(LONGEST_PAGE),
            Err(_) => return Err(convert::invalid("page_size", "must not be negative")),
        };
        let after = match request.page_token.as_str() {
            "" => None,
            token => {
                Some(place(token).ok_or_else(|| convert::invalid("page_token", "no page begins there"))?)
            }
        };
        let (all, next) = self.engine.list_schedules(&topic, after, count).await?;
        let next_page_token = next.map_or_else(String::new, |(due, number)| format!("{due:x}.{number:x}"));
        Ok(pb::ListSchedulesResponse { schedules: all.into_iter().map(shown).collect(), next_page_token })
    }
}

fn when(request: &pb::ScheduleMessageRequest) -> Result<When, BrokerError> {
    if request.delay_ms < 0 || request.at_ms < 0 {
        let field = if request.delay_ms < 0 { "delay_ms" } else { "at_ms" };
        return Err(convert::invalid(field, "must not be negative"));
    }
    match (request.delay_ms, request.at_ms, request.cron.as_str()) {
        (delay, 0, "") if delay > 0 => Ok(When::After(delay)),
        (0, at, "") if at > 0 => Ok(When::At(at)),
        (0, 0, cron) if !cron.is_empty() => Ok(When::Cron(cron.to_owned())),
        _ => Err(convert::invalid("delay_ms", "exactly one of delay_ms, at_ms and cron says when")),
    }
}

fn named(topic: &str, id: &str) -> Result<(TopicName, ScheduleId), BrokerError> {
    let topic = convert::topic("topic", topic)?;
    Ok((topic, id.parse().map_err(|why| convert::invalid("id", why))?))
}

fn place(token: &str) -> Option<(i64, u64)> {
    let (due, number) = token.split_once('.')?;
    Some((i64::from_str_radix(due, 16).ok()?, u64::from_str_radix(number, 16).ok()?))
}

fn shown(scheduled: Scheduled) -> pb::Schedule {
    pb::Schedule {
        id: scheduled.id.to_string(),
        topic: scheduled.topic.to_string(),
        due_ms: scheduled.due.as_millis(),
        cron: scheduled.cron,
        value_size: convert::count(scheduled.value_size),
    }
}
