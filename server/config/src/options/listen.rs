use crate::listen_addr::ListenAddr;

/// Addresses of the doors. Metrics, health and admin have theirs in `ObservabilityOptions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenOptions {
    /// Native protocol (0xAF).
    pub bind_addr: ListenAddr,
    /// Other nodes; only opened by a cluster member.
    pub cluster_addr: ListenAddr,
    /// gRPC.
    pub grpc_addr: ListenAddr,
    /// WebSocket.
    pub ws_addr: ListenAddr,
    /// What clients are told to connect to; found out by itself unless set.
    pub advertise_addr: Option<String>,
    /// What other nodes are told to connect to; found out by itself unless set.
    pub advertise_cluster: Option<String>,
}

impl ListenOptions {
    /// Loopback with ports that the system chooses.
    pub fn ephemeral() -> Self {
        Self {
            bind_addr: ListenAddr::loopback(0),
            cluster_addr: ListenAddr::loopback(0),
            grpc_addr: ListenAddr::loopback(0),
            ws_addr: ListenAddr::loopback(0),
            advertise_addr: None,
            advertise_cluster: None,
        }
    }
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            bind_addr: ListenAddr::loopback(9092),
            cluster_addr: ListenAddr::loopback(9093),
            grpc_addr: ListenAddr::loopback(9097),
            ws_addr: ListenAddr::loopback(9098),
            advertise_addr: None,
            advertise_cluster: None,
        }
    }
}
