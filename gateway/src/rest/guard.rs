//! Keeps web pages out that have no business here: a page whose host name was pointed at this machine (DNS rebinding), and
//! a page of a foreign origin. There are no cookies, so nothing else of a browser's trust can be abused.

use std::net::IpAddr;

use axum::http::{HeaderMap, Uri, header};
use flymq_api::{BrokerError, ErrorCode};

use super::RestOptions;

/// Refuses a request by its `Host` and `Origin`.
///
/// # Errors
/// `INVALID_ARGUMENT` without a usable host, `PERMISSION_DENIED` for a foreign one or a foreign origin.
pub(crate) fn check(headers: &HeaderMap, uri: &Uri, options: &RestOptions) -> Result<(), BrokerError> {
    let host = check_host(headers, uri, &options.allowed_hosts)?;
    match headers.get(header::ORIGIN) {
        None => Ok(()),
        Some(origin) => check_origin(&String::from_utf8_lossy(origin.as_bytes()), &host, options),
    }
}

/// Refuses a request by its host alone; returns the host.
///
/// # Errors
/// `INVALID_ARGUMENT` without a usable host, `PERMISSION_DENIED` for a foreign one.
pub(crate) fn check_host(headers: &HeaderMap, uri: &Uri, allowed: &[String]) -> Result<String, BrokerError> {
    let host = host(headers, uri)?;
    let name = host_name(&host);
    if is_own_name(name) || allows(allowed, name) {
        return Ok(host);
    }
    let text = format!("this door is not called {name}");
    Err(BrokerError::new(ErrorCode::PermissionDenied, text).with("host", name).with(
        "way_out",
        "call it by IP address or localhost, or add the name to observability.admin.allowed_hosts",
    ))
}

fn check_origin(origin: &str, host: &str, options: &RestOptions) -> Result<(), BrokerError> {
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    let own = authority.is_some_and(|a| a.eq_ignore_ascii_case(host));
    if own || allows(&options.allowed_origins, origin) {
        return Ok(());
    }
    let text = format!("pages of {origin} may not call this broker");
    Err(BrokerError::new(ErrorCode::PermissionDenied, text)
        .with("origin", origin)
        .with("way_out", "add the origin to observability.admin.allowed_origins"))
}

/// The one host of the request: HTTP/2 has it in the URI, HTTP/1 in the header.
fn host(headers: &HeaderMap, uri: &Uri) -> Result<String, BrokerError> {
    let wrong = |why: &str| {
        BrokerError::new(ErrorCode::InvalidArgument, format!("Host: {why}")).with("field", "Host")
    };
    if let Some(authority) = uri.authority() {
        return Ok(authority.as_str().to_owned());
    }
    let mut all = headers.get_all(header::HOST).iter();
    match (all.next(), all.next()) {
        (Some(one), None) => one.to_str().map(str::to_owned).map_err(|_| wrong("is not text")),
        (None, _) => Err(wrong("is missing")),
        (Some(_), Some(_)) => Err(wrong("is given twice")),
    }
}

/// The name without the port; a host that is put together in another way stays whole, and then fits no name.
fn host_name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && is_closed(name) => name,
        _ => host,
    }
}

/// An IPv6 address has its colons in brackets, other names have none.
fn is_closed(name: &str) -> bool {
    name.starts_with('[') == name.ends_with(']') && (name.starts_with('[') || !name.contains(':'))
}

/// Names that nobody can point here from outside: addresses, `localhost`, and names without a dot.
fn is_own_name(name: &str) -> bool {
    let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    bare.parse::<IpAddr>().is_ok() || plain || name.to_ascii_lowercase().ends_with(".localhost")
}

fn allows(list: &[String], name: &str) -> bool {
    list.iter().any(|entry| entry == "*" || entry.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(headers: &[(&'static str, &str)], options: &RestOptions) -> Result<(), ErrorCode> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().expect("a header value"));
        }
        check(&map, &Uri::from_static("/api/v1/topics"), options).map_err(|e| e.code)
    }

    #[test]
    fn local_names_and_addresses_pass() {
        let options = RestOptions::default();
        for host in [
            "localhost:9096",
            "127.0.0.1",
            "127.0.0.1:9096",
            "[::1]:9096",
            "10.1.2.3:80",
            "flymq:9096",
            "a.localhost",
        ] {
            assert_eq!(checked(&[("host", host)], &options), Ok(()), "{host}");
        }
    }

    #[test]
    fn a_rebound_name_is_refused_unless_allowed() {
        let mut options = RestOptions::default();
        let host = [("host", "evil.example:9096")];
        assert_eq!(checked(&host, &options), Err(ErrorCode::PermissionDenied));
        options.allowed_hosts = vec!["Evil.Example".to_owned()];
        assert_eq!(checked(&host, &options), Ok(()));
        for host in ["", "127.0.0.1.evil.example", "localhost.evil.example", "[::1].evil.example"] {
            assert_eq!(
                checked(&[("host", host)], &RestOptions::default()),
                Err(ErrorCode::PermissionDenied),
                "{host}"
            );
        }
    }

    #[test]
    fn a_request_has_one_host() {
        let options = RestOptions::default();
        assert_eq!(checked(&[], &options), Err(ErrorCode::InvalidArgument));
        let twice = [("host", "localhost"), ("host", "localhost")];
        assert_eq!(checked(&twice, &options), Err(ErrorCode::InvalidArgument));
    }

    #[test]
    fn a_foreign_origin_is_refused_and_the_own_one_passes() {
        let mut options = RestOptions::default();
        let with = |origin: &'static str| [("host", "localhost:9096"), ("origin", origin)];
        assert_eq!(checked(&with("http://localhost:9096"), &options), Ok(()));
        for origin in ["http://evil.example", "null", "http://localhost:1234", "https://localhost", "file://"]
        {
            assert_eq!(checked(&with(origin), &options), Err(ErrorCode::PermissionDenied), "{origin}");
        }
        options.allowed_origins = vec!["https://console.example".to_owned()];
        assert_eq!(checked(&with("https://console.example"), &options), Ok(()));
    }
}
