//! The whole way in, put together.

use std::{sync::Arc, time::Duration};

use flymq_engine::Engine;
use flymq_types::{Acks, Clock, Limits};

use crate::{
    Broker, EngineBroker, Node,
    layers::{Audit, Authenticate, Authorize, Deadline, LimitOptions, Limited, Measure, Totals, Trace},
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

/// Wraps the engine into every layer, in their order. The metrics recorder must be installed before.
pub fn stack(
    engine: Arc<Engine>,
    node: Arc<Node>,
    clock: Arc<dyn Clock>,
    options: &StackOptions,
) -> Arc<dyn Broker> {
    let totals = Arc::new(Totals::default());
    let engine = EngineBroker::new(engine, node, totals.clone(), clock, options.bounds, options.default_acks);
    let measured = Measure::new(engine, totals);
    let audited = Audit::new(measured, options.audit_enabled);
    let authorized = Authorize::new(audited, options.auth_enabled);
    let authenticated = Authenticate::new(authorized, options.auth_enabled);
    let limited = Limited::new(authenticated, options.limits);
    let bounded = Deadline::new(limited, options.default_deadline);
    Arc::new(Trace::new(bounded))
}
