//! LIST_GROUPS, DESCRIBE_GROUP, DELETE_GROUP.

use std::collections::BTreeMap;

use flymq_api::ErrorCode;
use flymq_proto::pb;
use flymq_wire::{
    frame::FrameParts,
    v1::{Done, Group, GroupList, GroupRef, JavaGroup, PartitionOffset, op, reply_frame},
};

use super::{
    error::{About, Failure},
    session::Session,
};

/// Committed offsets by topic and group; an entry without offsets is a group that only subscribed.
type Offsets = BTreeMap<(String, String), Vec<PartitionOffset>>;

/// One entry for each topic and group.
pub(super) async fn list(session: &Session<'_>) -> Result<FrameParts, Failure> {
    let listed: pb::ListGroupsResponse = session
        .call(pb::ListGroupsRequest::default())
        .await
        .map_err(|error| About::default().failure(&error))?;
    let members = session.door.members.all();
    let mut offsets: Offsets = members.keys().map(|key| (key.clone(), Vec::new())).collect();
    for group in listed.groups {
        add_offsets(session, &group.group, "", &mut offsets).await?;
    }
    let entry = |(key, offsets): ((String, String), Vec<PartitionOffset>)| {
        let members = members.get(&key).copied().unwrap_or_default();
        Group { topic: key.0, group: key.1, members, offsets }
    };
    Ok(reply_frame(op::LIST_GROUPS, &GroupList { groups: offsets.into_iter().map(entry).collect() })?)
}

/// Adds what `group` committed on `topic`, or on all topics.
async fn add_offsets(
    session: &Session<'_>,
    group: &str,
    topic: &str,
    found: &mut Offsets,
) -> Result<(), Failure> {
    let request =
        pb::GetOffsetsRequest { group: group.to_owned(), topic: topic.to_owned(), ..Default::default() };
    let offsets = match session.call::<pb::GetOffsetsResponse>(request).await {
        Ok(committed) => committed.offsets,
        // Deleted since it was listed, or known by its members only.
        Err(error) if error.code == ErrorCode::GroupNotFound => return Ok(()),
        Err(error) => return Err(About::group(topic, group, 0).failure(&error)),
    };
    for pb::PartitionOffset { topic, partition, offset, .. } in offsets {
        found.entry((topic, group.to_owned())).or_default().push(PartitionOffset { partition, offset });
    }
    Ok(())
}

/// One group on the named topic, else on the first topic it is found on.
pub(super) async fn describe(session: &Session<'_>, body: GroupRef) -> Result<FrameParts, Failure> {
    let (topic, group) = match &body {
        GroupRef::Named { topic, group } => (topic.as_str(), group.as_str()),
        GroupRef::GroupOnly { group } => ("", group.as_str()),
    };
    let mut members: BTreeMap<String, u32> = session.door.members.topics_of(group).into_iter().collect();
    members.retain(|known, _| topic.is_empty() || known == topic);
    let mut found: Offsets =
        members.keys().map(|topic| ((topic.clone(), group.to_owned()), Vec::new())).collect();
    add_offsets(session, group, topic, &mut found).await?;
    match body {
        GroupRef::GroupOnly { .. } if !found.is_empty() => {
            let coordinator = coordinator(session, group).await;
            Ok(reply_frame(op::DESCRIBE_GROUP, &java(coordinator, group, &found, &members))?)
        }
        GroupRef::Named { .. } | GroupRef::GroupOnly { .. } => {
            let Some(((topic, group), offsets)) = found.into_iter().next() else {
                return Err(About::group(topic, group, 0).group_not_found());
            };
            let members = members.get(&topic).copied().unwrap_or_default();
            Ok(reply_frame(op::DESCRIBE_GROUP, &Group { topic, group, members, offsets })?)
        }
    }
}

/// The node that keeps the group's offsets; this one for a group that is known by its members only.
async fn coordinator(session: &Session<'_>, group: &str) -> String {
    let request = pb::DescribeGroupRequest { group: group.to_owned() };
    let described = session.call::<pb::DescribeGroupResponse>(request).await;
    described.map_or_else(|_| session.door.options.node_id.clone(), |described| described.coordinator)
}

/// The layout that the Java client reads. Version 1 knows members only as a number, so they are numbered.
fn java(coordinator: String, group: &str, found: &Offsets, members: &BTreeMap<String, u32>) -> JavaGroup {
    let count: u32 = members.values().sum();
    JavaGroup {
        group: group.to_owned(),
        state: if count > 0 { "Stable" } else { "Empty" }.to_owned(),
        members: (1..=count).map(|n| format!("{group}-{n}")).collect(),
        topics: found.keys().map(|(topic, _)| topic.clone()).collect(),
        coordinator,
    }
}

/// Deletes the group's offsets on the named topic, else on all.
pub(super) async fn delete(session: &Session<'_>, body: GroupRef) -> Result<FrameParts, Failure> {
    let (topic, group) = match body {
        GroupRef::Named { topic, group } => (topic, group),
        GroupRef::GroupOnly { group } => (String::new(), group),
    };
    let known = session.door.members.topics_of(&group);
    let request = pb::DeleteGroupRequest { group: group.clone(), topic: topic.clone() };
    match session.call::<pb::DeleteGroupResponse>(request).await {
        Ok(_) => {}
        Err(error)
            if error.code == ErrorCode::GroupNotFound
                && known.iter().any(|(on, _)| topic.is_empty() || *on == topic) => {}
        Err(error) => return Err(About::group(&topic, &group, 0).failure(&error)),
    }
    session.door.members.forget(&topic, &group);
    Ok(reply_frame(op::DELETE_GROUP, &Done)?)
}
