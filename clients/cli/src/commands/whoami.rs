//! `whoami`, `auth`: who the server takes us for, and whether it takes our password.

use flymq_client::pb;

use crate::{
    cli::Global,
    context::Context,
    output::{self, Failure},
};

pub async fn run(context: &Context) -> Result<(), Failure> {
    if context.json() {
        return output::line(context.client.call_json("WhoAmI", "{}").await?);
    }
    let reply: pb::WhoAmIResponse = context.client.call("WhoAmI", &pb::WhoAmIRequest {}).await?;
    if !reply.authenticated {
        return output::line("anonymous (not logged in)");
    }
    output::line(format!("{} ({})", reply.username, reply.roles.join(", ")))
}

/// Checks user name and password.
pub async fn login(context: &Context, global: &Global) -> Result<(), Failure> {
    let (Some(username), Some(password)) = (global.username.clone(), global.password.clone()) else {
        return Err(Failure::Usage("auth needs --username and --password".to_owned()));
    };
    let reply: pb::LoginResponse =
        context.client.call("Login", &pb::LoginRequest { username, password }).await?;
    output::line(format!("logged in; roles: {}", reply.roles.join(", ")))
}
