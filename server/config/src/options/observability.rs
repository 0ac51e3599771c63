use crate::choice::LogLevel;
use crate::listen_addr::ListenAddr;

/// What operators look at.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservabilityOptions {
    /// Prometheus.
    pub metrics: MetricsOptions,
    /// OpenTelemetry.
    pub tracing: TracingOptions,
    /// `/health`, `/health/live`, `/health/ready`.
    pub health: HttpListenerOptions,
    /// Admin REST.
    pub admin: HttpListenerOptions,
    /// Which names and web pages may use the admin REST.
    pub admin_access: WebAccessOptions,
}

impl ObservabilityOptions {
    /// Loopback with ports that the system chooses.
    pub fn use_ephemeral_ports(&mut self) {
        for addr in [&mut self.metrics.addr, &mut self.health.addr, &mut self.admin.addr] {
            *addr = ListenAddr::loopback(0);
        }
    }
}

/// Prometheus endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsOptions {
    /// Serve `/metrics`.
    pub enabled: bool,
    /// Listen address.
    pub addr: ListenAddr,
    /// No login for `/metrics`, even beyond loopback with authentication on.
    pub public: bool,
}

/// OpenTelemetry export.
#[derive(Debug, Clone, PartialEq)]
pub struct TracingOptions {
    /// Export spans.
    pub enabled: bool,
    /// OTLP collector, `host:port`.
    pub endpoint: String,
    /// Share of requests traced, 0 to 1.
    pub sample_rate: f64,
}

/// An HTTP listener with its own TLS switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpListenerOptions {
    /// Open the listener.
    pub enabled: bool,
    /// Listen address.
    pub addr: ListenAddr,
    /// Serve it over TLS with the server's certificate.
    pub tls_enabled: bool,
}

/// Names under which a listener may be called, and web pages that may call it. Without them only addresses, `localhost` and
/// names without a dot work, so that no page can reach the broker through a name that was pointed at it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WebAccessOptions {
    /// Further host names; `*` = all.
    pub allowed_hosts: Vec<String>,
    /// Origins of foreign pages, `https://console.example`.
    pub allowed_origins: Vec<String>,
}

/// Log output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    /// Least important message that is logged.
    pub level: LogLevel,
    /// One JSON object per line; false = text for people.
    pub json: bool,
}

impl Default for ObservabilityOptions {
    fn default() -> Self {
        let http = |port| HttpListenerOptions {
            enabled: true,
            addr: ListenAddr::loopback(port),
            tls_enabled: false,
        };
        Self {
            metrics: MetricsOptions { enabled: true, addr: ListenAddr::loopback(9094), public: false },
            tracing: TracingOptions {
                enabled: false,
                endpoint: "localhost:4317".to_owned(),
                sample_rate: 0.1,
            },
            health: http(9095),
            admin: http(9096),
            admin_access: WebAccessOptions::default(),
        }
    }
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { level: LogLevel::Info, json: true }
    }
}
