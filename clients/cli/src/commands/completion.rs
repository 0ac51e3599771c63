//! `completion`: a script for bash, zsh, fish and others.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::{cli::Cli, output::Failure};

#[derive(Debug, Args)]
pub struct Completion {
    pub shell: Shell,
}

pub fn run(args: &Completion) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "flymq-cli", &mut script);
    std::io::Write::write_all(&mut std::io::stdout().lock(), &script).map_err(Failure::from)
}
