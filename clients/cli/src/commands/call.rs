//! `call`: any rpc by name.

use clap::Args;

use crate::{
    context::Context,
    output::{self, Failure},
};

#[derive(Debug, Args)]
pub struct Call {
    /// Name of the rpc, e.g. GetTopic.
    pub rpc: String,
    /// The request as JSON.
    #[arg(default_value = "{}")]
    pub request: String,
}

pub async fn run(context: &Context, args: &Call) -> Result<(), Failure> {
    output::line(context.client.call_json(&args.rpc, &args.request).await?)
}
