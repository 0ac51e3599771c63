//! The whole way in, put together.

use std::{sync::Arc, time::Duration};

use flymq_engine::Engine;
use flymq_types::{Acks, Clock, Limits};

use crate::{
    Broker, ClusterLinks, EngineBroker, Node,
    layers::{
        Audit, Authenticate, Authorize, ByPattern, Deadline, Deliveries, Forward, Forwarded, Forwarder,
        LimitOptions, Limited, Measure, Places, Totals, Trace,
    },
};

/// Settings of the layers and the engine's adapter.
#[derive(Debug, Clone)]
pub struct StackOptions {
    /// How long a call may take whose caller names no deadline.
    pub default_deadline: Duration,
    pub limits: LimitOptions,
    /// Bounds on single requests.
    pub bounds: Limits,
    pub auth_enabled: bool,
    pub audit_enabled: bool,
    /// The acknowledgement of producers that say nothing.
    pub default_acks: Acks,
}

impl Default for StackOptions {
    fn default() -> Self {
        Self {
            default_deadline: Duration::from_secs(30),
            limits: LimitOptions::default(),
            bounds: Limits::DEFAULT,
            auth_enabled: false,
            audit_enabled: true,
            default_acks: Acks::Leader,
        }
    }
}

/// The way in, from clients and from other nodes.
#[derive(Clone)]
pub struct Stack {
    /// For the doors.
    pub broker: Arc<dyn Broker>,
    /// For what other nodes send on.
    pub forwarded: Arc<Forwarded>,
}

impl std::fmt::Debug for Stack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stack").finish_non_exhaustive()
    }
}

/// The way in of a broker without cluster: [`cluster_stack`] without links.
pub fn stack(
    engine: Arc<Engine>,
    node: Arc<Node>,
    clock: Arc<dyn Clock>,
    options: &StackOptions,
) -> Arc<dyn Broker> {
    cluster_stack(engine, node, clock, options, None).broker
}

/// Wraps the engine into every layer, in their order. The metrics recorder must be installed before.
///
/// `links`: how a member of a cluster reaches the others; `None` on a broker without cluster.
pub fn cluster_stack(
    engine: Arc<Engine>,
    node: Arc<Node>,
    clock: Arc<dyn Clock>,
    options: &StackOptions,
    links: Option<ClusterLinks>,
) -> Stack {
    let totals = Arc::new(Totals::default());
    let forwarder = links.as_ref().map(|links| Arc::new(Forwarder::new(&node.node_id, links.peers.clone())));
    if let Some(links) = &links {
        engine.connect_transactions(Arc::new(Places(links.peers.clone())));
        engine.connect_schedules(Arc::new(Deliveries(links.peers.clone())));
    }
    let control = links.map(|links| links.control);
    let (place, topics, stopping, in_cluster) =
        (engine.clone(), engine.clone(), node.clone(), control.is_some());
    let engine = EngineBroker::new(engine, node, totals.clone(), clock, options.bounds, options.default_acks)
        .in_cluster(forwarder.clone(), control);
    let engine = Arc::new(engine);
    engine.watch_dead_letters();
    engine.watch_sessions();
    let measured = Arc::new(Measure::new(engine, totals));
    let forwarded = Arc::new(Forwarded::new(measured.clone()).with_engine(place));
    let audited = Audit::new(Forward::new(measured, forwarder), options.audit_enabled);
    let authorized = Authorize::new(audited, options.auth_enabled);
    let by_pattern = ByPattern::new(authorized, topics, stopping, in_cluster);
    let authenticated = Authenticate::new(by_pattern, options.auth_enabled);
    let limited = Limited::new(authenticated, options.limits);
    let bounded = Deadline::new(limited, options.default_deadline);
    Stack { broker: Arc::new(Trace::new(bounded)), forwarded }
}
