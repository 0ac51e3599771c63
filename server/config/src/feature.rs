//! What is built so far: the one table behind the warnings and refusals for settings that have no effect yet.

/// A part of the product that settings can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Feature {
    /// Login and access control.
    Auth,
    /// TLS on any listener.
    Tls,
    /// Encryption at rest.
    Encryption,
    /// More than one node.
    Cluster,
    /// Removal of old segments.
    Retention,
    /// Schema registry and validation.
    Schema,
    /// Dead letter queues.
    Dlq,
    /// Record expiry.
    Ttl,
    /// Delayed delivery.
    Delayed,
    /// Transactions.
    Transactions,
    /// OpenTelemetry export.
    Tracing,
    /// Audit trail.
    Audit,
    /// WebSocket door.
    WebSocket,
}

/// State of one feature.
#[derive(Debug, Clone, Copy)]
pub struct FeatureState {
    /// Which.
    pub feature: Feature,
    /// For messages: "authentication", "dead letter queues".
    pub name: &'static str,
    /// True once the server honours its settings.
    pub built: bool,
    /// It protects data: asking for it before it is built refuses the start instead of a warning.
    pub protects: bool,
}

/// Flip `built` when a feature lands; nothing else has to change here.
pub const FEATURES: &[FeatureState] = &[
    protecting(Feature::Auth, "authentication", false),
    protecting(Feature::Tls, "TLS", false),
    protecting(Feature::Encryption, "encryption at rest", true),
    plain(Feature::Cluster, "clustering", true),
    plain(Feature::Retention, "retention", true),
    plain(Feature::Schema, "schema validation", true),
    plain(Feature::Dlq, "dead letter queues", true),
    plain(Feature::Ttl, "record expiry (TTL)", true),
    plain(Feature::Delayed, "delayed delivery", true),
    plain(Feature::Transactions, "transactions", true),
    plain(Feature::Tracing, "OpenTelemetry tracing", false),
    plain(Feature::Audit, "the audit trail", false),
    plain(Feature::WebSocket, "the WebSocket listener", false),
];

const fn protecting(feature: Feature, name: &'static str, built: bool) -> FeatureState {
    FeatureState { feature, name, built, protects: true }
}

const fn plain(feature: Feature, name: &'static str, built: bool) -> FeatureState {
    FeatureState { feature, name, built, protects: false }
}

impl Feature {
    /// True once the server honours the feature's settings.
    pub fn is_built(self) -> bool {
        FEATURES.iter().any(|state| state.feature == self && state.built)
    }
}
