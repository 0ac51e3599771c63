//! Version 1 of the 0xAF wire: what the Go, Python and Java clients in the field speak.
//!
//! One reply for each request, in their order; no correlation id, no push. Every body has a [`Layout`]: its fields in
//! their order. Both directions are here, as the server decodes requests and encodes replies, and the conformance
//! tests do the opposite.
//!
//! A server reads with [`Request::from_frame`] and answers with [`reply_frame`] or [`ErrorReply::into_frame`]; a
//! client writes with [`Request::encode`] and reads with [`read_reply`].
//!
//! | Op | Reply body |
//! |---|---|
//! | produce, of any kind | [`RecordMetadata`] |
//! | CONSUME, CONSUME_ZERO_COPY | [`ConsumeReply`] |
//! | FETCH, FETCH_BINARY | [`FetchReply`] |
//! | CREATE_TOPIC, DELETE_TOPIC, COMMIT, RESET_OFFSET, DELETE_GROUP | [`Done`] |
//! | LIST_TOPICS | [`TopicList`] |
//! | SUBSCRIBE, GET_OFFSET | [`OffsetReply`] |
//! | GET_LAG | [`LagReply`] |
//! | LIST_GROUPS | [`GroupList`] |
//! | DESCRIBE_GROUP | [`Group`], or [`JavaGroup`] to a [`GroupRef::GroupOnly`] |
//! | AUTH, WHOAMI | [`LoginReply`] |
//! | USER_CREATE, USER_GET | [`UserInfo`] |
//! | USER_DELETE, USER_UPDATE, PASSWORD_CHANGE | [`SuccessMsg`], the message is the user name |
//! | USER_LIST, ROLE_LIST | [`UserList`], [`RoleList`] |
//! | ACL_SET, ACL_DELETE | [`AclDone`] |
//! | ACL_GET, ACL_LIST | [`AclInfo`], [`AclList`] |
//! | REGISTER_SCHEMA, GET_SCHEMA, LIST_SCHEMAS | [`SchemaRegistered`], [`SchemaInfo`], [`SchemaList`] |
//! | VALIDATE_SCHEMA, DELETE_SCHEMA | [`ValidateReply`], [`SuccessMsg`] |
//! | FETCH_DLQ, PURGE_DLQ | [`DlqList`], [`SuccessMsg`] |
//! | REPLAY_DLQ | [`ReplayReply`], from [`ReplayDlq::reply`] |
//! | TXN_BEGIN, TXN_COMMIT, TXN_ROLLBACK | [`TxnReply`] |
//! | CLUSTER_METADATA | [`ClusterInfo`] |
//! | AUDIT_QUERY, AUDIT_EXPORT | [`AuditPage`], [`AuditData`] |
//! | JAVA_AUDIT_QUERY, JAVA_AUDIT_EXPORT | [`JavaAuditPage`], [`Raw`] |

mod acl;
mod audit;
mod auth;
mod cluster;
mod common;
mod delayed;
mod dlq;
mod error;
mod groups;
mod gzip;
mod messages;
mod offsets;
pub mod op;
mod reply;
mod request;
mod schema;
mod topics;
mod txn;
mod users;

pub use acl::{AclDone, AclEntry, AclInfo, AclList, AclSet};
pub use audit::{
    AuditData, AuditDetail, AuditEvent, AuditExport, AuditPage, AuditQuery, JavaAuditEvent, JavaAuditExport,
    JavaAuditPage, JavaAuditQuery,
};
pub use auth::{Login, LoginReply};
pub use cluster::{ClusterInfo, ClusterMetadata, PartitionInfo, TopicInfo};
pub use common::{Done, Empty, Raw, RecordMetadata, SuccessMsg, TopicRef};
pub use delayed::{ProduceDelayed, ProduceWithTtl};
pub use dlq::{DlqEntry, DlqList, FetchDlq, ReplayDlq, ReplayReply, ReplayTarget, WideSuccessMsg};
pub use error::{CODE, ErrorReply};
pub use groups::{Group, GroupList, GroupRef, JavaGroup, PartitionOffset};
pub use gzip::{InflateError, InflateLimits, deflate, inflate};
pub use messages::{Consume, ConsumeReply, DEFAULT_FETCH_MAX, Fetch, FetchReply, Message, Produce};
pub use offsets::{
    Commit, GroupPartition, LagReply, OffsetReply, ResetOffset, ResetPosition, StartPosition, Subscribe,
};
pub use reply::{ReplyError, flag, read_reply, reply_frame};
pub use request::{Request, RequestError};
pub use schema::{
    FieldOrder, ListSchemas, ProduceWithSchema, RegisterSchema, SchemaInfo, SchemaItem, SchemaList,
    SchemaRef, SchemaRegistered, ValidateReply, ValidateSchema,
};
pub use topics::{CreateTopic, TopicList};
pub use txn::{TxnProduce, TxnRef, TxnReply};
pub use users::{RoleInfo, RoleList, UserInfo, UserList, UserRef, UserSpec};

pub use crate::codec::{DecodeError, EncodeError, Framed, Layout, List16, Reader, Str8, Writer};

#[cfg(test)]
mod tests;
