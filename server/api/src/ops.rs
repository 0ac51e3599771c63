//! What each rpc is: its op code, the right it needs, its audit event. Derived from the proto options at build time.

use bytes::{BufMut, Bytes};
use flymq_proto::pb;
pub use flymq_proto::pb::{Access, AuditEvent};
use prost::Message as _;

/// What each door and each layer needs to know of an rpc; it comes from proto method options, and has no default.
#[derive(Debug, Clone, Copy)]
pub struct OpMeta {
    pub id: Rpc,
    /// `Produce`
    pub rpc: &'static str,
    /// `BrokerService`
    pub service: &'static str,
    /// `/flymq.v1.BrokerService/Produce`
    pub path: &'static str,
    /// Op code on the native port.
    pub opcode: u8,
    access_number: i32,
    /// Request field that names the resource; empty: the whole broker.
    pub resource: &'static str,
    audit_number: Option<i32>,
    /// A repeat leaves the same state.
    pub idempotent: bool,
    pub server_streaming: bool,
}

impl OpMeta {
    /// The right a caller needs.
    pub fn access(&self) -> Access {
        Access::try_from(self.access_number).expect("the descriptor test checks the number")
    }

    /// The audit event this rpc writes, if any.
    pub fn audit(&self) -> Option<AuditEvent> {
        self.audit_number.map(|n| AuditEvent::try_from(n).expect("the descriptor test checks the number"))
    }

    /// Looks up by op code of the native port.
    pub fn by_opcode(code: u8) -> Option<&'static Self> {
        OPS.iter().find(|op| op.opcode == code)
    }

    /// Looks up by gRPC path (`/flymq.v1.BrokerService/Produce`).
    pub fn by_path(path: &str) -> Option<&'static Self> {
        OPS.iter().find(|op| op.path == path)
    }
}

impl Rpc {
    /// The row of the op table.
    pub fn meta(self) -> &'static OpMeta {
        &OPS[self as usize]
    }
}

include!(concat!(env!("OUT_DIR"), "/ops.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_in_the_order_of_the_ids() {
        for op in &OPS {
            assert_eq!(op.id.meta().rpc, op.rpc);
            assert_eq!(OpMeta::by_opcode(op.opcode).map(|o| o.rpc), Some(op.rpc));
            assert_eq!(OpMeta::by_path(op.path).map(|o| o.rpc), Some(op.rpc));
            let _ = (op.access(), op.audit());
        }
    }
}
