use std::path::PathBuf;

use crate::secret::Secret;

/// Protection of connections and files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecurityOptions {
    /// TLS on the client and gRPC listeners.
    pub tls_enabled: bool,
    /// Certificate chain, PEM.
    pub tls_cert_file: Option<PathBuf>,
    /// Private key, PEM.
    pub tls_key_file: Option<PathBuf>,
    /// Authorities whose client certificates are accepted, PEM.
    pub tls_client_ca_file: Option<PathBuf>,
    /// Clients must show a certificate (mTLS).
    pub tls_client_required: bool,
    /// Encrypt data at rest.
    pub encryption_enabled: bool,
    /// AES-256 key; only ever from the environment.
    pub encryption_key: Option<Secret>,
    /// Keys that the data was encrypted with before a rotation; only ever from the environment.
    pub encryption_old_keys: Vec<Secret>,
    /// Listen beyond loopback without authentication.
    pub allow_insecure: bool,
}
