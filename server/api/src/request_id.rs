//! Ids of requests, as they appear in logs, errors and audit events.

use uuid::Uuid;

/// Longest id taken over from a client; it is repeated wherever the request is told of.
const MAX_LEN: usize = 128;

/// Header, or gRPC metadata key, that carries the id of a request, both ways.
pub const REQUEST_ID_HEADER: &str = "x-request-id";

/// The client's own id if it is 1 to 128 visible ASCII characters, else a new one (32 hex characters, ascending in time).
pub fn request_id(given: Option<&str>) -> String {
    let fit = |id: &&str| !id.is_empty() && id.len() <= MAX_LEN && id.bytes().all(|b| b.is_ascii_graphic());
    given.filter(fit).map_or_else(|| Uuid::now_v7().simple().to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fit_id_is_kept_and_an_unfit_one_replaced() {
        assert_eq!(request_id(Some("abc-1")), "abc-1");
        let long = "x".repeat(MAX_LEN + 1);
        for unfit in [None, Some(""), Some("two words"), Some("line\nbreak"), Some("é"), Some(&long)] {
            let id = request_id(unfit);
            assert_ne!(Some(id.as_str()), unfit);
            assert_eq!(id.len(), 32);
        }
    }
}
