//! From the op to its handler.

use flymq_api::OpMeta;
use flymq_wire::{
    frame::FrameParts,
    v1::{Request, op},
};

use super::{
    auth, cluster, dead_letters, error::Failure, groups, offsets, records, schemas, session::Session, topics,
    transactions,
};

/// The reply to a decoded request.
pub(super) async fn answer(session: &mut Session<'_>, request: Request) -> Result<FrameParts, Failure> {
    let code = request.op();
    match request {
        Request::Produce(body) => records::produce(session, body).await,
        Request::ProduceWithTtl(body) => records::produce_with_ttl(session, body).await,
        Request::ProduceDelayed(body) => records::produce_delayed(session, body).await,
        Request::Consume(body) | Request::ConsumeZeroCopy(body) => {
            records::consume(session, code, body).await
        }
        Request::Fetch(body) | Request::FetchBinary(body) => records::fetch(session, code, body).await,
        Request::CreateTopic(body) => topics::create(session, body).await,
        Request::DeleteTopic(body) => topics::delete(session, body).await,
        Request::ListTopics(_) => topics::list(session).await,
        Request::Subscribe(body) => offsets::subscribe(session, body).await,
        Request::Commit(body) => offsets::commit(session, body).await,
        Request::GetOffset(body) => offsets::get(session, body).await,
        Request::ResetOffset(body) => offsets::reset(session, body).await,
        Request::GetLag(body) => offsets::lag(session, body).await,
        Request::ListGroups(_) => groups::list(session).await,
        Request::DescribeGroup(body) => groups::describe(session, body).await,
        Request::DeleteGroup(body) => groups::delete(session, body).await,
        Request::Auth(body) => auth::login(session, body).await,
        Request::WhoAmI(_) => auth::whoami(session).await,
        Request::ClusterMetadata(body) => cluster::metadata(session, body).await,
        Request::TxnBegin(_) => transactions::begin(session),
        Request::TxnProduce(body) => transactions::produce(session, body),
        Request::TxnCommit(body) => transactions::commit(session, body).await,
        Request::TxnRollback(body) => transactions::roll_back(session, body),
        Request::FetchDlq(body) => dead_letters::fetch(session, body).await,
        Request::ReplayDlq(body) => dead_letters::replay(session, body).await,
        Request::PurgeDlq(body) => dead_letters::purge(session, body).await,
        Request::RegisterSchema(body) => schemas::register(session, body).await,
        Request::GetSchema(body) => schemas::get(session, body).await,
        Request::ListSchemas(body) => schemas::list(session, body).await,
        Request::ValidateSchema(body) => schemas::validate(session, body).await,
        Request::ProduceWithSchema(body) => records::produce_with_schema(session, body).await,
        Request::DeleteSchema(body) => schemas::delete(session, body).await,
        Request::UserCreate(_)
        | Request::UserDelete(_)
        | Request::UserUpdate(_)
        | Request::UserList(_)
        | Request::UserGet(_)
        | Request::AclSet(_)
        | Request::AclGet(_)
        | Request::AclDelete(_)
        | Request::AclList(_)
        | Request::PasswordChange(_)
        | Request::RoleList(_)
        | Request::AuditQuery(_)
        | Request::AuditExport(_)
        | Request::JavaAuditQuery(_)
        | Request::JavaAuditExport(_) => Err(not_built(code)),
    }
}

/// Ops of this wire that the broker does not have yet. They decode, so a malformed one is told apart.
fn not_built(code: u8) -> Failure {
    let named = op::TABLE.iter().find(|(known, _)| *known == code).map(|(_, name)| *name);
    let name = named.or_else(|| OpMeta::by_opcode(code).map(|op| op.rpc)).unwrap_or("this operation");
    Failure::text(format!("not implemented: {name} is not built yet in this version"))
}
