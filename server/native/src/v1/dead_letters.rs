//! FETCH_DLQ, REPLAY_DLQ and PURGE_DLQ.

use flymq_api::{BrokerError, ErrorCode};
use flymq_proto::pb;
use flymq_wire::{
    frame::FrameParts,
    v1::{
        DlqEntry, DlqList, FetchDlq, ReplayDlq, ReplayReply, ReplayTarget, SuccessMsg, TopicRef, op,
        reply_frame,
    },
};

use super::{
    error::{About, Failure},
    session::Session,
};

/// Most entries of one reply.
const MAX_ENTRIES: i32 = 1_000;

pub(super) async fn fetch(session: &Session<'_>, body: FetchDlq) -> Result<FrameParts, Failure> {
    let max_messages = body.max.clamp(0, MAX_ENTRIES);
    let request =
        pb::ListDeadLettersRequest { topic: body.topic.clone(), max_messages, ..Default::default() };
    let found: pb::ListDeadLettersResponse =
        session.call(request).await.map_err(|error| About::topic(&body.topic).failure(&error))?;
    let entries = found.dead_letters.into_iter().map(|letter| DlqEntry {
        id: letter.id,
        data: letter.record.unwrap_or_default().value,
        error: letter.error,
        retries: i32::try_from(letter.attempts).unwrap_or(i32::MAX),
    });
    Ok(reply_frame(op::FETCH_DLQ, &DlqList { entries: entries.collect() })?)
}

pub(super) async fn replay(session: &Session<'_>, body: ReplayDlq) -> Result<FrameParts, Failure> {
    let id = match &body.target {
        ReplayTarget::Id(id) => id.clone(),
        // Those clients know one partition alone.
        ReplayTarget::Offset(offset) => format!("0-{offset}"),
    };
    let request =
        pb::ReplayDeadLettersRequest { topic: body.topic.clone(), ids: vec![id], ..Default::default() };
    let reply = match session.call::<pb::ReplayDeadLettersResponse>(request).await {
        Ok(_) => body.reply(true, ""),
        Err(error) => body.reply(false, &refusal(&body.topic, &error)?),
    };
    Ok(match reply {
        ReplayReply::ById(reply) => reply_frame(op::REPLAY_DLQ, &reply)?,
        ReplayReply::ByOffset(reply) => reply_frame(op::REPLAY_DLQ, &reply)?,
    })
}

pub(super) async fn purge(session: &Session<'_>, body: TopicRef) -> Result<FrameParts, Failure> {
    let request = pb::PurgeDeadLettersRequest { topic: body.topic.clone() };
    let (ok, message) = match session.call::<pb::PurgeDeadLettersResponse>(request).await {
        Ok(_) => (true, String::new()),
        Err(error) => (false, refusal(&body.topic, &error)?),
    };
    Ok(reply_frame(op::PURGE_DLQ, &SuccessMsg { ok, message })?)
}

/// What the original says inside a reply; all else is an error frame.
fn refusal(topic: &str, error: &BrokerError) -> Result<String, Failure> {
    match error.code {
        ErrorCode::MessageNotFound => Ok("message not found".to_owned()),
        ErrorCode::TopicNotFound => Ok(format!("topic not found: {topic}.dlq")),
        ErrorCode::FeatureDisabled => Ok("DLQ not enabled".to_owned()),
        _ => Err(About::topic(topic).failure(error)),
    }
}
