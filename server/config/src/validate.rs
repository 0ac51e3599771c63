//! Checks across settings; checks of one value are its codec's.

mod cluster;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::Problem;
use crate::feature::{FEATURES, Feature, FeatureState};
use crate::keys::{KEYS, Key};
use crate::listen_addr::ListenAddr;
use crate::options::Config;
use crate::source::Source;

/// Everything that makes the configuration unusable whatever is built.
pub fn check(config: &Config, problems: &mut Vec<Problem>) {
    check_names(config, problems);
    check_cadences(config, problems);
    check_companions(config, problems);
    cluster::check(config, problems);
    check_collisions(config, problems);
    check_exposure(config, problems);
}

fn check_names(config: &Config, problems: &mut Vec<Problem>) {
    if config.storage.data_dir.as_os_str().is_empty() {
        problems.push(Problem::of(
            "data_dir",
            "there is no data directory: this user has no home directory to put it in",
            "set FLYMQ_DATA_DIR (data_dir) to a directory that the server may write",
        ));
    }
    for (key, text, limit) in
        [("node_id", &config.node_id, 249), ("dlq.topic_suffix", &config.dlq.topic_suffix, 64)]
    {
        if text.len() > limit || text.chars().any(|c| c.is_control() || c == '/') {
            problems.push(Problem::of(
                key,
                format!("`{key}` holds a `/`, a control character or more than {limit} bytes"),
                "choose a plain name such as node-1",
            ));
        }
    }
}

fn check_cadences(config: &Config, problems: &mut Vec<Problem>) {
    for (key, value) in [
        ("transaction.timeout", config.transaction.timeout),
        ("ttl.cleanup_interval", config.ttl.cleanup_interval),
        ("delayed.max_delay", config.delayed.max_delay),
    ] {
        if value == Duration::ZERO {
            problems.push(Problem::of(
                key,
                format!("`{key}` is 0, which would never end or never wait"),
                "set at least 1",
            ));
        }
    }
}

fn check_companions(config: &Config, problems: &mut Vec<Problem>) {
    let security = &config.security;
    let tls_files = [("tls_cert_file", &security.tls_cert_file), ("tls_key_file", &security.tls_key_file)];
    for (key, file) in tls_files {
        if security.tls_enabled && file.is_none() {
            problems.push(Problem::of(
                &format!("security.{key}"),
                format!("TLS is on (security.tls_enabled), but security.{key} is not set"),
                format!("set security.{key} to a PEM file"),
            ));
        }
    }
    if security.encryption_enabled && security.encryption_key.is_none() {
        problems.push(Problem::of(
            "security.encryption_key",
            "encryption at rest is on (security.encryption_enabled), but there is no key",
            "set FLYMQ_ENCRYPTION_KEY to 64 hex characters, e.g. from `openssl rand -hex 32`",
        ));
    }
}

fn check_collisions(config: &Config, problems: &mut Vec<Problem>) {
    let listeners = open_listeners(config);
    for (index, (key, addr)) in listeners.iter().enumerate() {
        if let Some((other, _)) = listeners[..index].iter().find(|(_, earlier)| earlier.collides_with(addr)) {
            problems.push(Problem::of(
                key,
                format!("`{key}` and `{other}` both want port {}", addr.port()),
                "give one of them another port",
            ));
        }
    }
}

/// The listeners that the server opens, by key. WebSocket counts once it is built.
pub fn open_listeners(config: &Config) -> Vec<(&'static str, &ListenAddr)> {
    let observability = &config.observability;
    [
        ("bind_addr", &config.listen.bind_addr, true),
        ("grpc_addr", &config.listen.grpc_addr, true),
        ("cluster_addr", &config.listen.cluster_addr, config.cluster.wants_cluster()),
        ("ws_addr", &config.listen.ws_addr, Feature::WebSocket.is_built()),
        ("observability.metrics.addr", &observability.metrics.addr, observability.metrics.enabled),
        ("observability.health.addr", &observability.health.addr, observability.health.enabled),
        ("observability.admin.addr", &observability.admin.addr, observability.admin.enabled),
    ]
    .into_iter()
    .filter_map(|(key, addr, open)| open.then_some((key, addr)))
    .collect()
}

/// Keys and addresses that other machines can reach.
fn exposed(config: &Config) -> Option<String> {
    let reachable = open_listeners(config).into_iter().filter(|(_, addr)| !addr.is_loopback());
    let named: Vec<String> = reachable.map(|(key, addr)| format!("{key} = {addr}")).collect();
    (!named.is_empty()).then(|| named.join(", "))
}

fn check_exposure(config: &Config, problems: &mut Vec<Problem>) {
    if config.auth.enabled || config.security.allow_insecure {
        return;
    }
    if let Some(named) = exposed(config) {
        problems.push(Problem::of(
            "security.allow_insecure",
            format!(
                "refusing to listen beyond loopback without authentication ({named}): \
                 anyone who can reach this address could read, write and delete everything"
            ),
            format!(
                "turn authentication on (FLYMQ_AUTH_ENABLED=true, auth.enabled{}), or accept the risk with \
                 FLYMQ_ALLOW_INSECURE=true (security.allow_insecure), or listen on 127.0.0.1",
                if Feature::Auth.is_built() { "" } else { "; not in this version yet" }
            ),
        ));
    }
}

/// What the operator should know although the server starts.
pub fn warn(config: &Config, warnings: &mut Vec<String>) {
    cluster::warn(config, warnings);
    let security = &config.security;
    if !security.encryption_enabled
        && (security.encryption_key.is_some() || !security.encryption_old_keys.is_empty())
    {
        warnings.push(
            "an encryption key is set, but encryption at rest is off: data is written in the clear; \
             set FLYMQ_ENCRYPTION_ENABLED=true (security.encryption_enabled) to use the key"
                .to_owned(),
        );
    }
    if config.auth.enabled || !config.security.allow_insecure {
        return;
    }
    if let Some(named) = exposed(config) {
        warnings.push(format!(
            "listening beyond loopback without authentication, as security.allow_insecure says ({named}): \
             anyone who can reach this address can read, write and delete everything"
        ));
    }
}

/// Settings that ask for what is not built: a refusal where data would go unprotected, else one warning a feature.
pub fn check_features(
    config: &Config,
    sources: &BTreeMap<&'static str, Source>,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<String>,
) {
    for state in FEATURES.iter().filter(|state| !state.built) {
        let explicit: Vec<&str> = explicit_keys(state.feature, config, sources);
        let on = enabled_switches(state.feature, config, sources);
        if state.protects && !on.is_empty() {
            problems.push(refusal(state, &on));
        } else if !explicit.is_empty() {
            warnings.push(format!(
                "{} set, but this version does not have {} yet: no effect",
                quoted(&explicit),
                state.name
            ));
        }
    }
}

fn refusal(state: &FeatureState, on: &[&'static str]) -> Problem {
    Problem::of(
        on[0],
        format!(
            "{} turned on, but this version does not have {} yet; starting would leave unprotected what you want \
             protected",
            quoted(on),
            state.name
        ),
        "turn it off, or wait for a version that has it",
    )
}

/// Keys that ask for the feature. Empty where its switch was turned off by the user.
fn explicit_keys(
    feature: Feature,
    config: &Config,
    sources: &BTreeMap<&'static str, Source>,
) -> Vec<&'static str> {
    let explicit = KEYS
        .iter()
        .filter(|key| key.feature == Some(feature) && sources.get(key.name).is_some_and(Source::is_explicit));
    let (asking, idle): (Vec<&Key>, Vec<&Key>) =
        explicit.partition(|key| asks_for_something(&(key.show)(config)));
    let switched_off = idle.iter().any(|key| key.is_switch) && !asking.iter().any(|key| key.is_switch);
    if switched_off { Vec::new() } else { asking.into_iter().map(|key| key.name).collect() }
}

fn enabled_switches(
    feature: Feature,
    config: &Config,
    sources: &BTreeMap<&'static str, Source>,
) -> Vec<&'static str> {
    let explicit = |name: &str| sources.get(name).is_some_and(Source::is_explicit);
    let switches =
        KEYS.iter().filter(|key| key.feature == Some(feature) && key.is_switch && explicit(key.name));
    switches.filter(|key| asks_for_something(&(key.show)(config))).map(|key| key.name).collect()
}

/// False for the values that mean "none" or "off".
fn asks_for_something(shown: &str) -> bool {
    !matches!(shown, "" | "false" | "0" | "0s" | "0ms" | "off" | "standalone")
}

fn quoted(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let verb = if names.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", names.join(", "))
}
