//! AUTH and WHOAMI.

use flymq_api::ErrorCode;
use flymq_proto::pb;
use flymq_wire::{
    frame::FrameParts,
    v1::{Login, LoginReply, op, reply_frame},
};

use super::{
    error::{About, Failure},
    session::Session,
};
use crate::credentials;

/// A login that fails is a reply, not an error frame, and leaves the connection who it was.
pub(super) async fn login(session: &mut Session<'_>, body: Login) -> Result<FrameParts, Failure> {
    let context = session.context();
    let done = credentials::login(session.door, &mut session.caller, context, &body.user, &body.password);
    let reply = match done.await {
        Ok(roles) => LoginReply { ok: true, user: body.user, roles, error: String::new() },
        Err(error) if error.code == ErrorCode::AuthenticationFailed => {
            LoginReply { error: About::default().failure(&error).text, ..LoginReply::default() }
        }
        Err(error) => return Err(About::default().failure(&error)),
    };
    Ok(reply_frame(op::AUTH, &reply)?)
}

/// Not `ok` where nobody is logged in.
pub(super) async fn whoami(session: &Session<'_>) -> Result<FrameParts, Failure> {
    let reply = match &session.caller.user {
        None => LoginReply::default(),
        Some(user) => {
            LoginReply { ok: true, user: user.clone(), roles: roles(session).await?, error: String::new() }
        }
    };
    Ok(reply_frame(op::WHOAMI, &reply)?)
}

/// Roles of the user who is logged in; nobody has any where authentication is off.
async fn roles(session: &Session<'_>) -> Result<Vec<String>, Failure> {
    if !session.door.options.auth_required {
        return Ok(Vec::new());
    }
    let known: pb::WhoAmIResponse =
        session.call(pb::WhoAmIRequest {}).await.map_err(|error| About::default().failure(&error))?;
    Ok(known.roles)
}
