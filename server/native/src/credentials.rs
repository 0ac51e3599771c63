//! Logging a connection in.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flymq_api::{BrokerError, CallContext, Request, Response};
use flymq_proto::pb;

use crate::{caller::Caller, door::Door};

/// User and password in the form that all doors hand to the authenticate layer.
fn basic(user: &str, password: &str) -> Arc<str> {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))).into()
}

/// Logs `caller` in; gives its roles. With authentication off anyone may be whoever they say, and has no role.
///
/// # Errors
/// What the broker says of the login; the caller stays who it was.
pub(crate) async fn login(
    door: &Door,
    caller: &mut Caller,
    context: CallContext,
    user: &str,
    password: &str,
) -> Result<Vec<String>, BrokerError> {
    let roles = if door.options.auth_required {
        let request = pb::LoginRequest { username: user.to_owned(), password: password.to_owned() };
        match door.broker.call(context, Request::Login(request)).await? {
            Response::Login(reply) => reply.roles,
            other => return Err(mismatch(&other)),
        }
    } else {
        Vec::new()
    };
    caller.credentials = Some(basic(user, password));
    caller.user = Some(user.to_owned());
    Ok(roles)
}

/// The error for a response of another rpc than the request's: a fault in the broker.
pub(crate) fn mismatch(response: &Response) -> BrokerError {
    BrokerError::new(
        flymq_api::ErrorCode::Internal,
        format!("the broker answered with a response of {:?}", response.rpc()),
    )
}
