//! What the headers of a call say: who asks, by when an answer is of use, under which id.

use std::time::{Duration, Instant};

use flymq_api::{CallContext, Door, REQUEST_ID_HEADER, request_id};
use tonic::{
    codegen::http::{HeaderMap, HeaderValue, Request},
    transport::server::TcpConnectInfo,
};

/// Reads the context of a call; `now` is when its headers arrived.
pub(crate) fn call_context<B>(request: &Request<B>, now: Instant) -> CallContext {
    let headers = request.headers();
    let given = headers.get(REQUEST_ID_HEADER).and_then(|v| v.to_str().ok());
    let mut ctx = CallContext::new(Door::Grpc, request_id(given));
    ctx.credentials = headers.get("authorization").and_then(|v| v.to_str().ok()).map(Into::into);
    ctx.peer = request.extensions().get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
    ctx.deadline = timeout(headers).and_then(|t| now.checked_add(answer_margin(t)));
    ctx
}

/// The header form of a request id; ids are visible ASCII, so this does not fail.
pub(crate) fn request_id_header(id: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(id).ok()
}

/// Leaves a little of the caller's time for our own, explained answer to come before the transport's bare one.
fn answer_margin(timeout: Duration) -> Duration {
    timeout - (timeout / 10).min(Duration::from_millis(5))
}

/// `grpc-timeout`: up to eight digits and a unit.
fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let n: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(n * 3600)),
        "M" => Some(Duration::from_secs(n * 60)),
        "S" => Some(Duration::from_secs(n)),
        "m" => Some(Duration::from_millis(n)),
        "u" => Some(Duration::from_micros(n)),
        "n" => Some(Duration::from_nanos(n)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(headers: &[(&str, &str)]) -> CallContext {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        call_context(&request.body(()).expect("valid headers"), Instant::now())
    }

    #[test]
    fn deadline_leaves_time_for_the_answer() {
        let before = Instant::now();
        let deadline = context(&[("grpc-timeout", "2S")]).deadline.expect("given");
        let left = deadline - before;
        assert!(left > Duration::from_millis(1900) && left < Duration::from_secs(2), "{left:?}");
    }

    #[test]
    fn a_timeout_that_is_none_sets_no_deadline() {
        for text in ["", "S", "12", "123456789S", "-1S", "1s", "1 S", "１S"] {
            let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) else { continue };
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", value);
            assert_eq!(timeout(&headers), None, "{text:?}");
        }
        assert!(context(&[]).deadline.is_none());
    }

    #[test]
    fn the_largest_timeout_does_not_overflow() {
        assert!(context(&[("grpc-timeout", "99999999H")]).deadline.is_some());
    }

    #[test]
    fn the_request_id_is_the_clients() {
        assert_eq!(&*context(&[(REQUEST_ID_HEADER, "abc-1")]).request_id, "abc-1");
        assert_eq!(context(&[(REQUEST_ID_HEADER, "two words")]).request_id.len(), 32);
    }

    #[test]
    fn credentials_are_the_header_as_it_came() {
        let ctx = context(&[("authorization", "Basic YTpi")]);
        assert_eq!(ctx.credentials.as_deref(), Some("Basic YTpi"));
    }
}
