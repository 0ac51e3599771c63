//! Who calls.

use flymq_proto::pb;
use futures::{FutureExt as _, future::BoxFuture};

use crate::{
    Access, BatchStream, Broker, BrokerError, CallContext, ErrorCode, Principal, Request, Response, Rpc,
};

/// Turns credentials into a [`Principal`].
///
/// With authentication off every caller is anonymous, whatever the door or the client says. With it on, no call but
/// the public ones passes: the user store comes with the security issue, and until then the server refuses to start
/// with `auth.enabled` (decision 32), so that this branch is the safe side of a missing store.
#[derive(Debug)]
pub struct Authenticate<B> {
    inner: B,
    enabled: bool,
}

impl<B> Authenticate<B> {
    pub fn new(inner: B, enabled: bool) -> Self {
        Self { inner, enabled }
    }

    fn check(&self, ctx: &mut CallContext, rpc: Rpc) -> Result<(), BrokerError> {
        ctx.principal = Principal::Anonymous;
        if !self.enabled || rpc.meta().access() == Access::Public {
            return Ok(());
        }
        Err(if ctx.credentials.is_some() {
            BrokerError::new(ErrorCode::AuthenticationFailed, "user name or password is wrong")
        } else {
            BrokerError::new(ErrorCode::AuthenticationRequired, format!("{} needs a login", rpc.meta().rpc))
        })
    }
}

impl<B: Broker> Broker for Authenticate<B> {
    fn call(&self, mut ctx: CallContext, request: Request) -> BoxFuture<'_, Result<Response, BrokerError>> {
        match self.check(&mut ctx, request.rpc()) {
            Ok(()) => self.inner.call(ctx, request),
            Err(error) => std::future::ready(Err(error)).boxed(),
        }
    }

    fn subscribe(
        &self,
        mut ctx: CallContext,
        request: pb::SubscribeRequest,
    ) -> BoxFuture<'_, Result<BatchStream, BrokerError>> {
        match self.check(&mut ctx, Rpc::Subscribe) {
            Ok(()) => self.inner.subscribe(ctx, request),
            Err(error) => std::future::ready(Err(error)).boxed(),
        }
    }
}
