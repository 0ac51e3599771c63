//! What every call passes through, the same for all doors, outermost first:
//! trace → deadline → limits → authenticate → by pattern → authorize → audit → forward → metrics → engine.
//!
//! Down to `authorize` a layer is a [`crate::Broker`] around a [`crate::Broker`]; from there on it is an
//! [`AuthorizedBroker`], which accepts only what the authorizer has granted.

pub(crate) mod audit;
pub(crate) mod authenticate;
pub(crate) mod authorize;
pub(crate) mod by_pattern;
pub(crate) mod deadline;
pub(crate) mod forward;
pub(crate) mod limits;
pub(crate) mod metrics;
pub(crate) mod trace;

pub use audit::Audit;
pub use authenticate::Authenticate;
pub use authorize::{Authorize, Authorized, AuthorizedBroker, Served};
pub use by_pattern::ByPattern;
pub use deadline::Deadline;
pub(crate) use forward::{Deliveries, Patience, Places};
pub use forward::{Forward, Forwarded, Forwarder};
pub use limits::{LimitOptions, Limited};
pub use metrics::{Measure, Totals};
pub use trace::Trace;
