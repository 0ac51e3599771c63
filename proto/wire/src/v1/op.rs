//! The op codes of version 1.

/// Declares the op constants and the table of all of them.
macro_rules! ops {
    ($($(#[$meta:meta])* $name:ident = $code:literal,)+) => {
        $($(#[$meta])* pub const $name: u8 = $code;)+

        /// Every op code with its name, in order.
        pub const TABLE: &[(u8, &str)] = &[$(($code, stringify!($name)),)+];
    };
}

ops! {
    /// Append one record.
    PRODUCE = 0x01,
    /// Read one record.
    CONSUME = 0x02,
    /// Create a topic.
    CREATE_TOPIC = 0x03,
    /// In the numbering only; never served.
    METADATA = 0x04,
    /// Look up a start offset, and count as a member of the group.
    SUBSCRIBE = 0x05,
    /// Store a group's offset.
    COMMIT = 0x06,
    /// Read records from an offset on.
    FETCH = 0x07,
    /// Names of the topics.
    LIST_TOPICS = 0x08,
    /// Delete a topic.
    DELETE_TOPIC = 0x09,
    /// As [`CONSUME`].
    CONSUME_ZERO_COPY = 0x0A,
    /// As [`FETCH`].
    FETCH_BINARY = 0x0B,
    /// Add a version of a schema.
    REGISTER_SCHEMA = 0x10,
    /// Read a schema.
    GET_SCHEMA = 0x11,
    /// Versions of a schema, or of all.
    LIST_SCHEMAS = 0x12,
    /// Check a message against a schema.
    VALIDATE_SCHEMA = 0x13,
    /// Append one record that a schema must accept.
    PRODUCE_WITH_SCHEMA = 0x14,
    /// Delete a schema, or one version.
    DELETE_SCHEMA = 0x15,
    /// Read dead letters.
    FETCH_DLQ = 0x20,
    /// Produce a dead letter to its origin again.
    REPLAY_DLQ = 0x21,
    /// Delete all dead letters of a topic.
    PURGE_DLQ = 0x22,
    /// Append a record later.
    PRODUCE_DELAYED = 0x30,
    /// In the numbering only; never served.
    CANCEL_DELAYED = 0x31,
    /// Append a record that expires.
    PRODUCE_WITH_TTL = 0x35,
    /// Begin a transaction.
    TXN_BEGIN = 0x40,
    /// Commit a transaction.
    TXN_COMMIT = 0x41,
    /// Abort a transaction.
    TXN_ROLLBACK = 0x42,
    /// Add a record to a transaction.
    TXN_PRODUCE = 0x43,
    /// In the numbering only; never served.
    CLUSTER_JOIN = 0x50,
    /// In the numbering only; never served.
    CLUSTER_LEAVE = 0x51,
    /// In the numbering only; never served.
    CLUSTER_STATUS = 0x52,
    /// Partitions of a topic, or of all, with their leaders.
    CLUSTER_METADATA = 0x53,
    /// A group's committed offset.
    GET_OFFSET = 0x60,
    /// Move a group's offset.
    RESET_OFFSET = 0x61,
    /// All groups with their offsets.
    LIST_GROUPS = 0x62,
    /// One group.
    DESCRIBE_GROUP = 0x63,
    /// How far a group is behind.
    GET_LAG = 0x64,
    /// Delete a group.
    DELETE_GROUP = 0x65,
    /// In the numbering only; never served.
    SEEK_TO_TIMESTAMP = 0x66,
    /// Log in; answered with [`AUTH_RESPONSE`].
    AUTH = 0x70,
    /// Answer to [`AUTH`].
    AUTH_RESPONSE = 0x71,
    /// Who is logged in.
    WHOAMI = 0x72,
    /// Create a user.
    USER_CREATE = 0x73,
    /// Delete a user.
    USER_DELETE = 0x74,
    /// Change a user.
    USER_UPDATE = 0x75,
    /// All users.
    USER_LIST = 0x76,
    /// One user.
    USER_GET = 0x77,
    /// Set a topic's access list.
    ACL_SET = 0x78,
    /// Read a topic's access list.
    ACL_GET = 0x79,
    /// Delete a topic's access list.
    ACL_DELETE = 0x7A,
    /// All access lists.
    ACL_LIST = 0x7B,
    /// Change a password.
    PASSWORD_CHANGE = 0x7C,
    /// The roles there are.
    ROLE_LIST = 0x7D,
    /// Search the audit trail.
    AUDIT_QUERY = 0x80,
    /// Export the audit trail.
    AUDIT_EXPORT = 0x81,
    /// [`AUDIT_QUERY`] as the Java client numbers and lays it out.
    JAVA_AUDIT_QUERY = 0xA0,
    /// [`AUDIT_EXPORT`] as the Java client numbers and lays it out.
    JAVA_AUDIT_EXPORT = 0xA1,
    /// Reply only: the request failed.
    ERROR = 0xFF,
}

/// The op code of the reply to a request that succeeded.
pub fn reply_to(op: u8) -> u8 {
    if op == AUTH { AUTH_RESPONSE } else { op }
}
