//! Membership in a group: a task that joins, keeps the session alive, and brings the assignment. The consumer applies it when it
//! is polled, and says through the task what it let go of.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use prost::Message as _;
use tokio::{
    sync::watch,
    task::AbortHandle,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    Client, ClientError, ConsumerConfig, MemberConfig,
    client::To,
    pb, runtime,
    transport::{Transport, rpc_by_name},
};

/// Wait after a failure that may pass.
const PAUSE: Duration = Duration::from_millis(250);
/// How long the first join is tried.
const FIRST: Duration = Duration::from_secs(10);

/// A partition by its topic's name.
pub(super) type Place = (String, i32);

/// What the coordinator said last.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// Counts the sessions, and their ends: nothing of an earlier one is owned any more. 0: not joined yet.
    pub life: u64,
    pub epoch: i64,
    pub generation: i64,
    pub places: BTreeSet<Place>,
    /// Why it is no member, and will not be again.
    pub failed: Option<ClientError>,
}

/// What the consumer has made of it.
#[derive(Debug, Clone, Default)]
struct Applied {
    life: u64,
    epoch: i64,
    generation: i64,
    owned: BTreeSet<Place>,
}

/// The consumer's end. Dropping it leaves the group, in the background.
pub(super) struct Membership {
    client: Client,
    group: String,
    pub member_id: String,
    told: watch::Receiver<Told>,
    applied: watch::Sender<Applied>,
    task: AbortHandle,
    /// A static member keeps its place for the next process.
    stays: bool,
    left: bool,
}

impl Membership {
    pub(super) fn start(
        client: &Client,
        group: &str,
        config: &ConsumerConfig,
        member: &MemberConfig,
    ) -> Self {
        let member_id = format!("{:032x}", rand::random::<u128>());
        let (told_sender, told) = watch::channel(Told::default());
        let (applied, applied_receiver) = watch::channel(Applied::default());
        let attendance = Attendance {
            client: client.clone(),
            join: pb::JoinGroupRequest {
                group: group.to_owned(),
                topics: config.topics.clone(),
                member_id: member_id.clone(),
                instance_id: member.instance_id.clone().unwrap_or_default(),
                client_id: member.client_id.clone(),
                assignor: member.assignor.clone(),
                session_timeout_ms: millis(member.session_timeout),
                rebalance_timeout_ms: millis(member.rebalance_timeout),
            },
            told: told_sender,
            applied: applied_receiver,
        };
        let task = runtime::spawn(attendance.run()).abort_handle();
        let (client, group, stays) = (client.clone(), group.to_owned(), member.instance_id.is_some());
        Self { client, group, member_id, told, applied, task, stays, left: false }
    }

    pub(super) fn told(&mut self) -> Told {
        self.told.borrow_and_update().clone()
    }

    /// Waits until the coordinator says something new; for ever where it will not.
    pub(super) async fn changed(&mut self) {
        if self.told.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Which assignment was applied: its life and epoch.
    pub(super) fn applied(&self) -> (u64, i64) {
        let applied = self.applied.borrow();
        (applied.life, applied.epoch)
    }

    /// Of the assignment that was applied.
    pub(super) fn generation(&self) -> i64 {
        self.applied.borrow().generation
    }

    /// Tells that it was: what is not in it is let go of.
    pub(super) fn apply(&self, told: &Told) {
        let Told { life, epoch, generation, places: owned, failed: _ } = told.clone();
        self.applied.send_replace(Applied { life, epoch, generation, owned });
    }

    /// Leaves the group, unless the next process is to have its place.
    pub(super) async fn leave(&mut self) {
        self.task.abort();
        if !std::mem::replace(&mut self.left, true) && !self.stays {
            leave(self.client.clone(), self.group.clone(), self.member_id.clone()).await;
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.task.abort();
        if !self.left && !self.stays {
            drop(runtime::spawn(leave(self.client.clone(), self.group.clone(), self.member_id.clone())));
        }
    }
}

/// Whatever comes of it: without it, the session ends by itself.
async fn leave(client: Client, group: String, member_id: String) {
    let request = pb::LeaveGroupRequest { group, member_id };
    let left = client.call::<_, pb::LeaveGroupResponse>("LeaveGroup", &request);
    if let Ok(Err(error)) = tokio::time::timeout(Duration::from_secs(2), left).await {
        tracing::debug!(%error, "could not leave the group");
    }
}

/// The task's end.
struct Attendance {
    client: Client,
    join: pb::JoinGroupRequest,
    told: watch::Sender<Told>,
    applied: watch::Receiver<Applied>,
}

/// Why a session ended.
enum End {
    /// Nothing is owned any more; it may join again.
    Lost,
    Fenced(ClientError),
}

impl Attendance {
    async fn run(mut self) {
        let (mut life, began) = (0, Instant::now());
        loop {
            let sent = Instant::now();
            let joined = match self.client.call::<_, pb::JoinGroupResponse>("JoinGroup", &self.join).await {
                Ok(joined) => joined,
                // Whoever has been a member goes on trying; at first, somebody waits for the answer.
                Err(error) if error.retryable && (life > 0 || began.elapsed() < FIRST) => {
                    sleep(PAUSE).await;
                    continue;
                }
                Err(error) => return self.fail(life + 1, error),
            };
            life += 1;
            let told = Told {
                life,
                epoch: joined.member_epoch,
                generation: joined.generation,
                places: places(&joined.assignment),
                failed: None,
            };
            self.told.send_replace(told.clone());
            let session = Duration::from_millis(joined.session_timeout_ms.into());
            let interval = Duration::from_millis(joined.heartbeat_interval_ms.into());
            let end = self.attend(told, sent, session, interval).await;
            life += 1;
            match end {
                End::Lost => drop(self.told.send_replace(Told { life, ..Told::default() })),
                End::Fenced(error) => return self.fail(life, error),
            }
        }
    }

    fn fail(&self, life: u64, error: ClientError) {
        self.told.send_replace(Told { life, failed: Some(error), ..Told::default() });
    }

    /// Heartbeats of one session. `heard`: when the last request that was answered was sent.
    async fn attend(
        &mut self,
        mut told: Told,
        mut heard: Instant,
        session: Duration,
        interval: Duration,
    ) -> End {
        // After a failure the next answer has to come at once: it says that the session goes on.
        let mut failed = false;
        loop {
            let applied = self.applied.borrow_and_update().clone();
            let ours = applied.life == told.life;
            let (epoch, owned) = if ours { (applied.epoch, applied.owned) } else { Default::default() };
            // It waits at the broker for the next assignment, unless this one is not applied yet.
            let waits = epoch == told.epoch && !failed;
            let request = pb::HeartbeatRequest {
                group: self.join.group.clone(),
                member_id: self.join.member_id.clone(),
                generation: told.generation,
                owned: topics(&owned),
                member_epoch: epoch,
                max_wait_ms: if waits { millis(interval) } else { 0 },
            };
            let sent = Instant::now();
            let answer = tokio::select! {
                answer = beat(&self.client, request) => answer,
                Ok(()) = self.applied.changed() => continue,
                () = sleep_until(heard + session) => return End::Lost,
            };
            match answer {
                Ok(answer) => {
                    heard = sent;
                    failed = false;
                    told.generation = answer.generation;
                    if answer.changed && answer.member_epoch != told.epoch {
                        told.epoch = answer.member_epoch;
                        told.places = places(&answer.assignment);
                        self.told.send_replace(told.clone());
                    }
                    // A node that stops answers at once: then not again at once.
                    if epoch == told.epoch
                        && (!waits || answer.changed || sent.elapsed() >= PAUSE.min(interval))
                    {
                        continue;
                    }
                }
                Err(error) => match error.code {
                    // The broker's table is open: what it may be else passes, or ends with the session.
                    pb::ErrorCode::UnknownMember | pb::ErrorCode::IllegalGeneration => return End::Lost,
                    pb::ErrorCode::InstanceFenced => return End::Fenced(error),
                    _ => {
                        failed = true;
                        tracing::debug!(%error, "a heartbeat failed");
                    }
                },
            }
            let pause = if epoch == told.epoch { PAUSE } else { interval };
            tokio::select! {
                Ok(()) = self.applied.changed() => {}
                () = sleep(pause) => {}
            }
        }
    }
}

/// One heartbeat. What is repeated after a failure does not wait at the broker: its answer has to come before the session is over.
async fn beat(
    client: &Client,
    mut request: pb::HeartbeatRequest,
) -> Result<pb::HeartbeatResponse, ClientError> {
    let rpc = rpc_by_name("Heartbeat")?;
    let waits = Bytes::from(request.encode_to_vec());
    request.max_wait_ms = 0;
    let at_once = Bytes::from(request.encode_to_vec());
    let repeated = AtomicBool::new(false);
    let send = |link: &Arc<dyn Transport>| {
        let body = if repeated.swap(true, Ordering::Relaxed) { &at_once } else { &waits };
        link.call(rpc, body.clone())
    };
    let body = client.with_retry(&rpc.name, rpc.op.idempotent, To::Any, send).await?;
    pb::HeartbeatResponse::decode(body)
        .map_err(|e| ClientError::protocol(format!("the server's reply cannot be read: {e}")))
}

fn places(topics: &[pb::TopicPartitions]) -> BTreeSet<Place> {
    topics.iter().flat_map(|of| of.partitions.iter().map(|number| (of.topic.clone(), *number))).collect()
}

fn topics(places: &BTreeSet<Place>) -> Vec<pb::TopicPartitions> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, number) in places {
        topics.entry(topic).or_default().push(*number);
    }
    let of =
        |(topic, partitions): (&str, Vec<i32>)| pb::TopicPartitions { topic: topic.to_owned(), partitions };
    topics.into_iter().map(of).collect()
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
