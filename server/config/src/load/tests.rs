use std::time::Duration;

use flymq_types::Acks;

use super::*;
use crate::choice::{LogLevel, Role};

fn host() -> Host {
    Host { hostname: "box".to_owned(), home: Some("/home/ada".into()), data_home: None }
}

fn with_env(pairs: &[(&str, &str)]) -> LoadArgs {
    let env = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    LoadArgs { env, host: host(), ..LoadArgs::default() }
}

fn load_env(pairs: &[(&str, &str)]) -> Loaded {
    Config::load(&with_env(pairs)).unwrap_or_else(|error| panic!("{pairs:?}: {error}"))
}

fn load_json(text: &str) -> Result<Loaded, String> {
    let file = Some((Path::new("f.json"), text));
    Config::load_text(&with_env(&[]), file).map_err(|error| error.to_string())
}

fn refused(text: &str) -> String {
    load_json(text).expect_err(text)
}

fn flag(key: &str, value: &str) -> FlagOverride {
    FlagOverride { key: key.to_owned(), value: value.to_owned(), flag: format!("-set {key}") }
}

#[test]
fn defaults_are_loopback_and_complete() {
    let loaded = load_env(&[]);
    let config = &loaded.config;
    assert_eq!(config.storage.data_dir, Path::new("/home/ada/.local/share/flymq"));
    assert_eq!(config.audit.log_dir, Path::new("/home/ada/.local/share/flymq/audit"));
    assert_eq!(config.node_id, "box");
    assert_eq!(
        (config.performance.acks, config.performance.sync_interval),
        (Acks::Leader, Duration::from_millis(5))
    );
    assert_eq!(config.storage.segment_bytes, 67_108_864);
    assert_eq!((config.log.level, config.log.json), (LogLevel::Info, true));
    assert!(validate::open_listeners(config).iter().all(|(_, addr)| addr.is_loopback()));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    assert!(loaded.sources.values().all(|source| *source == Source::Default));
    assert_eq!(loaded.sources.len(), KEYS.len());
}

#[test]
fn flag_beats_env_beats_file_beats_default() {
    let file = (
        Path::new("f.json"),
        r#"{"log_level": "error", "node_id": "f", "topics": {"default_partitions": 2}}"#,
    );
    let mut args = with_env(&[("FLYMQ_LOG_LEVEL", "warn"), ("FLYMQ_NODE_ID", "e")]);
    args.flags = vec![flag("log_level", "debug")];
    let loaded = Config::load_text(&args, Some(file)).expect("valid");
    assert_eq!(loaded.config.log.level, LogLevel::Debug);
    assert_eq!(loaded.config.node_id, "e");
    assert_eq!(loaded.config.topics.default_partitions, 2);
    assert_eq!(loaded.sources["log_level"].to_string(), "flag -set log_level");
    assert_eq!(loaded.sources["node_id"], Source::Env("FLYMQ_NODE_ID"));
    assert_eq!(loaded.sources["topics.default_partitions"], Source::File("f.json".into()));
    assert_eq!(loaded.sources["bind_addr"], Source::Default);
}

#[test]
fn an_unknown_key_names_the_nearest_one_and_the_file() {
    let message = refused(r#"{"topics": {"autocreate": true}}"#);
    assert!(
        message.contains("`topics.autocreate`") && message.contains("did you mean `topics.auto_create`?"),
        "{message}"
    );
    assert!(message.contains("file f.json"), "{message}");
    assert!(refused(r#"{"xyzzy": 1}"#).contains("config show"));
}

#[test]
fn a_wrong_value_says_what_is_expected() {
    let message = refused(r#"{"topics": {"default_partitions": "lots"}, "performance": {"acks": "some"}}"#);
    let lines: Vec<&str> = message.lines().collect();
    assert_eq!(lines.len(), 2, "all problems at once: {message}");
    assert!(lines[0].contains("the text \"lots\"") && lines[0].contains("from 1 to 10000"), "{message}");
    assert!(lines[1].contains("none, leader, all"), "{message}");
    let message = refused(r#"{"topics": 3}"#);
    assert!(message.contains("unknown key `topics`"), "{message}");
}

#[test]
fn secrets_are_not_repeated() {
    let message =
        Config::load(&with_env(&[("FLYMQ_ENCRYPTION_KEY", "hunter2")])).expect_err("short key").to_string();
    assert!(message.contains("64 hex characters") && !message.contains("hunter2"), "{message}");
    let message = refused(r#"{"auth": {"admin_password": 12345}}"#);
    assert!(message.contains("auth.admin_password") && !message.contains("12345"), "{message}");
}

#[test]
fn the_encryption_key_is_refused_in_a_file_and_on_the_command_line() {
    let message = refused(r#"{"security": {"encryption_key": "00"}}"#);
    assert!(message.contains("FLYMQ_ENCRYPTION_KEY"), "{message}");
    let args = LoadArgs { flags: vec![flag("security.encryption_key", "00")], ..with_env(&[]) };
    assert!(Config::load(&args).expect_err("flag").to_string().contains("FLYMQ_ENCRYPTION_KEY"));
}

#[test]
fn an_unknown_variable_is_a_warning_with_the_nearest_name() {
    let loaded =
        load_env(&[("FLYMQ_BIND_ADR", ":1"), ("OTHER", "x"), ("FLYMQ_PASSWORD", "x"), ("FLYMQ_ACKS", "")]);
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    assert!(loaded.warnings[0].contains("did you mean FLYMQ_BIND_ADDR?"));
}

#[test]
fn beyond_loopback_without_login_is_refused_unless_accepted() {
    let message = Config::load(&with_env(&[("FLYMQ_GRPC_ADDR", ":9097")])).expect_err("open").to_string();
    for part in [
        "beyond loopback",
        "grpc_addr = :9097",
        "FLYMQ_AUTH_ENABLED",
        "FLYMQ_ALLOW_INSECURE=true",
        "allow_insecure",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let loaded = load_env(&[("FLYMQ_GRPC_ADDR", ":9097"), ("FLYMQ_ALLOW_INSECURE", "true")]);
    assert_eq!(loaded.config.listen.grpc_addr.bind_target(), ("0.0.0.0", 9097));
    assert!(loaded.warnings.iter().any(|warning| warning.contains("without authentication")));
}

#[test]
fn a_listener_that_is_not_opened_exposes_nothing() {
    load_env(&[("FLYMQ_CLUSTER_ADDR", ":9093")]);
    load_env(&[("FLYMQ_METRICS_ADDR", ":9094"), ("FLYMQ_METRICS_ENABLED", "false")]);
    assert!(Config::load(&with_env(&[("FLYMQ_METRICS_ADDR", ":9094")])).is_err());
}

#[test]
fn two_listeners_cannot_share_a_port() {
    let message =
        Config::load(&with_env(&[("FLYMQ_GRPC_ADDR", "127.0.0.1:9092")])).expect_err("same").to_string();
    assert!(message.contains("`grpc_addr` and `bind_addr` both want port 9092"), "{message}");
}

#[test]
fn protection_that_is_not_built_refuses_the_start() {
    for (name, text) in [
        ("authentication", r#"{"auth": {"enabled": true}}"#),
        ("TLS", r#"{"security": {"tls_enabled": true, "tls_cert_file": "a", "tls_key_file": "b"}}"#),
        ("TLS", r#"{"observability": {"admin": {"tls_enabled": true}}}"#),
    ] {
        let message = refused(text);
        assert!(message.contains(&format!("does not have {name} yet")), "{message}");
    }
}

#[test]
fn other_features_that_are_not_built_warn_once_each() {
    let text = r#"{"audit": {"enabled": true}, "schema": {"enabled": true, "validation": "warn"}, "delayed": {"enabled": false}}"#;
    let loaded = load_json(text).expect("accepted");
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    assert!(loaded.warnings[0].contains("`audit.enabled`"), "{:?}", loaded.warnings);
    assert!(load_json(r#"{"ttl": {"default_ttl": 0}, "peers": []}"#).expect("off").warnings.is_empty());
    assert_eq!(load_env(&[("FLYMQ_ROLE", "bootstrap")]).config.cluster.role, Role::Bootstrap);
}

#[test]
fn an_agent_needs_a_server() {
    let message = Config::load(&with_env(&[("FLYMQ_ROLE", "agent")])).expect_err("alone").to_string();
    assert!(message.contains("FLYMQ_SERVER"), "{message}");
}

#[test]
fn without_a_home_the_data_directory_must_be_named() {
    let args = LoadArgs { host: Host::default(), ..with_env(&[("FLYMQ_NODE_ID", "n")]) };
    assert!(Config::load(&args).expect_err("no home").to_string().contains("FLYMQ_DATA_DIR"));
}

#[test]
fn a_tilde_is_the_home_directory() {
    let loaded = load_env(&[("FLYMQ_DATA_DIR", "~/mq")]);
    assert_eq!(loaded.config.storage.data_dir, Path::new("/home/ada/mq"));
    assert_eq!(loaded.config.audit.log_dir, Path::new("/home/ada/mq/audit"));
    let args = LoadArgs { host: Host { data_home: Some("/data".into()), ..host() }, ..with_env(&[]) };
    assert_eq!(Config::load(&args).expect("xdg").config.storage.data_dir, Path::new("/data/flymq"));
}

#[test]
fn a_missing_file_says_where_its_name_came_from() {
    let args = LoadArgs { config_file: Some("/nonexistent/flymq.json".into()), ..with_env(&[]) };
    let message = Config::load(&args).expect_err("missing").to_string();
    assert!(message.contains("/nonexistent/flymq.json") && message.contains("-config"), "{message}");
    assert!(Config::load(&with_env(&[("FLYMQ_CONFIG", "/nonexistent/f.json")])).is_err());
}

#[test]
fn show_masks_secrets_and_names_sources() {
    let loaded = load_env(&[("FLYMQ_CLUSTER_TOKEN", "tok-secret"), ("FLYMQ_LOG_LEVEL", "debug")]);
    let shown = crate::render_show(&loaded);
    assert!(!shown.contains("tok-secret") && shown.contains("***"), "{shown}");
    assert!(!format!("{:?}", loaded.config).contains("tok-secret"));
    let line = shown.lines().find(|line| line.starts_with("log_level ")).expect("the key");
    assert!(line.contains("| debug") && line.ends_with("| env FLYMQ_LOG_LEVEL"), "{line}");
    assert_eq!(shown.lines().count(), KEYS.len() + 1);
}

#[test]
fn names_of_keys_and_variables_are_unique_and_documented() {
    for (index, key) in KEYS.iter().enumerate() {
        assert!(
            KEYS[..index].iter().all(|other| other.name != key.name && other.env != key.env),
            "{}",
            key.name
        );
        assert!(key.doc.ends_with('.') && key.env.starts_with("FLYMQ_"), "{}", key.name);
    }
}

/// `config show` prints what a user could write: every default reads back to the same configuration.
#[test]
fn shown_defaults_read_back() {
    let defaults = load_env(&[]).config;
    let shown = |key: &Key| (key.show)(&defaults);
    let given = KEYS.iter().filter(|key| !key.env_only && !key.secret && !shown(key).is_empty());
    let flags = given.map(|key| flag(key.name, &shown(key))).collect();
    let loaded = Config::load(&LoadArgs { flags, ..with_env(&[]) }).expect("reads back");
    assert_eq!(loaded.config, defaults);
}
