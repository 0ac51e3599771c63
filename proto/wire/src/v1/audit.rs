//! The audit trail: AUDIT_QUERY, AUDIT_EXPORT, and the Java client's layouts of both.

use bytes::Bytes;

use crate::codec::{Framed, List16, layout};

layout! {
    /// AUDIT_QUERY request. Empty texts and lists mean any.
    pub struct AuditQuery {
        /// Unix seconds; 0 means no bound.
        pub from_s: i64,
        /// Unix seconds; 0 means no bound.
        pub to_s: i64,
        /// Event types.
        pub types: Vec<String>,
        /// User name.
        pub user: String,
        /// Resource name.
        pub resource: String,
        /// `success`, `failure` or `denied`.
        pub result: String,
        /// Text to search for.
        pub search: String,
        /// Most events; 0 means 100.
        pub limit: i32,
        /// Events to skip.
        pub offset: i32,
    }

    /// A detail of an event.
    pub struct AuditDetail {
        /// Name.
        pub key: String,
        /// Value.
        pub value: String,
    }

    /// An event.
    pub struct AuditEvent {
        /// Event id.
        pub id: String,
        /// Unix ms.
        pub time_ms: i64,
        /// Event type, e.g. `topic.create`.
        pub kind: String,
        /// User name.
        pub user: String,
        /// Client address.
        pub client_ip: String,
        /// What was touched.
        pub resource: String,
        /// What was done.
        pub action: String,
        /// `success`, `failure` or `denied`.
        pub result: String,
        /// The node it happened on.
        pub node_id: String,
        /// More.
        pub details: Vec<AuditDetail>,
    }

    /// AUDIT_QUERY reply.
    pub struct AuditPage {
        /// Newest first; each in a frame of its own.
        pub events: Vec<Framed<AuditEvent>>,
        /// Events that match, on all pages.
        pub total: i32,
        /// Whether there are later pages.
        pub more: bool,
    }

    /// AUDIT_EXPORT request.
    pub struct AuditExport {
        /// What to export.
        pub query: Framed<AuditQuery>,
        /// `json` or `csv`.
        pub format: String,
    }

    /// AUDIT_EXPORT reply.
    pub struct AuditData {
        /// `json` or `csv`.
        pub format: String,
        /// The export's bytes.
        pub data: Bytes,
    }

    /// AUDIT_QUERY request of the Java client: the count of types is a u16.
    pub struct JavaAuditQuery {
        /// Unix seconds; 0 means no bound.
        pub from_s: i64,
        /// Unix seconds; 0 means no bound.
        pub to_s: i64,
        /// Event types.
        pub types: List16<String>,
        /// User name.
        pub user: String,
        /// Resource name.
        pub resource: String,
        /// `success`, `failure` or `denied`.
        pub result: String,
        /// Text to search for.
        pub search: String,
        /// Most events; 0 means 100.
        pub limit: i32,
        /// Events to skip.
        pub offset: i32,
    }

    /// An event for the Java client: the details stand before the node id, with a u16 count.
    pub struct JavaAuditEvent {
        /// Event id.
        pub id: String,
        /// Unix ms.
        pub time_ms: i64,
        /// Event type.
        pub kind: String,
        /// User name.
        pub user: String,
        /// Client address.
        pub client_ip: String,
        /// What was touched.
        pub resource: String,
        /// What was done.
        pub action: String,
        /// `success`, `failure` or `denied`.
        pub result: String,
        /// More.
        pub details: List16<AuditDetail>,
        /// The node it happened on.
        pub node_id: String,
    }

    /// AUDIT_QUERY reply for the Java client.
    pub struct JavaAuditPage {
        /// Events that match, on all pages.
        pub total: i32,
        /// Whether there are later pages.
        pub more: bool,
        /// Newest first.
        pub events: Vec<JavaAuditEvent>,
    }

    /// AUDIT_EXPORT request of the Java client. The reply is the export's bytes alone, [`super::Raw`].
    pub struct JavaAuditExport {
        /// `json` or `csv`.
        pub format: String,
        /// Unix seconds; 0 means no bound.
        pub from_s: i64,
        /// Unix seconds; 0 means no bound.
        pub to_s: i64,
        /// Event types.
        pub types: List16<String>,
        /// User name.
        pub user: String,
        /// Resource name.
        pub resource: String,
        /// `success`, `failure` or `denied`.
        pub result: String,
        /// Text to search for.
        pub search: String,
    }
}

impl From<JavaAuditQuery> for AuditQuery {
    fn from(java: JavaAuditQuery) -> Self {
        Self {
            from_s: java.from_s,
            to_s: java.to_s,
            types: java.types.0,
            user: java.user,
            resource: java.resource,
            result: java.result,
            search: java.search,
            limit: java.limit,
            offset: java.offset,
        }
    }
}

impl From<AuditEvent> for JavaAuditEvent {
    fn from(event: AuditEvent) -> Self {
        Self {
            id: event.id,
            time_ms: event.time_ms,
            kind: event.kind,
            user: event.user,
            client_ip: event.client_ip,
            resource: event.resource,
            action: event.action,
            result: event.result,
            details: List16(event.details),
            node_id: event.node_id,
        }
    }
}
