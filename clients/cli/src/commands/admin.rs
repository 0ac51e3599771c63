//! `admin`: what the admin API offers.

use clap::{Args, CommandFactory as _, Subcommand};

use crate::{
    cli::Cli,
    context::Context,
    output::{self, Failure},
};

#[derive(Debug, Args)]
pub struct Admin {
    #[command(subcommand)]
    pub command: Option<AdminCommand>,
}

#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Counts of topics, partitions, records, bytes, connections.
    Stats,
    /// The server's configuration with the source of each value.
    Config,
}

pub async fn run(context: &Context, args: &Admin) -> Result<(), Failure> {
    let rpc = match args.command {
        None => return list(context),
        Some(AdminCommand::Stats) => "GetStats",
        Some(AdminCommand::Config) => "GetConfig",
    };
    let reply = context.client.call_json(rpc, "{}").await?;
    if context.json() {
        return output::line(reply);
    }
    let document: serde_json::Value = serde_json::from_str(&reply).map_err(|e| Failure::Io(e.to_string()))?;
    if let Some(values) = document["values"].as_array() {
        let text = |v: &serde_json::Value, key: &str| v[key].as_str().unwrap_or_default().to_owned();
        let rows = values.iter().map(|v| vec![text(v, "key"), text(v, "value"), text(v, "source")]);
        return output::table(&["KEY", "VALUE", "SOURCE"], rows.collect(), "no values");
    }
    let rows =
        document.as_object().into_iter().flatten().map(|(key, value)| vec![key.clone(), value.to_string()]);
    output::table(&["COUNT", "VALUE"], rows.collect(), "nothing counted")
}

fn list(context: &Context) -> Result<(), Failure> {
    let mut cli = Cli::command();
    cli.build();
    let admin = cli.find_subcommand_mut("admin").expect("the command that runs now exists");
    if !context.json() {
        return output::line(admin.render_help());
    }
    let named = |command: &clap::Command| {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        serde_json::json!({"command": format!("admin {}", command.get_name()), "about": about})
    };
    let commands: Vec<_> = admin.get_subcommands().filter(|c| c.get_name() != "help").map(named).collect();
    output::line(serde_json::json!({"commands": commands}))
}
