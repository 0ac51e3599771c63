//! CREATE_TOPIC, LIST_TOPICS, DELETE_TOPIC.

use flymq_api::ErrorCode;
use flymq_proto::pb;
use flymq_wire::{
    frame::FrameParts,
    v1::{CreateTopic, Done, TopicList, TopicRef, op, reply_frame},
};

use super::{
    error::{About, Failure},
    session::Session,
};

/// Success also where the topic exists, which then stays as it is.
pub(super) async fn create(session: &Session<'_>, body: CreateTopic) -> Result<FrameParts, Failure> {
    let partitions = if body.partitions == 0 { 1 } else { body.partitions };
    let options = Some(pb::TopicOptions { partitions, ..Default::default() });
    let request =
        pb::CreateTopicRequest { name: body.topic.clone(), options, ..pb::CreateTopicRequest::default() };
    match session.call::<pb::CreateTopicResponse>(request).await {
        Err(error) if error.code != ErrorCode::TopicAlreadyExists => {
            Err(About::topic(&body.topic).failure(&error))
        }
        Ok(_) | Err(_) => Ok(reply_frame(op::CREATE_TOPIC, &Done)?),
    }
}

/// Success also where there is no such topic.
pub(super) async fn delete(session: &Session<'_>, body: TopicRef) -> Result<FrameParts, Failure> {
    let request = pb::DeleteTopicRequest { name: body.topic.clone() };
    match session.call::<pb::DeleteTopicResponse>(request).await {
        Err(error) if error.code != ErrorCode::TopicNotFound => {
            Err(About::topic(&body.topic).failure(&error))
        }
        Ok(_) | Err(_) => Ok(reply_frame(op::DELETE_TOPIC, &Done)?),
    }
}

/// Names in byte order.
pub(super) async fn list(session: &Session<'_>) -> Result<FrameParts, Failure> {
    let listed: pb::ListTopicsResponse = session
        .call(pb::ListTopicsRequest::default())
        .await
        .map_err(|error| About::default().failure(&error))?;
    let mut topics: Vec<String> = listed.topics.into_iter().map(|topic| topic.name).collect();
    topics.sort_unstable();
    Ok(reply_frame(op::LIST_TOPICS, &TopicList { topics })?)
}
