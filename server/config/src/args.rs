//! The command line of `flymq`: flags with one dash or two, as documented since the first release.

use std::path::PathBuf;

use crate::load::{FlagOverride, LoadArgs};
use crate::nearest::nearest;

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Command {
    /// Run the server.
    #[default]
    Run,
    /// Run a cluster in this process, for a laptop.
    Dev,
    /// Print every setting with its source.
    ConfigShow,
    /// Test the configuration and say what is wrong.
    ConfigCheck,
    /// Print the version.
    Version,
    /// Print `USAGE`.
    Help,
}

/// A parsed command line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Args {
    /// What to do.
    pub command: Command,
    /// `-config FILE`.
    pub config_file: Option<PathBuf>,
    /// Settings given by flags.
    pub flags: Vec<FlagOverride>,
    /// `-nodes N` of `flymq dev`.
    pub nodes: Option<u32>,
}

/// The command line cannot be understood; says why and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(String);

/// Text of `flymq -help`.
pub const USAGE: &str = "\
FlyMQ, a durable message broker

Usage: flymq [flags]                start the server
       flymq dev [flags]            start a cluster of three nodes in one process, to try things out
       flymq config show [flags]    print every setting with its source
       flymq config check [flags]   test the configuration without starting

Flags (one dash or two):
  -config FILE      configuration file: .json (with // comments), .toml, .yaml
  -human-readable   log text instead of JSON
  -quiet            no banner, no configuration dump
  -set KEY=VALUE    any setting, e.g. -set topics.default_partitions=3
  -nodes N          dev: how many nodes, 1 to 9; their data goes with them unless data_dir is set
  -version          print the version
  -help             print this text

Every setting also has an environment variable: see docs/configuration.md.
";

const FLAGS: &[&str] = &["config", "human-readable", "nodes", "quiet", "set", "version", "help"];

/// Nodes that `flymq dev` can be asked for.
const DEV_NODES: std::ops::RangeInclusive<u32> = 1..=9;

impl Args {
    /// Reads the arguments after the program's name.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, UsageError> {
        let mut parsed = Self::default();
        let mut words: Vec<String> = Vec::new();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            match flag_name(&argument) {
                Some(flag) => parsed.flag(&argument, flag, &mut arguments)?,
                None => words.push(argument),
            }
        }
        // -version and -help win over everything.
        if parsed.command == Command::Run {
            parsed.command = command(&words)?;
        }
        if parsed.nodes.is_some() && parsed.command == Command::Run {
            return Err(UsageError("-nodes belongs to `flymq dev`: write flymq dev -nodes N".to_owned()));
        }
        Ok(parsed)
    }

    /// The load arguments with these flags on top.
    pub fn load_args(&self, base: LoadArgs) -> LoadArgs {
        LoadArgs {
            config_file: self.config_file.clone().or(base.config_file),
            flags: self.flags.clone(),
            ..base
        }
    }

    fn flag(
        &mut self,
        argument: &str,
        flag: &str,
        rest: &mut impl Iterator<Item = String>,
    ) -> Result<(), UsageError> {
        let (name, inline) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (flag, None),
        };
        let mut value = |what: &str| {
            let given = inline.clone().or_else(|| rest.next()).filter(|value| !value.is_empty());
            given.ok_or_else(|| UsageError(format!("{argument} needs a value: -{name} {what}")))
        };
        match name {
            "config" => self.config_file = Some(value("FILE")?.into()),
            "set" => {
                let pair = value("KEY=VALUE")?;
                let (key, text) = pair.split_once('=').ok_or_else(|| {
                    UsageError(format!("-set {pair} has no value; write -set {pair}=VALUE"))
                })?;
                self.override_key(key, text, format!("-set {key}"));
            }
            "nodes" => {
                let text = value("N")?;
                let nodes = text.parse().ok().filter(|nodes| DEV_NODES.contains(nodes));
                let (low, high) = (DEV_NODES.start(), DEV_NODES.end());
                self.nodes = Some(nodes.ok_or_else(|| {
                    UsageError(format!("-nodes {text} is not a number of nodes: write {low} to {high}"))
                })?);
            }
            "human-readable" => {
                self.override_key("log_json", negated(inline.as_deref()), argument.to_owned());
            }
            "quiet" => self.override_key("quiet", inline.as_deref().unwrap_or("true"), argument.to_owned()),
            "version" | "v" | "V" => self.command = Command::Version,
            "help" | "h" => self.command = Command::Help,
            _ => return Err(unknown_flag(argument, name)),
        }
        Ok(())
    }

    fn override_key(&mut self, key: &str, value: &str, flag: String) {
        self.flags.push(FlagOverride { key: key.to_owned(), value: value.to_owned(), flag });
    }
}

/// `-human-readable=false` asks for JSON.
fn negated(value: Option<&str>) -> &'static str {
    if value == Some("false") { "true" } else { "false" }
}

fn flag_name(argument: &str) -> Option<&str> {
    let name = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-'))?;
    (!name.is_empty()).then_some(name)
}

fn command(words: &[String]) -> Result<Command, UsageError> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => Ok(Command::Run),
        ["dev"] => Ok(Command::Dev),
        ["config", "show"] => Ok(Command::ConfigShow),
        ["config", "check"] => Ok(Command::ConfigCheck),
        ["version"] => Ok(Command::Version),
        ["help"] => Ok(Command::Help),
        ["config", ..] => Err(UsageError("`flymq config` is followed by `show` or `check`".to_owned())),
        [word, ..] => Err(UsageError(format!(
            "`{word}` is not a command of the server (dev, config show, config check); for topics and messages use flymq-cli"
        ))),
    }
}

fn unknown_flag(argument: &str, name: &str) -> UsageError {
    let hint = match nearest(name, FLAGS.iter().copied()) {
        Some(near) => format!("did you mean -{near}?"),
        None => "`flymq -help` lists the flags".to_owned(),
    };
    UsageError(format!("unknown flag {argument}; {hint}"))
}

#[cfg(test)]
mod tests {
    use super::{Args, Command};

    fn parse(line: &str) -> Result<Args, String> {
        Args::parse(line.split_whitespace().map(str::to_owned)).map_err(|error| error.to_string())
    }

    #[test]
    fn one_dash_or_two() {
        for line in ["-config f.json -quiet", "--config f.json --quiet", "-config=f.json -quiet=true"] {
            let args = parse(line).expect(line);
            assert_eq!(args.config_file.as_deref(), Some("f.json".as_ref()), "{line}");
            assert_eq!(
                (args.flags[0].key.as_str(), args.flags[0].value.as_str()),
                ("quiet", "true"),
                "{line}"
            );
        }
        let args = parse("--human-readable").expect("flag");
        assert_eq!((args.flags[0].key.as_str(), args.flags[0].value.as_str()), ("log_json", "false"));
    }

    #[test]
    fn commands() {
        assert_eq!(parse("").expect("run").command, Command::Run);
        assert_eq!(parse("config show -config x").expect("show").command, Command::ConfigShow);
        assert_eq!(parse("-config x config check").expect("check").command, Command::ConfigCheck);
        let dev = parse("dev --nodes 5").expect("dev");
        assert_eq!((dev.command, dev.nodes), (Command::Dev, Some(5)));
        assert_eq!(parse("dev").expect("dev").nodes, None);
        assert_eq!(parse("-version").expect("version").command, Command::Version);
        assert_eq!(parse("--help").expect("help").command, Command::Help);
    }

    #[test]
    fn errors_name_the_way_out() {
        assert!(parse("-confg x").expect_err("typo").contains("-config"));
        assert!(parse("-config").expect_err("no value").contains("-config FILE"));
        assert!(parse("-set a").expect_err("no value").contains("-set a=VALUE"));
        assert!(parse("produce x").expect_err("a client's word").contains("flymq-cli"));
        assert!(parse("config").expect_err("half a command").contains("show"));
        assert!(parse("dev -nodes 0").expect_err("no node").contains("1 to 9"));
        assert!(parse("-nodes 3").expect_err("no cluster").contains("flymq dev"));
    }

    #[test]
    fn set_keeps_equals_signs_of_the_value() {
        let args = parse("-set node_id=a=b").expect("set");
        assert_eq!((args.flags[0].key.as_str(), args.flags[0].value.as_str()), ("node_id", "a=b"));
    }
}
