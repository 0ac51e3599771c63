//! An address to listen on, taken literally (decision 29 of the product: `:9092` means all interfaces).

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// `host:port`; an empty host means all interfaces, port 0 lets the system choose one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ListenAddr {
    host: String,
    port: u16,
}

impl ListenAddr {
    /// 127.0.0.1 with this port: what every listener has by default.
    pub fn loopback(port: u16) -> Self {
        Self { host: "127.0.0.1".to_owned(), port }
    }

    /// Host name or IP without brackets; empty for all interfaces.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port; 0 = chosen by the system.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What to hand to `TcpListener::bind`: an empty host becomes `0.0.0.0`.
    pub fn bind_target(&self) -> (&str, u16) {
        (if self.host.is_empty() { "0.0.0.0" } else { &self.host }, self.port)
    }

    /// The socket address where the host is an IP, empty or `localhost`; None for other names, which need a look-up.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        let host = if self.host == "localhost" { "127.0.0.1" } else { self.bind_target().0 };
        Some(SocketAddr::new(host.parse::<IpAddr>().ok()?, self.port))
    }

    /// True where only processes of this machine can connect. A name other than `localhost` counts as reachable.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
    }

    /// True where both would need the same socket.
    pub fn collides_with(&self, other: &ListenAddr) -> bool {
        let any = |addr: &ListenAddr| matches!(addr.host.as_str(), "" | "0.0.0.0" | "::");
        self.port != 0 && self.port == other.port && (self.host == other.host || any(self) || any(other))
    }
}

impl FromStr for ListenAddr {
    /// What was expected, for the error message.
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "host:port, e.g. 127.0.0.1:9092 or :9092 for all interfaces";
        let (host, port) = text.trim().rsplit_once(':').ok_or(EXPECTED)?;
        let port = port.parse().map_err(|_| EXPECTED)?;
        let host = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
            Some(Some(inner)) if inner.parse::<std::net::Ipv6Addr>().is_ok() => inner,
            Some(_) => return Err(EXPECTED),
            None => host,
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if !host.contains(':') && !host.chars().all(plain) || (host.contains(':') && !text.contains('[')) {
            return Err(EXPECTED);
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ListenAddr;

    fn parse(text: &str) -> ListenAddr {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn takes_addresses_literally() {
        assert_eq!(parse(":9092").bind_target(), ("0.0.0.0", 9092));
        assert_eq!(parse("[::1]:9092").bind_target(), ("::1", 9092));
        assert_eq!(parse("[::1]:9092").to_string(), "[::1]:9092");
        assert_eq!(parse("localhost:0").socket_addr(), Some(([127, 0, 0, 1], 0).into()));
        assert_eq!(parse("broker.example:1").socket_addr(), None);
    }

    #[test]
    fn knows_loopback() {
        for text in ["127.0.0.1:1", "127.9.9.9:1", "localhost:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(parse(text).is_loopback(), "{text}");
        }
        for text in [":1", "0.0.0.0:1", "[::]:1", "10.0.0.1:1", "localhost.example:1"] {
            assert!(!parse(text).is_loopback(), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_address() {
        for text in [
            "",
            "9092",
            "host",
            "host:",
            "host:65536",
            "host:-1",
            "::1:9092",
            "[::1:9092",
            "[x]:1",
            "a b:1",
            "a/b:1",
        ] {
            assert!(text.parse::<ListenAddr>().is_err(), "{text}");
        }
    }

    #[test]
    fn collisions_need_a_fixed_port() {
        assert!(parse(":1").collides_with(&parse("127.0.0.1:1")));
        assert!(!parse("127.0.0.1:0").collides_with(&parse("127.0.0.1:0")));
        assert!(!parse("127.0.0.1:1").collides_with(&parse("127.0.0.2:1")));
    }
}
