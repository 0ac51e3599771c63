//! Who did what, for the audit trail.

use flymq_proto::pb;
use futures::{FutureExt as _, future::BoxFuture};
use tracing::info;

use super::{Authorized, AuthorizedBroker, Served};
use crate::{AuditEvent, BatchStream, BrokerError, CallContext, OpMeta, Principal, Request, Rpc};

/// Writes one structured event, at the log target `flymq::audit`, for each call whose rpc has an audit event, with
/// its result. Files, queries and export come with the audit issue; they read the same event.
#[derive(Debug)]
pub struct Audit<B> {
    inner: B,
    enabled: bool,
}

impl<B> Audit<B> {
    pub fn new(inner: B, enabled: bool) -> Self {
        Self { inner, enabled }
    }
}

impl<B: AuthorizedBroker> AuthorizedBroker for Audit<B> {
    fn call(
        &self,
        ctx: CallContext,
        request: Authorized<Request>,
    ) -> BoxFuture<'_, Result<Served, BrokerError>> {
        let rpc = request.get().rpc();
        let Some(event) = OpMeta::audit(rpc.meta()).filter(|_| self.enabled) else {
            return self.inner.call(ctx, request);
        };
        let resource = request.get().resource().map(str::to_owned);
        async move {
            let result = self.inner.call(ctx.clone(), request).await;
            record(&ctx, event, rpc, resource.as_deref(), result.as_ref().err());
            result
        }
        .boxed()
    }

    fn subscribe(
        &self,
        ctx: CallContext,
        request: Authorized<pb::SubscribeRequest>,
    ) -> BoxFuture<'_, Result<BatchStream, BrokerError>> {
        self.inner.subscribe(ctx, request)
    }
}

/// Writes the event: who, what, on what, from where, with which result.
pub(super) fn record(
    ctx: &CallContext,
    event: AuditEvent,
    rpc: Rpc,
    resource: Option<&str>,
    error: Option<&BrokerError>,
) {
    let user = match &ctx.principal {
        Principal::Anonymous => "anonymous",
        Principal::User { name, .. } => name,
    };
    let result = error.map_or("OK", |error| error.traits().name.as_str());
    info!(
        target: "flymq::audit",
        event = %event_name(event),
        user,
        rpc = rpc.meta().rpc,
        resource,
        peer = ctx.peer.map(|peer| peer.to_string()),
        door = ctx.door.name(),
        request_id = %ctx.request_id,
        result,
        "audit"
    );
}

/// `AUDIT_EVENT_TOPIC_CREATE` as the trail writes it: `topic.create`.
fn event_name(event: AuditEvent) -> String {
    event.as_str_name().trim_start_matches("AUDIT_EVENT_").to_lowercase().replacen('_', ".", 1)
}
