//! Who may do what. The one place that mints [`Authorized`], without which the engine does nothing.

use std::{sync::Arc, time::Duration};

use flymq_proto::pb;
use futures::{FutureExt as _, future::BoxFuture};

use super::audit;
use crate::{
    Access, AuditEvent, BatchStream, Broker, BrokerError, CallContext, ErrorCode, Principal, Request,
    Response, Rpc,
};

/// A request that its caller has the right to make. Only [`Authorize`] can make one, and the receiver of what another
/// node's [`Authorize`] has let pass:
///
/// ```compile_fail
/// use flymq_api::{Authorized, Request, pb};
/// let forged = Authorized { request: Request::GetHealth(pb::GetHealthRequest {}) };
/// ```
#[derive(Debug, Clone)]
pub struct Authorized<T> {
    request: T,
}

impl<T> Authorized<T> {
    /// One that the node which sent it here has authorized.
    pub(super) fn by_peer(request: T) -> Self {
        Self { request }
    }

    /// The request, to look at.
    pub fn get(&self) -> &T {
        &self.request
    }

    /// The request, to carry out.
    pub fn into_inner(self) -> T {
        self.request
    }
}

/// An answer, and how much of its time was waiting that the caller had asked for.
#[derive(Debug)]
pub struct Served {
    pub response: Response,
    /// Time in which a long poll had nothing to read.
    pub waited: Duration,
}

impl From<Response> for Served {
    fn from(response: Response) -> Self {
        Self { response, waited: Duration::ZERO }
    }
}

/// What lies behind the authorizer. The contract is that of [`Broker`].
pub trait AuthorizedBroker: Send + Sync + 'static {
    fn call(
        &self,
        ctx: CallContext,
        request: Authorized<Request>,
    ) -> BoxFuture<'_, Result<Served, BrokerError>>;

    fn subscribe(
        &self,
        ctx: CallContext,
        request: Authorized<pb::SubscribeRequest>,
    ) -> BoxFuture<'_, Result<BatchStream, BrokerError>>;
}

impl<B: AuthorizedBroker + ?Sized> AuthorizedBroker for Arc<B> {
    fn call(
        &self,
        ctx: CallContext,
        request: Authorized<Request>,
    ) -> BoxFuture<'_, Result<Served, BrokerError>> {
        (**self).call(ctx, request)
    }

    fn subscribe(
        &self,
        ctx: CallContext,
        request: Authorized<pb::SubscribeRequest>,
    ) -> BoxFuture<'_, Result<BatchStream, BrokerError>> {
        (**self).subscribe(ctx, request)
    }
}

/// Reads the right an rpc needs from the op table and holds it against the caller.
///
/// With authentication off everyone has every right, but for one thing that holds for users always: topics whose
/// names begin with `__` are the broker's, and only it writes or changes them. (Which nodes keep them is the operators'.)
#[derive(Debug)]
pub struct Authorize<B> {
    inner: B,
    auth_enabled: bool,
}

impl<B> Authorize<B> {
    pub fn new(inner: B, auth_enabled: bool) -> Self {
        Self { inner, auth_enabled }
    }

    fn check(&self, ctx: &CallContext, rpc: Rpc, resource: Option<&str>) -> Result<(), BrokerError> {
        let decision = self.decide(ctx, rpc, resource);
        if let Err(error) = &decision {
            audit::record(ctx, AuditEvent::AccessDenied, rpc, resource, Some(error));
        }
        decision
    }

    fn decide(&self, ctx: &CallContext, rpc: Rpc, resource: Option<&str>) -> Result<(), BrokerError> {
        let access = rpc.meta().access();
        let moves = rpc == Rpc::ReassignPartitions;
        let changes = matches!(access, Access::Write | Access::Admin) && !moves;
        if changes && let Some(name) = resource.filter(|name| name.starts_with("__")) {
            let message = format!("names that begin with '__' belong to the broker: {name}");
            return Err(denied(message, rpc, Some(name)));
        }
        match (self.auth_enabled, &ctx.principal, access) {
            (false, _, _) | (true, _, Access::Public) => Ok(()),
            // Rights of users come with the security issue; until then an authenticated caller has none.
            (true, Principal::Anonymous | Principal::User { .. }, _) => {
                Err(denied(format!("{} needs a right you do not have", rpc.meta().rpc), rpc, resource))
            }
        }
    }
}

fn denied(message: String, rpc: Rpc, resource: Option<&str>) -> BrokerError {
    let access = rpc.meta().access().as_str_name().trim_start_matches("ACCESS_").to_lowercase();
    let error = BrokerError::new(ErrorCode::PermissionDenied, message).with("right", access);
    match resource {
        Some(resource) => error.with("resource", resource),
        None => error,
    }
}

impl<B: AuthorizedBroker> Broker for Authorize<B> {
    fn call(&self, ctx: CallContext, request: Request) -> BoxFuture<'_, Result<Response, BrokerError>> {
        if let Err(error) = self.check(&ctx, request.rpc(), request.resource()) {
            return std::future::ready(Err(error)).boxed();
        }
        let served = self.inner.call(ctx, Authorized { request });
        async move { served.await.map(|served| served.response) }.boxed()
    }

    fn subscribe(
        &self,
        ctx: CallContext,
        request: pb::SubscribeRequest,
    ) -> BoxFuture<'_, Result<BatchStream, BrokerError>> {
        match self.check(&ctx, Rpc::Subscribe, Some(&request.topic)) {
            Ok(()) => self.inner.subscribe(ctx, Authorized { request }),
            Err(error) => std::future::ready(Err(error)).boxed(),
        }
    }
}
