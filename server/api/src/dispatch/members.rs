//! Members of consumer groups.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use flymq_engine::{Assigned, CommitAs, GroupMember, Heartbeat, JoinGroup, TopicFilters};
use flymq_proto::pb;
use flymq_types::{PartitionId, TopicName};

use super::EngineBroker;
use crate::{BrokerError, CallContext, convert};

/// Longest member and instance id, bytes.
const MAX_ID_BYTES: usize = 256;

/// Between two looks for sessions that are over.
const SESSIONS_EVERY: Duration = Duration::from_millis(300);

impl EngineBroker {
    /// Ends the sessions of members that are silent, also where nobody else asks for their group; for as long as there is the broker.
    pub(crate) fn watch_sessions(self: &Arc<Self>) {
        if tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let broker = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(SESSIONS_EVERY).await;
                let Some(broker) = broker.upgrade() else { return };
                broker.engine.end_sessions().await;
            }
        });
    }

    pub(super) async fn join_group(
        &self,
        ctx: &CallContext,
        request: pb::JoinGroupRequest,
    ) -> Result<pb::JoinGroupResponse, BrokerError> {
        let group = convert::group(&request.group)?;
        let topics = request.topics.iter().map(String::as_str);
        let filters = TopicFilters::new(topics).map_err(|why| convert::invalid("topics", why))?;
        let assignor = match request.assignor.as_str() {
            "" => Default::default(),
            name => name.parse().map_err(|why| convert::invalid("assignor", why))?,
        };
        if request.client_id.len() > self.limits.text_bytes {
            let most = self.limits.text_bytes;
            return Err(convert::invalid("client_id", format_args!("at most {most} bytes are kept")));
        }
        let host = ctx.peer.map_or_else(|| ctx.door.name().to_owned(), |peer| peer.ip().to_string());
        let join = JoinGroup {
            member_id: optional_id("member_id", request.member_id)?,
            instance_id: optional_id("instance_id", request.instance_id)?,
            client_id: request.client_id,
            host,
            filters,
            assignor,
            session: millis(request.session_timeout_ms),
            rebalance: millis(request.rebalance_timeout_ms),
        };
        let told = self.engine.join_group(&group, join).await?;
        Ok(pb::JoinGroupResponse {
            member_id: told.member_id.to_string(),
            generation: number(told.generation),
            member_epoch: number(told.epoch),
            heartbeat_interval_ms: to_millis(told.interval),
            session_timeout_ms: to_millis(told.session),
            assignment: partitions(told.assignment),
        })
    }

    /// Its wait ends when this node stops: the member goes on at another one.
    pub(super) async fn heartbeat(
        &self,
        request: pb::HeartbeatRequest,
    ) -> Result<pb::HeartbeatResponse, BrokerError> {
        let group = convert::group(&request.group)?;
        let epoch = unsigned("member_epoch", request.member_epoch)?;
        let heartbeat = Heartbeat {
            member_id: id("member_id", request.member_id)?,
            epoch,
            generation: unsigned("generation", request.generation)?,
            owned: owned(&request.owned)?,
            max_wait: Duration::from_millis(request.max_wait_ms.into()),
        };
        let Assigned { generation, epoch: now, assignment, .. } = tokio::select! {
            told = self.engine.heartbeat(&group, heartbeat.clone()) => told?,
            () = self.node.stopping() => {
                self.engine.heartbeat(&group, Heartbeat { max_wait: Duration::ZERO, ..heartbeat }).await?
            }
        };
        let changed = now != epoch;
        Ok(pb::HeartbeatResponse {
            generation: number(generation),
            changed,
            member_epoch: number(now),
            assignment: if changed { partitions(assignment) } else { Vec::new() },
        })
    }

    pub(super) async fn leave_group(
        &self,
        request: &pb::LeaveGroupRequest,
    ) -> Result<pb::LeaveGroupResponse, BrokerError> {
        let group = convert::group(&request.group)?;
        let member = id("member_id", request.member_id.clone())?;
        self.engine.leave_group(&group, &member).await?;
        Ok(pb::LeaveGroupResponse {})
    }
}

/// Under which membership a commit is; none: as callers without one commit.
pub(super) fn commits_as(member_id: String, generation: i64) -> Result<Option<CommitAs>, BrokerError> {
    let generation = unsigned("generation", generation)?;
    if member_id.is_empty() {
        return match generation {
            0 => Ok(None),
            _ => Err(convert::invalid("member_id", "a commit of a generation names its member")),
        };
    }
    Ok(Some(CommitAs { member_id: id("member_id", member_id)?, generation }))
}

pub(super) fn shown(member: GroupMember) -> pb::GroupMember {
    pb::GroupMember {
        member_id: member.member_id.to_string(),
        client_id: member.client_id,
        host: member.host,
        assignment: partitions(member.assignment),
        instance_id: member.instance_id.map(|id| id.to_string()).unwrap_or_default(),
        member_epoch: number(member.epoch),
        target: partitions(member.target),
        topics: member.topics,
    }
}

pub(super) fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn unsigned(field: &str, number: i64) -> Result<u64, BrokerError> {
    u64::try_from(number).map_err(|_| convert::invalid(field, "must not be below 0").with("value", number))
}

fn id(field: &str, id: String) -> Result<String, BrokerError> {
    let why = if id.is_empty() {
        "must not be empty: JoinGroup gives one".to_owned()
    } else if id.len() > MAX_ID_BYTES {
        format!("{} bytes, at most {MAX_ID_BYTES} are taken", id.len())
    } else if id.chars().any(char::is_control) {
        "must not contain control characters".to_owned()
    } else {
        return Ok(id);
    };
    Err(convert::invalid(field, why))
}

fn optional_id(field: &str, text: String) -> Result<Option<String>, BrokerError> {
    if text.is_empty() { Ok(None) } else { id(field, text).map(Some) }
}

fn owned(topics: &[pb::TopicPartitions]) -> Result<BTreeSet<(TopicName, PartitionId)>, BrokerError> {
    let mut owned = BTreeSet::new();
    for of in topics {
        let topic = convert::topic("owned.topic", &of.topic)?;
        for number in &of.partitions {
            owned.insert((topic.clone(), convert::partition(*number)?));
        }
    }
    Ok(owned)
}

fn partitions(topics: BTreeMap<TopicName, Vec<PartitionId>>) -> Vec<pb::TopicPartitions> {
    let of = |(topic, partitions): (TopicName, Vec<PartitionId>)| pb::TopicPartitions {
        topic: topic.to_string(),
        partitions: partitions.into_iter().map(|number| convert::count(number.get() as usize)).collect(),
    };
    topics.into_iter().map(of).collect()
}

fn millis(time: u32) -> Option<Duration> {
    (time > 0).then(|| Duration::from_millis(time.into()))
}

fn to_millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
