use proptest::prelude::*;

use super::*;
use crate::record::Headers;

fn record<'a>(
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: &'a [(&'a str, &'a [u8])],
) -> Record<'a> {
    let headers = Headers::Given(headers);
    Record { topic: "t", partition: 0, offset: 0, timestamp_ms: 0, key, value, headers }
}

fn hit(kind: FilterKind, text: &str, value: &str) -> bool {
    Filter::new(kind, text).unwrap().matches(&record(Some(b"the-key"), Some(value.as_bytes()), &[])).unwrap()
}

#[test]
fn any_is_what_version_1_says() {
    use FilterKind::Any;
    for (text, value, expected) in [
        ("error", "an ERROR here", true),
        ("ÄRGER", "der Ärger", true),
        ("err.r", "an errxr here", true),
        ("err.r", "an ERRXR here", false),
        ("THE-KEY", "nothing", true),
        ("^the-k", "nothing", true),
        ("a(b", "x A(B y", true),
        ("a(b", "ab", false),
        ("$.a.b", r#"{"a": {"b": null}}"#, true),
        ("$.a.b", r#"{"a": {"c": 1}}"#, false),
        ("$.a.b", r#"[{"a": {"b": 1}}]"#, false),
        ("$.a.b", "costs $.A.B dollars", true),
        ("$.a..b", "costs $.a..b dollars", true),
        ("cel:true", "any", false),
        ("cel:true", "it says CEL:TRUE", true),
    ] {
        assert_eq!(hit(Any, text, value), expected, "{text} {value}");
    }
}

#[test]
fn each_kind_asks_only_its_own_question() {
    use FilterKind::{Path, Regex, Text};
    for (kind, text, value, expected) in [
        (Text, "ERROR", "an ERROR", true),
        (Text, "ERROR", "an error", false),
        (Text, "a.b", "axb", false),
        (Text, "e-k", "found in the key", true),
        (Regex, "^a.b$", "axb", true),
        (Regex, "(?i)ERROR", "error", true),
        (Path, "$.a", r#"{"a": 1}"#, true),
        (Path, "$.a", r#"{"a": 1"#, false),
        (Path, "$.a", r#" {"a": 1}"#, false),
        (Path, "$.a.b", r#"{"a": [1], "b": 2}"#, false),
        (Path, "$.a", r#"{"x": {"a": 1}}"#, false),
        (Path, "$.a.b", r#"{"a": {"b": 1}, "a": 3}"#, false),
    ] {
        assert_eq!(hit(kind, text, value), expected, "{kind:?} {text} {value}");
    }
}

#[test]
fn bad_filters_are_refused_with_their_place() {
    use FilterKind::{Any, Path, Regex, Text};
    let refused = |kind, text: &str| Filter::new(kind, text).map(drop).unwrap_err();
    assert!(refused(Text, "").to_string().contains("empty"));
    assert!(refused(Text, &"x".repeat(MAX_TEXT + 1)).to_string().contains("at most 8192"));
    assert_eq!(refused(Regex, "ab(c").position, Some((1, 3)));
    assert!(refused(Regex, "(a{1000}){1000}").to_string().contains("too large"));
    assert!(refused(Regex, &"(".repeat(5_000)).to_string().contains("no regular expression"));
    assert_eq!(refused(Path, "a.b").position, Some((1, 1)));
    assert_eq!(refused(Path, "$.a..b").position, Some((1, 5)));
    assert!(Filter::new(Any, "ab(c").is_ok());
}

#[test]
fn an_encrypted_value_is_not_looked_into() {
    let sealed: [(&str, &[u8]); 1] = [(ENCRYPTION_HEADER, b"AES-256-GCM")];
    let record = record(Some(b"k"), Some(b"sealed"), &sealed);
    for (kind, text) in [
        (FilterKind::Any, "k"),
        (FilterKind::Text, "k"),
        (FilterKind::Regex, "k"),
        (FilterKind::Path, "$.k"),
        (FilterKind::Cel, "value.a == 1"),
        (FilterKind::Cel, "text == 'a' || key == 'k'"),
    ] {
        let filter = Filter::new(kind, text).unwrap();
        assert_eq!(filter.matches(&record), Err(Undecided::Encrypted), "{text}");
        assert!(filter.may_match(b"..flymq-encryption.."), "{text}");
    }
    let by_key = Filter::new(FilterKind::Cel, "key == 'k' && has(headers['flymq-encryption']) || true");
    assert!(by_key.is_err(), "has() takes a field");
    assert_eq!(Filter::new(FilterKind::Cel, "key == 'k'").unwrap().matches(&record), Ok(true));
}

#[test]
fn a_regular_expression_takes_linear_time() {
    let filter = Filter::new(FilterKind::Regex, "(a+)+$").unwrap();
    let value = "a".repeat(1 << 20) + "b";
    let begun = std::time::Instant::now();
    assert_eq!(filter.matches(&record(None, Some(value.as_bytes()), &[])), Ok(false));
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_filter_and_no_record_panics(
        text in prop_oneof![any::<String>(), "[\\[\\](){}.*+?|^$a-c0-9'\"\\\\,:&|!<>= -]{0,60}"],
        value in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        use FilterKind::{Any, Cel, Path, Regex, Text};
        for kind in [Any, Text, Regex, Path, Cel] {
            if let Ok(filter) = Filter::new(kind, &text) {
                let _ = filter.matches(&record(Some(&value), Some(&value), &[("a", &value)]));
            }
        }
    }

    /// Pieces of the language, put together at random: more of them parse.
    #[test]
    fn no_expression_panics(parts in proptest::collection::vec(prop_oneof![
        Just("value"), Just("key"), Just(".a"), Just("[0]"), Just("(" ), Just(")"), Just("+"), Just("-"), Just("*"), Just("/"),
        Just("%"), Just("=="), Just("<"), Just("&&"), Just("||"), Just("!"), Just("?"), Just(":"), Just("1"), Just("2u"),
        Just("1.5"), Just("'x'"), Just("b'y'"), Just("null"), Just("["), Just("]"), Just("{"), Just("}"), Just(","),
        Just(".size()"), Just(".map(x, "), Just(".exists(x, "), Just("x"), Just(" in "), Just("has("), Just("timestamp("),
        Just("duration('1s')"), Just(".matches('a')"), Just("9223372036854775807"), Just("-9223372036854775808"),
    ], 0..14)) {
        if let Ok(filter) = Filter::new(FilterKind::Cel, &parts.concat()) {
            let value = br#"{"a": [1, "x", {"a": 2}]}"#;
            let _ = filter.matches(&record(Some(b"x"), Some(value), &[]));
        }
    }

    #[test]
    fn a_batch_that_may_not_match_has_no_match(
        text in "[a-cA-C$.(]{1,4}",
        values in proptest::collection::vec("[a-cA-C$.( ]{0,12}", 1..6),
    ) {
        for kind in [FilterKind::Any, FilterKind::Text] {
            let Ok(filter) = Filter::new(kind, &text) else { continue };
            let run = values.concat();
            let any = values.iter().any(|value| filter.matches(&record(None, Some(value.as_bytes()), &[])) == Ok(true));
            prop_assert!(!any || filter.may_match(run.as_bytes()));
        }
    }
}
