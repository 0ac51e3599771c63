//! `health`, `health live`, `health ready`: exit code 0 when the answer is yes.

use clap::{Args, Subcommand};
use flymq_client::{ClientError, ErrorCode};
use serde_json::json;

use crate::{
    context::Context,
    output::{self, Failure},
};

#[derive(Debug, Args)]
pub struct Health {
    #[command(subcommand)]
    pub command: Option<HealthCommand>,
}

#[derive(Debug, Subcommand)]
pub enum HealthCommand {
    /// Whether the process lives.
    Live,
    /// Whether it serves.
    Ready,
}

pub async fn run(context: &Context, args: &Health) -> Result<(), Failure> {
    let (health, took) = context.client.health().await?;
    let (word, yes) = match args.command {
        Some(HealthCommand::Live) => ("live", health.live),
        Some(HealthCommand::Ready) => ("ready", health.ready),
        None => ("ok", health.live && health.ready),
    };
    if context.json() {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        output::line(json!({
            "status": health.status, "live": health.live, "ready": health.ready, "version": health.version,
            "node_id": health.node_id, "uptime_ms": health.uptime_ms, "checks": health.checks, "took_us": took_us,
        }))?;
    } else if args.command.is_some() {
        output::line(if yes { word.to_owned() } else { format!("not {word}") })?;
    } else {
        let (node, version) = (&health.node_id, &health.version);
        output::line(format!(
            "{} (node {node}, version {version}, up {} s)",
            health.status,
            health.uptime_ms / 1000
        ))?;
        let mut checks: Vec<_> = health.checks.iter().collect();
        checks.sort();
        for (check, result) in checks {
            output::line(format!("  {check}: {result}"))?;
        }
    }
    if yes {
        Ok(())
    } else {
        Err(ClientError::new(ErrorCode::Unavailable, format!("the server is not {word}")).into())
    }
}
