//! The four layers, weakest first: default, file, environment, flag. Each value keeps where it came from.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use crate::error::{ConfigError, Problem};
use crate::file;
use crate::host::Host;
use crate::keys::{KEYS, Key, TOOL_VARIABLES};
use crate::nearest::nearest;
use crate::node::Node;
use crate::options::Config;
use crate::source::Source;
use crate::validate;

/// What `Config::load` works from; nothing else is asked, except for the text of `config_file`.
#[derive(Debug, Clone, Default)]
pub struct LoadArgs {
    /// `-config FILE`; without it `FLYMQ_CONFIG` of `env` counts.
    pub config_file: Option<PathBuf>,
    /// The environment; names that do not begin with `FLYMQ_` are ignored.
    pub env: Vec<(String, String)>,
    /// Settings by flag.
    pub flags: Vec<FlagOverride>,
    /// What the defaults depend on.
    pub host: Host,
}

/// One setting given on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagOverride {
    /// Dotted key.
    pub key: String,
    /// Value as text.
    pub value: String,
    /// The flag as the user wrote it, for messages and `config show`.
    pub flag: String,
}

impl LoadArgs {
    /// This process's environment and machine, no file, no flags.
    pub fn from_process() -> Self {
        let env = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok().filter(|name| name.starts_with("FLYMQ_"))?;
            Some((name, value.to_string_lossy().into_owned()))
        });
        Self { config_file: None, env: env.collect(), flags: Vec::new(), host: Host::from_process() }
    }
}

/// A configuration that passed every check.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// Where each value came from, by dotted key; every key is present.
    pub sources: BTreeMap<&'static str, Source>,
    /// What the operator should know, one sentence each.
    pub warnings: Vec<String>,
    /// The file that was read.
    pub file: Option<PathBuf>,
}

impl Config {
    /// Reads and checks the configuration. All problems found are reported together.
    pub fn load(args: &LoadArgs) -> Result<Loaded, ConfigError> {
        let path = args.config_file.clone().or_else(|| {
            args.env
                .iter()
                .find(|(name, value)| name == "FLYMQ_CONFIG" && !value.is_empty())
                .map(|(_, v)| v.into())
        });
        let text = path.as_deref().map(file::read).transpose()?;
        Self::load_text(args, path.as_deref().zip(text.as_deref()))
    }

    /// As `load` with the file's text given (`config_file` is not opened).
    pub fn load_text(args: &LoadArgs, file: Option<(&Path, &str)>) -> Result<Loaded, ConfigError> {
        let mut layers = Layers::new(&args.host);
        if let Some((path, text)) = file {
            layers.apply_file(path, file::parse(path, text)?);
        }
        layers.apply_env(&args.env);
        layers.apply_flags(&args.flags);
        layers.finish(&args.host, file.map(|(path, _)| path.to_owned()))
    }
}

struct Layers {
    config: Config,
    sources: BTreeMap<&'static str, Source>,
    warnings: Vec<String>,
    problems: Vec<Problem>,
}

impl Layers {
    fn new(host: &Host) -> Self {
        let sources = KEYS.iter().map(|key| (key.name, Source::Default)).collect();
        Self { config: Config::defaults(host), sources, warnings: Vec::new(), problems: Vec::new() }
    }

    fn apply_file(&mut self, path: &Path, entries: Vec<(String, Node)>) {
        let source = Source::File(path.to_owned());
        let mut seen = HashSet::new();
        for (name, node) in entries {
            match Key::by_name(&name) {
                Some(key) if key.env_only => self.problems.push(Problem::of(
                    key.name,
                    format!("`{name}` stands in {}, where it could leak", path.display()),
                    format!(
                        "remove it from the file, change it if others could read it, and set {} instead",
                        key.env
                    ),
                )),
                Some(key) if !seen.insert(key.name) => self.problems.push(Problem::of(
                    key.name,
                    format!("`{name}` stands twice in {}", path.display()),
                    "keep one of them",
                )),
                Some(key) => self.set(key, &node, source.clone()),
                None => self.problems.push(unknown_key(&name, &source)),
            }
        }
    }

    fn apply_env(&mut self, env: &[(String, String)]) {
        for (name, value) in env.iter().filter(|(name, _)| name.starts_with("FLYMQ_")) {
            // Compose files pass `FLYMQ_X=` for "not set".
            if value.is_empty() || TOOL_VARIABLES.iter().any(|(known, _)| known == name) {
                continue;
            }
            match Key::by_env(name) {
                Some(key) => self.set(key, &Node::Text(value.clone()), Source::Env(key.env)),
                None => {
                    let known =
                        KEYS.iter().map(|key| key.env).chain(TOOL_VARIABLES.iter().map(|(known, _)| *known));
                    let hint = nearest(name, known)
                        .map(|near| format!("; did you mean {near}?"))
                        .unwrap_or_default();
                    self.warnings
                        .push(format!("the environment variable {name} is unknown and has no effect{hint}"));
                }
            }
        }
    }

    fn apply_flags(&mut self, flags: &[FlagOverride]) {
        for flag in flags {
            let source = Source::Flag(flag.flag.clone());
            match Key::by_name(&flag.key) {
                Some(key) if key.env_only => self.problems.push(Problem::of(
                    key.name,
                    format!(
                        "`{}` was given by {source}, where other users of the machine can see it",
                        flag.key
                    ),
                    format!("set {} instead", key.env),
                )),
                Some(key) => self.set(key, &Node::Text(flag.value.clone()), source),
                None => self.problems.push(unknown_key(&flag.key, &source)),
            }
        }
    }

    fn set(&mut self, key: &'static Key, node: &Node, source: Source) {
        if (key.set)(&mut self.config, node) {
            self.sources.insert(key.name, source);
            return;
        }
        let expected = (key.expected)();
        let found = node.describe(!key.secret);
        self.problems.push(Problem::of(
            key.name,
            format!("`{}` ({source}) cannot be {found}", key.name),
            format!("expected is {expected}"),
        ));
    }

    fn finish(mut self, host: &Host, file: Option<PathBuf>) -> Result<Loaded, ConfigError> {
        self.resolve_paths(host);
        validate::check(&self.config, &mut self.problems);
        validate::check_features(&self.config, &self.sources, &mut self.problems, &mut self.warnings);
        validate::warn(&self.config, &mut self.warnings);
        if self.problems.is_empty() {
            Ok(Loaded { config: self.config, sources: self.sources, warnings: self.warnings, file })
        } else {
            Err(ConfigError { problems: self.problems })
        }
    }

    fn resolve_paths(&mut self, host: &Host) {
        let config = &mut self.config;
        if config.audit.log_dir.as_os_str().is_empty() {
            config.audit.log_dir = config.storage.data_dir.join("audit");
        }
        let security = &mut config.security;
        let files =
            [&mut security.tls_cert_file, &mut security.tls_key_file, &mut security.tls_client_ca_file];
        let given = files.into_iter().flatten();
        for path in given.chain([&mut config.storage.data_dir, &mut config.audit.log_dir]) {
            *path = host.expand(std::mem::take(path));
        }
    }
}

fn unknown_key(name: &str, source: &Source) -> Problem {
    let near = nearest(name, KEYS.iter().map(|key| key.name));
    let hint = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`flymq config show` lists the known keys".to_owned(),
    };
    let shown: String = name.chars().take(120).flat_map(char::escape_debug).collect();
    Problem { key: Some(name.to_owned()), what: format!("unknown key `{shown}` ({source})"), hint }
}

#[cfg(test)]
mod tests;
