//! The same settings in each notation give the same configuration, and no text makes the reader panic.

use std::path::{Path, PathBuf};
use std::time::Duration;

use flymq_config::{Acks, Config, FlagOverride, Host, KEYS, LoadArgs, LogLevel, Source};
use proptest::prelude::*;

fn args(file: Option<PathBuf>) -> LoadArgs {
    let host = Host { hostname: "box".to_owned(), home: Some("/home/ada".into()), data_home: None };
    LoadArgs { config_file: file, host, ..LoadArgs::default() }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

#[test]
fn json_toml_and_yaml_are_equal() {
    let load = |name: &str| {
        Config::load(&args(Some(fixture(name)))).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let json = load("full.json");
    for other in [load("full.toml"), load("full.yaml")] {
        assert_eq!(json.config, other.config);
        assert_eq!(json.warnings, other.warnings);
    }
    assert_eq!(json.config.performance.acks, Acks::All);
    assert_eq!(json.config.log.level, LogLevel::Warn);
    assert_eq!(json.config.ttl.default_ttl, Duration::from_secs(86_400));
    assert!(!json.config.topics.auto_create && !json.config.observability.admin.enabled);
    assert_eq!(json.sources["dlq.topic_suffix"], Source::File(fixture("full.json")));
    assert_eq!(json.sources["ws_addr"], Source::Default);
}

/// The documented sample is understood to the last key; it is refused only for the protection that is not built yet.
#[test]
fn the_documented_sample_is_understood() {
    let mut load = args(Some(fixture("documented.json")));
    load.env = vec![("FLYMQ_ENCRYPTION_KEY".to_owned(), "0f".repeat(32))];
    let unbuilt = ["authentication", "TLS"];
    let error = Config::load(&load).expect_err("auth and TLS are on");
    assert_eq!(error.problems.len(), unbuilt.len(), "{error}");
    for (problem, name) in error.problems.iter().zip(unbuilt) {
        assert!(problem.what.contains(&format!("does not have {name} yet")), "{problem}");
    }
    for variable in ["FLYMQ_TLS_ENABLED", "FLYMQ_ENCRYPTION_ENABLED", "FLYMQ_AUTH_ENABLED"] {
        load.env.push((variable.to_owned(), "false".to_owned()));
    }
    load.env.push(("FLYMQ_ALLOW_INSECURE".to_owned(), "true".to_owned()));
    let loaded = Config::load(&load).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(loaded.config.listen.bind_addr.bind_target(), ("0.0.0.0", 9092));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_reader_panic(
        text in prop_oneof![any::<String>(), "[\\[\\]{}:,\"'#/\\-a-z0-9 \\n\\t&*!|>%=.]{0,200}"],
        name in prop_oneof!["f\\.json", "f\\.toml", "f\\.yaml", "f"],
    ) {
        // Whatever comes out is Ok or an error with a text; both are fine, a panic is not.
        if let Err(error) = Config::load_text(&args(None), Some((Path::new(&name), &text))) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn no_value_makes_a_key_panic(index in 0..KEYS.len(), value in prop_oneof![any::<String>(), "[-0-9a-z.:]{0,24}"]) {
        let key = KEYS[index];
        let mut load = args(None);
        load.flags = vec![FlagOverride { key: key.name.to_owned(), value: value.clone(), flag: "-set".to_owned() }];
        load.env = vec![(key.env.to_owned(), value)];
        if let Err(error) = Config::load(&load) {
            prop_assert!(error.problems.iter().all(|problem| !problem.hint.is_empty()));
        }
    }
}

#[test]
fn deep_nesting_is_an_error_and_no_stack_overflow() {
    for (name, text) in [
        ("f.json", "[".repeat(200_000)),
        ("f.json", "{\"a\":".repeat(100_000)),
        ("f.toml", format!("a = {}", "[".repeat(200_000))),
        ("f.yaml", "[".repeat(200_000)),
        ("f.yaml", "- ".repeat(200_000)),
    ] {
        assert!(Config::load_text(&args(None), Some((Path::new(name), &text))).is_err(), "{name}");
    }
}

#[test]
fn yaml_aliases_cannot_grow_without_bound() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let previous = format!("*a{}", level - 1);
        let items = vec![previous; 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    assert!(Config::load_text(&args(None), Some((Path::new("f.yaml"), &text))).is_err());
}

#[test]
fn docs_match_the_key_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let wanted = flymq_config::render_reference();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &wanted).expect("docs/ can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "docs/configuration.md is not what the key table says: run `make fix`");
}
