//! Opens the doors: each serves its listener until the broker stops.

use std::sync::Arc;

use flymq_api::{Broker, Node};
use flymq_config::Config;
use flymq_gateway::{Health, HttpLimits, MetricsOptions, RestOptions};
use flymq_grpc::GrpcOptions;
use flymq_native::NativeOptions;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::error;

use crate::{VERSION, build, listen::Listeners, open_files::Shares};

/// What the doors are built from. Their tasks end when `stop` is cancelled and their running calls are done.
pub(crate) struct Doors<'a> {
    pub config: &'a Config,
    pub shares: Shares,
    pub node: &'a Arc<Node>,
    pub stop: &'a CancellationToken,
    pub tracker: &'a TaskTracker,
}

impl Doors<'_> {
    /// Health comes first: it answers during recovery, and says that the broker is starting.
    pub fn open_health(&self, listener: Option<TcpListener>) -> Health {
        let health = Health::starting();
        if let Some(listener) = listener {
            let stop = self.stop.clone();
            let serving = flymq_gateway::serve_health(listener, health.clone(), self.http_limits(), stop);
            self.tracker.spawn(serving);
        }
        health
    }

    /// Takes up service on all other listeners.
    pub fn open(&self, listeners: Listeners, broker: &Arc<dyn Broker>) {
        let Listeners { native, grpc, rest, metrics, health: _, cluster: _ } = listeners;
        self.open_native(native, broker.clone());
        self.open_grpc(grpc, broker.clone());
        if let Some(listener) = rest {
            let (broker, stop, options) = (broker.clone(), self.stop.clone(), self.rest_options());
            self.tracker.spawn(flymq_gateway::serve_rest(listener, broker, options, stop));
        }
        if let Some(listener) = metrics {
            let (broker, stop, handle) =
                (broker.clone(), self.stop.clone(), flymq_gateway::metrics::install());
            let options = MetricsOptions { http: self.http_limits(), ..MetricsOptions::default() };
            self.tracker.spawn(flymq_gateway::serve_metrics(listener, handle, broker, options, stop));
        }
    }

    fn http_limits(&self) -> HttpLimits {
        HttpLimits {
            max_connections: self.shares.http,
            allowed_hosts: self.own_names(),
            ..HttpLimits::default()
        }
    }

    /// The node may be called by its own names, and by those the user lists.
    fn own_names(&self) -> Vec<String> {
        let mut names = self.config.observability.admin_access.allowed_hosts.clone();
        names.extend(self.node.client_addr.rsplit_once(':').map(|(host, _)| host.to_owned()));
        names.push(self.node.node_id.clone());
        names
    }

    fn rest_options(&self) -> RestOptions {
        RestOptions {
            allowed_hosts: self.own_names(),
            allowed_origins: self.config.observability.admin_access.allowed_origins.clone(),
            http: self.http_limits(),
            ..RestOptions::default()
        }
    }

    fn open_native(&self, listener: TcpListener, broker: Arc<dyn Broker>) {
        let limits = build::limits(self.config);
        let options = NativeOptions {
            node: Some(self.node.clone()),
            node_id: self.node.node_id.clone(),
            cluster_id: self.node.cluster_id.clone(),
            version: VERSION.to_owned(),
            auth_required: self.config.auth.enabled,
            max_record: u32::try_from(limits.record_bytes).unwrap_or(u32::MAX),
            max_connections: self.shares.native,
            transaction_timeout: self.config.transaction.timeout,
            ..NativeOptions::default()
        };
        self.tracker.spawn(flymq_native::serve(listener, broker, options, self.stop.clone()));
    }

    fn open_grpc(&self, listener: TcpListener, broker: Arc<dyn Broker>) {
        let max_connections = self.shares.grpc;
        let node = Some(self.node.clone());
        let options = GrpcOptions { node, max_connections, ..GrpcOptions::default() };
        let serving = flymq_grpc::serve(listener, broker, options, self.stop.clone());
        self.tracker.spawn(async move {
            if let Err(error) = serving.await {
                error!(%error, "the gRPC door failed");
            }
        });
    }
}
