//! Who the caller is.

use flymq_proto::pb;

use super::EngineBroker;
use crate::{CallContext, Principal};

impl EngineBroker {
    pub(super) fn who_am_i(ctx: &CallContext, _request: pb::WhoAmIRequest) -> pb::WhoAmIResponse {
        match &ctx.principal {
            Principal::Anonymous => pb::WhoAmIResponse {
                authenticated: false,
                username: "anonymous".to_owned(),
                roles: Vec::new(),
            },
            Principal::User { name, roles } => {
                pb::WhoAmIResponse { authenticated: true, username: name.to_string(), roles: roles.to_vec() }
            }
        }
    }
}
