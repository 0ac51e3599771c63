//! What has its name and place already, but is not built yet. `tests/fixtures/unimplemented.txt` lists the rpcs.

use crate::{BrokerError, ErrorCode, Rpc};

/// `UNIMPLEMENTED`, naming the feature.
pub(crate) fn not_built(feature: &str) -> BrokerError {
    BrokerError::new(ErrorCode::Unimplemented, format!("{feature}: not built yet in this version"))
        .with("feature", feature)
}

/// `UNIMPLEMENTED` for a whole rpc, naming the feature it belongs to.
pub(super) fn rpc(rpc: Rpc) -> BrokerError {
    let meta = rpc.meta();
    if rpc == Rpc::JoinCluster {
        return BrokerError::new(
            ErrorCode::Unimplemented,
            "nodes join by themselves: start the new one with FLYMQ_ROLE=agent, FLYMQ_SERVER (the cluster address of \
             a member) and FLYMQ_JOIN_TOKEN (flymq-cli cluster token)",
        )
        .with("rpc", meta.rpc)
        .with("feature", "joining through a client");
    }
    let feature = match meta.service {
        "ClusterService" => "clusters of several nodes",
        "SecurityService" => "login, users, roles and access lists",
        "AuditService" => "queries on the audit trail",
        service => service,
    };
    BrokerError::new(
        ErrorCode::Unimplemented,
        format!("{}: {feature} are not built yet in this version", meta.rpc),
    )
    .with("rpc", meta.rpc)
    .with("feature", feature)
}
