//! `flymq-cli`: FlyMQ from a shell. A file per command; tables for people, `-o json` for machines.

mod bench;
mod cli;
mod commands;
mod context;
mod output;

use std::process::ExitCode;

use clap::Parser as _;

use cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let format = cli.global.output;
    match flymq_client::runtime().block_on(commands::run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => output::fail(&failure, format),
    }
}
