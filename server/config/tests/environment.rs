//! Every documented variable (rows EN-001 to EN-019 of the API checklist) has its effect and its default.

use flymq_config::{Config, Host, Key, LoadArgs, Loaded, Source, TOOL_VARIABLES};

fn load(pairs: &[(&str, &str)]) -> Result<Loaded, String> {
    let host = Host { hostname: "box".to_owned(), home: Some("/home/ada".into()), data_home: None };
    let env = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Config::load(&LoadArgs { env, host, ..LoadArgs::default() }).map_err(|error| error.to_string())
}

/// Id, variable, default as shown, another value and how it is shown, more variables that it needs.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const INSECURE: &[(&str, &str)] = &[("FLYMQ_ALLOW_INSECURE", "true")];

/// Those that take effect today. Documented `:port` defaults are loopback (decision 29).
const EFFECTIVE: &[Row] = &[
    ("EN-001", "FLYMQ_BIND_ADDR", "127.0.0.1:9092", ":9092", ":9092", INSECURE),
    ("EN-002", "FLYMQ_CLUSTER_ADDR", "127.0.0.1:9093", ":9093", ":9093", &[]),
    ("EN-003", "FLYMQ_ADVERTISE_ADDR", "", "mq.example:9092", "mq.example:9092", &[]),
    ("EN-004", "FLYMQ_ADVERTISE_CLUSTER", "", "mq.example:9093", "mq.example:9093", &[]),
    ("EN-005", "FLYMQ_DATA_DIR", "/home/ada/.local/share/flymq", "/srv/mq", "/srv/mq", &[]),
    ("EN-006", "FLYMQ_NODE_ID", "box", "node-7", "node-7", &[]),
    ("EN-007", "FLYMQ_LOG_LEVEL", "info", "debug", "debug", &[]),
    ("EN-008", "FLYMQ_LOG_JSON", "true", "false", "false", &[]),
    ("EN-009", "FLYMQ_TLS_ENABLED", "false", "false", "false", &[]),
    ("EN-010", "FLYMQ_ENCRYPTION_ENABLED", "false", "0", "false", &[]),
    (
        "EN-011",
        "FLYMQ_ENCRYPTION_KEY",
        "",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "***",
        &[],
    ),
    ("EN-012", "FLYMQ_AUTH_ENABLED", "false", "false", "false", &[]),
    ("EN-015", "FLYMQ_ROLE", "standalone", "agent", "agent", &[("FLYMQ_SERVER", "a:9093")]),
    ("EN-016", "FLYMQ_SERVER", "", "node-1:9093", "node-1:9093", &[]),
    ("EN-017", "FLYMQ_JOIN_TOKEN", "", "t", "***", &[]),
    ("EN-018", "FLYMQ_CLUSTER_TOKEN", "", "t", "***", &[]),
    ("EN-019", "FLYMQ_GRPC_ADDR", "127.0.0.1:9097", "[::]:9097", "[::]:9097", INSECURE),
];

#[test]
fn each_variable_has_its_default_and_its_effect() {
    let defaults = load(&[]).expect("defaults");
    for (id, variable, default, value, shown, more) in EFFECTIVE {
        let key = Key::by_env(variable).unwrap_or_else(|| panic!("{id}: {variable} is unknown"));
        assert_eq!((key.show)(&defaults.config), *default, "{id}: default");
        let mut pairs = vec![(*variable, *value)];
        pairs.extend(*more);
        let loaded = load(&pairs).unwrap_or_else(|error| panic!("{id}: {error}"));
        assert_eq!((key.show)(&loaded.config), *shown, "{id}: value");
        assert_eq!(loaded.sources[key.name], Source::Env(key.env), "{id}: source");
    }
}

#[test]
fn switches_of_protection_that_is_not_built_refuse() {
    for variable in ["FLYMQ_TLS_ENABLED", "FLYMQ_AUTH_ENABLED"] {
        let message = load(&[(variable, "true")]).expect_err(variable);
        assert!(message.contains("does not have"), "{variable}: {message}");
    }
}

const KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn encryption_needs_a_key_and_a_key_needs_encryption() {
    let enabled = ("FLYMQ_ENCRYPTION_ENABLED", "true");
    let message = load(&[enabled]).expect_err("no key");
    assert!(message.contains("openssl rand -hex 32"), "{message}");
    for bad in [&KEY[1..], "zz", &KEY.replace('0', "x"), &format!("{KEY}00")] {
        for variable in ["FLYMQ_ENCRYPTION_KEY", "FLYMQ_ENCRYPTION_OLD_KEYS"] {
            let message = load(&[enabled, (variable, bad)]).expect_err("no key");
            assert!(message.contains(variable) && message.contains("64 hex"), "{message}");
            assert!(!message.contains(bad), "{message}");
        }
    }
    let old = format!("{KEY}, {}", KEY.to_uppercase());
    let loaded = load(&[enabled, ("FLYMQ_ENCRYPTION_KEY", KEY), ("FLYMQ_ENCRYPTION_OLD_KEYS", &old)]);
    let loaded = loaded.expect("keys");
    assert!(loaded.warnings.is_empty());
    assert_eq!(loaded.config.security.encryption_old_keys.len(), 2);
    let shown = format!("{loaded:?} {}", flymq_config::render_show(&loaded));
    assert!(!shown.to_lowercase().contains(&KEY[..16]), "{shown}");
    let unused = load(&[("FLYMQ_ENCRYPTION_KEY", KEY)]).expect("a key alone");
    assert!(unused.warnings[0].contains("in the clear"), "{:?}", unused.warnings);
}

/// EN-013 and EN-014: the CLI's; the server neither fails nor warns.
#[test]
fn variables_of_the_tools_are_no_warning() {
    for variable in ["FLYMQ_USERNAME", "FLYMQ_PASSWORD"] {
        assert!(TOOL_VARIABLES.iter().any(|(name, _)| *name == variable));
        assert!(load(&[(variable, "x")]).expect(variable).warnings.is_empty());
    }
}
