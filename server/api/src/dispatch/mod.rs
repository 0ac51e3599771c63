//! The engine as a broker: one match that only delegates, one file per service.

mod admin;
mod broker;
mod cluster;
mod cut;
mod dead_letters;
mod groups;
mod matching;
mod members;
mod operate;
mod placement;
mod queue;
mod routed;
mod schedules;
mod schemas;
mod security;
mod sieve;
mod storage_checks;
mod subscribe;
mod topics;
mod transactions;
mod unbuilt;

use std::{
    fmt::Debug,
    sync::{Arc, OnceLock, Weak},
};

use flymq_engine::Engine;
use flymq_proto::pb;
use flymq_types::{Acks, Clock, Limits};
use futures::{FutureExt as _, future::BoxFuture};

pub(crate) use placement::Map;
pub(crate) use unbuilt::not_built;

use crate::{
    BatchStream, BrokerError, CallContext, ClusterControl, Node, Request, Response,
    convert::Filters,
    layers::{Authorized, AuthorizedBroker, Forwarder, Served, Totals},
};

/// Carries out authorized requests on the engine of this node.
#[derive(Debug)]
pub struct EngineBroker {
    engine: Arc<Engine>,
    node: Arc<Node>,
    totals: Arc<Totals>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    default_acks: Acks,
    cutter: cut::Cutter,
    filters: Filters,
    /// None on a broker without cluster.
    forwarder: Option<Arc<Forwarder>>,
    control: Option<Arc<dyn ClusterControl>>,
    movers: dead_letters::Movers,
    /// Itself, for work that outlives its caller; known from [`EngineBroker::watch_dead_letters`] on.
    me: OnceLock<Weak<EngineBroker>>,
}

impl EngineBroker {
    pub fn new(
        engine: Arc<Engine>,
        node: Arc<Node>,
        totals: Arc<Totals>,
        clock: Arc<dyn Clock>,
        limits: Limits,
        default_acks: Acks,
    ) -> Self {
        let cutter = cut::Cutter::new(limits);
        Self {
            engine,
            node,
            totals,
            clock,
            limits,
            default_acks,
            cutter,
            filters: Filters::default(),
            forwarder: None,
            control: None,
            movers: dead_letters::Movers::default(),
            me: OnceLock::new(),
        }
    }

    /// As a member of a cluster, whose other nodes it reaches by these.
    pub(crate) fn in_cluster(
        self,
        forwarder: Option<Arc<Forwarder>>,
        control: Option<Arc<dyn ClusterControl>>,
    ) -> Self {
        Self { forwarder, control, ..self }
    }

    async fn serve(&self, ctx: CallContext, request: Request) -> Result<Served, BrokerError> {
        use Request as R;
        let response: Response = match request {
            R::Produce(m) => self.produce(&ctx, m).await?.into(),
            R::Consume(m) => self.consume(m).await?.into(),
            R::Fetch(m) => return self.fetch(ctx.door, m).await,

            R::CreateTopic(m) => self.create_topic(ctx.door, &m).await?.into(),
            R::GetTopic(m) => self.get_topic(&ctx, m).await?.into(),
            R::ListTopics(m) => self.list_topics(&m)?.into(),
            R::DeleteTopic(m) => self.delete_topic(&m).await?.into(),
            R::AlterTopic(m) => self.alter_topic(ctx.door, &m).await?.into(),
            R::DeleteRecords(m) => self.delete_records(&m).await?.into(),
            R::RestoreRecords(m) => self.restore_records(m).await?.into(),
            R::FinishRestore(m) => self.finish_restore(ctx.door, &m).await?.into(),
            R::FindOffset(m) => self.find_offset(&m).await?.into(),

            R::GetStartOffset(m) => self.get_start_offset(&m).await?.into(),
            R::CommitOffsets(m) => self.commit_offsets(m).await?.into(),
            R::GetOffsets(m) => self.get_offsets(&m).await?.into(),
            R::ResetOffsets(m) => self.reset_offsets(&m).await?.into(),
            R::ListGroups(m) => self.list_groups(&ctx, m).await?.into(),
            R::DescribeGroup(m) => self.describe_group(&m).await?.into(),
            R::GetLag(m) => self.get_lag(&m).await?.into(),
            R::DeleteGroup(m) => self.delete_group(&m).await?.into(),
            R::JoinGroup(m) => self.join_group(&ctx, m).await?.into(),
            R::Heartbeat(m) => self.heartbeat(m).await?.into(),
            R::LeaveGroup(m) => self.leave_group(&m).await?.into(),
            R::Acquire(m) => self.acquire(&ctx, m).await?.into(),
            R::Acknowledge(m) => self.acknowledge(m).await?.into(),
            R::Nack(m) => self.nack(&ctx, m).await?.into(),

            R::ListDeadLetters(m) => self.list_dead_letters(&ctx, m).await?.into(),
            R::ReplayDeadLetters(m) => self.replay_dead_letters(&ctx, m).await?.into(),
            R::PurgeDeadLetters(m) => self.purge_dead_letters(&ctx, &m).await?.into(),
            R::GetDeadLetterStats(m) => self.get_dead_letter_stats(&ctx, &m).await?.into(),

            R::GetCluster(m) => self.get_cluster(ctx.door, m).into(),
            R::GetMetadata(m) => self.get_metadata(ctx.door, &m)?.into(),
            R::ListMembers(m) => self.list_members(ctx.door, m).into(),
            R::LeaveCluster(m) => self.leave_cluster(&m).await?.into(),
            R::CreateJoinToken(m) => self.create_join_token(m).await?.into(),
            R::ReassignPartitions(m) => self.reassign_partitions(m).await?.into(),
            R::BalanceLeaders(m) => self.balance_leaders(m).await?.into(),
            R::DrainNode(m) => self.drain_node(&m).await?.into(),

            R::InitProducer(m) => self.init_producer(&ctx, &m).await?.into(),
            R::BeginTransaction(m) => self.begin_transaction(&ctx, m).await?.into(),
            R::ProduceInTransaction(m) => self.produce_in_transaction(&ctx, m).await?.into(),
            R::CommitOffsetsInTransaction(m) => self.commit_offsets_in_transaction(m).await?.into(),
            R::CommitTransaction(m) => self.commit_transaction(&m).await?.into(),
            R::AbortTransaction(m) => self.abort_transaction(&m).await?.into(),
            R::ListTransactions(m) => self.list_transactions(&ctx, m).await?.into(),

            R::ScheduleMessage(m) => self.schedule_message(m).await?.into(),
            R::CancelSchedule(m) => self.cancel_schedule(&m).await?.into(),
            R::ListSchedules(m) => self.list_schedules(&m).await?.into(),
            R::DeliverScheduleNow(m) => self.deliver_schedule_now(&m).await?.into(),

            R::RegisterSchema(m) => self.register_schema(m).await?.into(),
            R::GetSchema(m) => self.get_schema(m).await?.into(),
            R::ListSchemas(m) => self.list_schemas(&m).await?.into(),
            R::ValidateSchema(m) => self.validate_schema(m).await?.into(),
            R::DeleteSchema(m) => self.delete_schema(&m).await?.into(),
            R::SetCompatibility(m) => self.set_compatibility(&m).await?.into(),
            R::BindSchema(m) => self.bind_schema(m).await?.into(),

            R::WhoAmI(m) => Self::who_am_i(&ctx, m).into(),

            R::GetHealth(m) => self.get_health(m).into(),
            R::GetConfig(m) => self.get_config(m).into(),
            R::GetStats(m) => self.get_stats(m).into(),

            R::JoinCluster(_)
            | R::Login(_)
            | R::Logout(_)
            | R::CreateUser(_)
            | R::DeleteUser(_)
            | R::UpdateUser(_)
            | R::ListUsers(_)
            | R::GetUser(_)
            | R::SetAcl(_)
            | R::GetAcl(_)
            | R::DeleteAcl(_)
            | R::ListAcls(_)
            | R::ChangePassword(_)
            | R::ListRoles(_)
            | R::GetRole(_)
            | R::QueryAudit(_)
            | R::ExportAudit(_) => return Err(unbuilt::rpc(request.rpc())),
        };
        Ok(response.into())
    }
}

impl AuthorizedBroker for EngineBroker {
    fn call(
        &self,
        ctx: CallContext,
        request: Authorized<Request>,
    ) -> BoxFuture<'_, Result<Served, BrokerError>> {
        async move {
            let door = ctx.door;
            self.serve(ctx, request.into_inner()).await.map_err(|error| self.located(door, error))
        }
        .boxed()
    }

    fn subscribe(
        &self,
        ctx: CallContext,
        request: Authorized<pb::SubscribeRequest>,
    ) -> BoxFuture<'_, Result<BatchStream, BrokerError>> {
        async move {
            let door = ctx.door;
            let opened = self.open_subscription(ctx, request.into_inner()).await;
            opened.map_err(|error| self.located(door, error))
        }
        .boxed()
    }
}
