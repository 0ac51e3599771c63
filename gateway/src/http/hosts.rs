//! Refuses requests under a foreign host name at the listeners that know no origins: metrics and health.

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{StatusCode, header},
    middleware::{self, Next},
    response::Response,
};

use crate::rest::check_host;

/// `router` for the node's own names, addresses and names without a dot alone. A request without a host, as old probes
/// send it, comes from no browser and passes.
pub(crate) fn guarded(router: Router, allowed: Vec<String>) -> Router {
    router.layer(middleware::from_fn(move |request: Request, next: Next| {
        let has_host = request.headers().contains_key(header::HOST) || request.uri().authority().is_some();
        let refused =
            has_host.then(|| check_host(request.headers(), request.uri(), &allowed).err()).flatten();
        async move {
            match refused {
                None => next.run(request).await,
                Some(error) => {
                    let way_out = error.metadata.get("way_out").map(String::as_str).unwrap_or_default();
                    let mut response = Response::new(Body::from(format!("{error}; {way_out}\n")));
                    *response.status_mut() = StatusCode::FORBIDDEN;
                    response
                }
            }
        }
    }))
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_rebound_name_is_refused_and_the_nodes_own_pass() {
        let router =
            guarded(Router::new().route("/", get(|| async { "yes" })), vec!["mq.example".to_owned()]);
        for (host, status) in [
            (Some("127.0.0.1:9094"), 200),
            (Some("[::1]:9094"), 200),
            (Some("localhost"), 200),
            (Some("MQ.example:9094"), 200),
            (None, 200),
            (Some("evil.example"), 403),
            (Some("127.0.0.1.evil.example"), 403),
        ] {
            let mut request = Request::get("/");
            if let Some(host) = host {
                request = request.header(header::HOST, host);
            }
            let request = request.body(Body::empty()).expect("a request");
            let answer = router.clone().oneshot(request).await.expect("infallible");
            assert_eq!(answer.status().as_u16(), status, "{host:?}");
        }
    }
}
