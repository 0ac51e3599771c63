//! docs/configuration.md, generated from the key table; a test compares it with the file.

use std::fmt::Write;

use crate::feature::FEATURES;
use crate::host::Host;
use crate::keys::{KEYS, Key, TOOL_VARIABLES};
use crate::options::Config;

const INTRODUCTION: &str = "\
# Configuration

<!-- Generated from server/config/src/keys.rs by `make fix`; do not edit. -->

FlyMQ starts with nothing configured: it listens on loopback and keeps its data under `~/.local/share/flymq`.

A setting comes from, strongest first: a flag, an environment variable, the file, the default.
`flymq config show` prints every value with where it came from; `flymq config check -config FILE` tests a file without starting.

- **File**: `-config FILE` (or `FLYMQ_CONFIG`), as JSON with `//` comments, TOML or YAML, by the end of its name.
  The keys below are nested at the dots: `topics.auto_create` is `{\"topics\": {\"auto_create\": true}}`. An unknown key is an error.
- **Environment**: an unknown `FLYMQ_*` variable is reported and ignored; an empty one counts as not set.
- **Flags** (one dash or two): `-config FILE`, `-human-readable` (log text instead of JSON), `-quiet` (no banner, no
  configuration dump), `-set KEY=VALUE` (any key below), `-version`, `-help`.
- **Units**: a plain number has the unit that the table gives; text may name one: `\"64MiB\"`, `\"500ms\"`, `\"7d\"`.
- **Addresses** are taken literally: `127.0.0.1:9092` is this machine only, `:9092` is every interface. Beyond loopback without
  authentication the server refuses to start unless `security.allow_insecure` is true.

";

/// The reference page, Markdown.
pub fn render_reference() -> String {
    let mut out = INTRODUCTION.to_owned();
    out.push_str("| Key | Variable | Default | Values | Meaning |\n|---|---|---|---|---|\n");
    let defaults = Config::defaults(&Host::default());
    for key in KEYS {
        let row = row(key, &defaults);
        out.push_str(&row);
    }
    out.push_str("\n`*` The feature is not built yet: the setting is accepted with a warning.\n");
    out.push_str("`**` Not built yet, and it protects data: turning it on refuses to start.\n\n");
    out.push_str("## Variables of the tools\n\n| Variable | Meaning |\n|---|---|\n");
    for (name, meaning) in TOOL_VARIABLES {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "| `{name}` | {meaning} |");
    }
    out
}

fn row(key: &Key, defaults: &Config) -> String {
    let name = if key.env_only { "(environment only)".to_owned() } else { format!("`{}`", key.name) };
    let shown = (key.show)(defaults);
    let default = match (key.default_words, shown.as_str()) {
        (Some(words), _) => words.replace('<', "&lt;"),
        (None, "") => "-".to_owned(),
        (None, value) => format!("`{value}`"),
    };
    format!("| {name}{} | `{}` | {default} | {} | {} |\n", mark(key), key.env, (key.expected)(), key.doc)
}

fn mark(key: &Key) -> &'static str {
    let state = FEATURES.iter().find(|state| key.feature == Some(state.feature) && !state.built);
    match state {
        Some(state) if state.protects => " \\*\\*",
        Some(_) => " \\*",
        None => "",
    }
}
