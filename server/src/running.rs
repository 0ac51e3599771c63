//! A broker that runs.

use std::{net::SocketAddr, sync::Arc};

use flymq_api::{Broker, Node, Phase};
use flymq_engine::Engine;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::info;

use crate::{cluster, listen::Addresses};

/// A running broker. Dropping it closes the doors without waiting; [`RunningBroker::shutdown`] does it in order.
pub struct RunningBroker {
    pub(crate) addresses: Addresses,
    pub(crate) engine: Arc<Engine>,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) node: Arc<Node>,
    pub(crate) doors: TaskTracker,
    pub(crate) stop: CancellationToken,
    /// None on a broker without cluster.
    pub(crate) member: Option<cluster::Running>,
}

impl std::fmt::Debug for RunningBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunningBroker").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl RunningBroker {
    /// 0xAF, versions 1 and 2.
    pub fn native_addr(&self) -> SocketAddr {
        self.addresses.native
    }

    pub fn grpc_addr(&self) -> SocketAddr {
        self.addresses.grpc
    }

    /// `None`: switched off.
    pub fn rest_addr(&self) -> Option<SocketAddr> {
        self.addresses.rest
    }

    /// `None`: switched off.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.addresses.metrics
    }

    /// `None`: switched off.
    pub fn health_addr(&self) -> Option<SocketAddr> {
        self.addresses.health
    }

    pub(crate) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The broker behind the doors, for calls inside the process.
    pub fn broker(&self) -> Arc<dyn Broker> {
        self.broker.clone()
    }

    /// Where other nodes connect; `None` on a broker without cluster.
    pub fn cluster_addr(&self) -> Option<SocketAddr> {
        self.addresses.cluster
    }

    /// Resolves when this process is no node of its cluster any more, with the reason: it was removed, or another one took
    /// its id. It is to be shut down then. Never on a broker without cluster.
    pub fn dismissed(&self) -> impl Future<Output = String> + Send + use<> {
        let dismissed = self.member.as_ref().map(cluster::Running::dismissed);
        async move {
            match dismissed {
                Some(dismissed) => dismissed.await,
                None => std::future::pending().await,
            }
        }
    }

    /// Stops in order: not ready any more, others lead (in a cluster), doors closed to newcomers, long polls answered,
    /// running calls finished, logs synced and closed. A member of a cluster stays one.
    pub async fn shutdown(self) {
        if let Some(member) = &self.member {
            member.drain(&self.engine).await;
        }
        self.node.enter(Phase::Stopping);
        self.stop.cancel();
        self.doors.close();
        self.doors.wait().await;
        info!("the doors are closed");
        if let Some(member) = &self.member {
            member.end_session().await;
        }
        self.engine.shutdown().await;
        if let Some(member) = &self.member {
            member.leave().await;
        }
    }
}

impl Drop for RunningBroker {
    fn drop(&mut self) {
        self.node.enter(Phase::Stopping);
        self.stop.cancel();
    }
}
