//! Requests of all ops, as one type.

use bytes::Bytes;

use super::reply::flag;
use super::{
    AclSet, AuditExport, AuditQuery, ClusterMetadata, Commit, Consume, CreateTopic, DecodeError, Empty,
    EncodeError, Fetch, FetchDlq, GroupPartition, GroupRef, InflateError, InflateLimits, JavaAuditExport,
    JavaAuditQuery, ListSchemas, Login, Produce, ProduceDelayed, ProduceWithSchema, ProduceWithTtl, Reader,
    RegisterSchema, ReplayDlq, ResetOffset, SchemaRef, Subscribe, TopicRef, TxnProduce, TxnRef, UserRef,
    UserSpec, ValidateSchema, Writer, inflate, op,
};
use crate::frame::{Frame, FrameParts, Version};

/// Declares [`Request`] from the table of ops and their bodies.
macro_rules! requests {
    ($($op:ident $variant:ident($body:ty),)+) => {
        /// A decoded request.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Request {
            $(
                #[doc = concat!("[`op::", stringify!($op), "`].")]
                $variant($body),
            )+
        }

        impl Request {
            /// Its op code.
            pub fn op(&self) -> u8 {
                match self {
                    $(Self::$variant(_) => op::$op,)+
                }
            }

            /// Decodes the plain payload of a request. Bytes after the last field are ignored.
            ///
            /// # Errors
            /// Any [`DecodeError`] but `TrailingBytes`; `UnknownOp` for an op that has no request.
            pub fn decode(op: u8, payload: Bytes) -> Result<Self, DecodeError> {
                let mut reader = Reader::new(payload);
                match op {
                    $(op::$op => reader.get().map(Self::$variant),)+
                    _ => Err(DecodeError::UnknownOp(op)),
                }
            }

            fn encode_body(&self, writer: &mut Writer) {
                match self {
                    $(Self::$variant(body) => writer.put(body),)+
                }
            }
        }
    };
}

requests! {
    PRODUCE Produce(Produce),
    CONSUME Consume(Consume),
    CREATE_TOPIC CreateTopic(CreateTopic),
    SUBSCRIBE Subscribe(Subscribe),
    COMMIT Commit(Commit),
    FETCH Fetch(Fetch),
    LIST_TOPICS ListTopics(Empty),
    DELETE_TOPIC DeleteTopic(TopicRef),
    CONSUME_ZERO_COPY ConsumeZeroCopy(Consume),
    FETCH_BINARY FetchBinary(Fetch),
    REGISTER_SCHEMA RegisterSchema(RegisterSchema),
    GET_SCHEMA GetSchema(SchemaRef),
    LIST_SCHEMAS ListSchemas(ListSchemas),
    VALIDATE_SCHEMA ValidateSchema(ValidateSchema),
    PRODUCE_WITH_SCHEMA ProduceWithSchema(ProduceWithSchema),
    DELETE_SCHEMA DeleteSchema(SchemaRef),
    FETCH_DLQ FetchDlq(FetchDlq),
    REPLAY_DLQ ReplayDlq(ReplayDlq),
    PURGE_DLQ PurgeDlq(TopicRef),
    PRODUCE_DELAYED ProduceDelayed(ProduceDelayed),
    PRODUCE_WITH_TTL ProduceWithTtl(ProduceWithTtl),
    TXN_BEGIN TxnBegin(Empty),
    TXN_COMMIT TxnCommit(TxnRef),
    TXN_ROLLBACK TxnRollback(TxnRef),
    TXN_PRODUCE TxnProduce(TxnProduce),
    CLUSTER_METADATA ClusterMetadata(ClusterMetadata),
    GET_OFFSET GetOffset(GroupPartition),
    RESET_OFFSET ResetOffset(ResetOffset),
    LIST_GROUPS ListGroups(Empty),
    DESCRIBE_GROUP DescribeGroup(GroupRef),
    GET_LAG GetLag(GroupPartition),
    DELETE_GROUP DeleteGroup(GroupRef),
    AUTH Auth(Login),
    WHOAMI WhoAmI(Empty),
    USER_CREATE UserCreate(UserSpec),
    USER_DELETE UserDelete(UserRef),
    USER_UPDATE UserUpdate(UserSpec),
    USER_LIST UserList(Empty),
    USER_GET UserGet(UserRef),
    ACL_SET AclSet(AclSet),
    ACL_GET AclGet(TopicRef),
    ACL_DELETE AclDelete(TopicRef),
    ACL_LIST AclList(Empty),
    PASSWORD_CHANGE PasswordChange(UserSpec),
    ROLE_LIST RoleList(Empty),
    AUDIT_QUERY AuditQuery(AuditQuery),
    AUDIT_EXPORT AuditExport(AuditExport),
    JAVA_AUDIT_QUERY JavaAuditQuery(JavaAuditQuery),
    JAVA_AUDIT_EXPORT JavaAuditExport(JavaAuditExport),
}

/// Why a request frame cannot be used. Answer with [`super::ErrorReply`] and its text; the connection lives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The payload does not inflate.
    #[error(transparent)]
    Inflate(#[from] InflateError),
    /// The payload does not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

impl Request {
    /// Decodes a request frame of version 1, inflating it if its flags say so.
    ///
    /// # Errors
    /// Any [`RequestError`].
    pub fn from_frame(frame: Frame, limits: &InflateLimits) -> Result<Self, RequestError> {
        let payload = inflate(frame.flags, frame.payload, limits)?;
        Ok(Self::decode(frame.op, payload)?)
    }

    /// The request frame, as a client sends it.
    ///
    /// # Errors
    /// Any [`EncodeError`].
    pub fn encode(&self) -> Result<FrameParts, EncodeError> {
        let mut writer = Writer::default();
        self.encode_body(&mut writer);
        writer.into_frame(Version::V1, self.op(), self.flags(), [])
    }

    /// The plain payload alone.
    ///
    /// # Errors
    /// Any [`EncodeError`].
    pub fn encode_payload(&self) -> Result<Bytes, EncodeError> {
        let mut writer = Writer::default();
        self.encode_body(&mut writer);
        writer.into_payload()
    }

    /// The Java audit calls set no flag.
    fn flags(&self) -> u8 {
        match self.op() {
            op::JAVA_AUDIT_QUERY | op::JAVA_AUDIT_EXPORT => 0,
            _ => flag::BINARY,
        }
    }
}
