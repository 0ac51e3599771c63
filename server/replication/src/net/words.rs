//! What a socket or TLS says, in words for an operator: libraries explain themselves to programmers.

use std::io;

use rustls::{CertificateError, Error as TlsError};

/// Why a connection failed, or ended.
pub(super) fn of(error: &io::Error) -> String {
    if let Some(tls) = tls_error(error) {
        return of_tls(tls).to_owned();
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the other node has closed it".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            "the other node has broken it off: its process has ended, or does not want it".to_owned()
        }
        io::ErrorKind::ConnectionRefused => "nobody listens there (connection refused)".to_owned(),
        io::ErrorKind::TimedOut => "nobody answers there (timed out)".to_owned(),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "there is no way to that address (no route)".to_owned()
        }
        // Everything else names itself: a host name that is unknown, a limit that is reached.
        _ => error.to_string(),
    }
}

/// Why there is no TLS with another node.
pub(super) fn of_handshake(error: &io::Error) -> String {
    match error.kind() {
        // It hangs up on what it does not understand, or does not want.
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset if tls_error(error).is_none() => {
            "it hung up on it: is FLYMQ_CLUSTER_TLS_ENABLED the same on all nodes?".to_owned()
        }
        _ => of(error),
    }
}

fn tls_error(error: &io::Error) -> Option<&TlsError> {
    error.get_ref()?.downcast_ref()
}

fn of_tls(error: &TlsError) -> &'static str {
    match error {
        TlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "its certificate is that of another member",
        TlsError::InvalidCertificate(_) => "its certificate is not one of this cluster",
        TlsError::NoCertificatesPresented => "it shows no certificate",
        TlsError::AlertReceived(_) => {
            "it does not take this node's certificate: does it belong to another cluster?"
        }
        TlsError::InvalidMessage(_)
        | TlsError::InappropriateMessage { .. }
        | TlsError::InappropriateHandshakeMessage { .. } => {
            "it does not speak TLS, or something between changes the bytes"
        }
        TlsError::PeerIncompatible(_) => "it speaks another version of TLS",
        TlsError::DecryptError => "bytes were changed on the way",
        _ => "TLS with it has failed",
    }
}

/// What else than a cluster port answers there, by its first bytes.
pub(super) fn foreign(first: &[u8]) -> Option<&'static str> {
    /// Type of the frame that HTTP/2 begins with.
    const SETTINGS: u8 = 4;
    match first {
        [b'H', b'T', b'T', b'P', ..] => Some("an HTTP port answers there (REST, metrics or health)"),
        [0, 0, _, SETTINGS, ..] => Some("a gRPC port answers there"),
        [0xAF, ..] => Some("a port for clients answers there (native protocol)"),
        [21 | 22, 3, ..] => Some("a port that speaks TLS answers there"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_library_is_left_in_a_sentence() {
        let tls = |error: TlsError| io::Error::new(io::ErrorKind::InvalidData, error);
        let closed = "peer closed connection without sending TLS close_notify: https://docs.rs/rustls/latest";
        for error in [
            io::Error::new(io::ErrorKind::UnexpectedEof, closed),
            tls(TlsError::InvalidCertificate(CertificateError::UnknownIssuer)),
            tls(TlsError::AlertReceived(rustls::AlertDescription::UnknownCA)),
            tls(TlsError::NoCertificatesPresented),
            tls(TlsError::DecryptError),
        ] {
            for text in [of(&error), of_handshake(&error)] {
                let foreign = ["https", "rustls", "UnknownIssuer", "UnknownCA", "close_notify"];
                assert!(!foreign.iter().any(|word| text.contains(word)), "{text}");
            }
        }
    }

    #[test]
    fn other_ports_are_known_by_their_first_bytes() {
        assert!(foreign(b"HTTP/1.1 400 Bad Request").is_some_and(|text| text.contains("HTTP")));
        assert!(foreign(&[0, 0, 18, 4, 0, 0, 0, 0, 0]).is_some_and(|text| text.contains("gRPC")));
        assert_eq!(foreign(&[30, 0, 0, 0, 2]), None, "a packet of ours");
        assert_eq!(foreign(b""), None);
    }
}
