//! `whoami`, `auth`: who the server takes us for.

use flymq_client::pb;

use crate::{
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
