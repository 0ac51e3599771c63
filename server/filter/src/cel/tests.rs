use super::*;
use crate::record::Headers;

const ORDER: &[u8] = br#"{"total": 120.5, "count": 3, "customer": {"name": "Ann", "tags": ["vip", "eu"]},
    "items": [{"sku": "a", "qty": 1}, {"sku": "b", "qty": 5}], "note": null, "ok": true}"#;

fn record<'a>(value: &'a [u8], headers: &'a [(&'a str, &'a [u8])]) -> Record<'a> {
    Record {
        topic: "shop/orders",
        partition: 2,
        offset: 41,
        timestamp_ms: 1_770_000_000_000,
        key: Some(b"user-7"),
        value: Some(value),
        headers: Headers::Given(headers),
    }
}

fn ask(text: &str) -> Result<bool, Undecided> {
    let headers: [(&str, &[u8]); 2] = [("region", b"eu-west"), ("raw", &[0xff])];
    Program::new(text).unwrap_or_else(|invalid| panic!("{text}: {invalid}")).matches(&record(ORDER, &headers))
}

#[test]
fn expressions_that_are_true() {
    for text in [
        "true",
        "value.total > 100",
        "value.total > 100 && value.count == 3",
        "value.count == 3.0 && value.count < 3.5 && 3u == value.count",
        "value.count * 2 == 6 && value.total * 2 == 241.0 && value.count % 2 == 1",
        "value.customer.name == 'Ann'",
        "value['customer'].tags[0] == \"vip\"",
        "'vip' in value.customer.tags && !('us' in value.customer.tags)",
        "'total' in value",
        "has(value.customer.name) && !has(value.customer.age)",
        "value.items.exists(i, i.qty > 4)",
        "value.items.all(i, i.qty > 0)",
        "value.items.exists_one(i, i.sku == 'b')",
        "value.items.filter(i, i.qty > 1).size() == 1",
        "value.items.map(i, i.qty) == [1, 5]",
        "value.items.map(i, i.qty > 1, i.sku) == ['b']",
        "value.items.exists(i, value.customer.tags.exists(t, t == 'eu' && i.sku == 'a'))",
        "value.note == null && value.ok",
        "key == 'user-7' && key.startsWith('user-') && key.endsWith('7')",
        "headers.region == 'eu-west' && headers['region'].contains('west')",
        "has(headers.region) && !has(headers.tenant)",
        "headers.raw == b'\\xff'",
        "topic == 'shop/orders' && partition == 2 && offset >= 41",
        "timestamp < timestamp('2030-01-01T00:00:00Z') && timestamp + duration('1h') > timestamp",
        "timestamp - timestamp('2026-01-01T00:00:00Z') > duration('24h')",
        "text.matches('\"total\": *1[0-9]+') && matches(key, '^user-[0-9]$')",
        "size(key) == 6 && size(value.items) == 2",
        "value.ok ? key == 'user-7' : false",
        "int('12') == 12 && string(12) == '12' && double('1.5') == 1.5 && bool('true')",
        "'ABC'.lowerAscii() == 'abc' && ' a '.trim() == 'a'",
        "[1, 2] + [3] == [1, 2, 3] && {'a': 1}.a == 1 && 'a' + 'b' == 'ab'",
        "value != 1 && value.total != 'x'",
        "type(value.count) == 'int'",
        // One side decides, whatever is wrong with the other.
        "value.nothing == 1 || true",
        "true || value.nothing == 1",
        "!(value.nothing == 1 && false)",
        "value.items.exists(i, i.nothing == 1 || i.sku == 'a')",
        "-value.count == -3",
    ] {
        assert_eq!(ask(text), Ok(true), "{text}");
    }
}

#[test]
fn what_fails_on_a_record_is_no_match_and_says_why() {
    for (text, why) in [
        ("value.nothing == 1", "no field \"nothing\""),
        ("value.customer.name > 3", "> does not go with string and int"),
        ("value.count / 0 == 1", "division by zero"),
        ("9223372036854775807 + value.count > 0", "out of range"),
        ("value.count", "is a int, not a bool"),
        ("value.items[9].sku == 'a'", "no item at this index"),
        ("value.items.all(i, i.nothing)", "no field"),
        ("key.contains(1)", "contains does not go with string and int"),
        ("int('x') == 1", "int does not go with string"),
    ] {
        let Err(Undecided::Failed(found)) = ask(text) else { panic!("{text}: {:?}", ask(text)) };
        assert!(found.contains(why), "{text}: {found}");
    }
    let program = Program::new("value.a == 1").unwrap();
    let found = program.matches(&record(b"not json", &[])).unwrap_err();
    assert!(found.to_string().contains("not JSON"), "{found}");
    let tombstone = Record { value: None, ..record(b"", &[]) };
    assert_eq!(Program::new("value == null && text == null").unwrap().matches(&tombstone), Ok(true));
}

#[test]
fn bad_expressions_say_where_and_what() {
    for (text, why, position) in [
        ("value.total >", "Syntax error", true),
        ("value.total > 1 &&\n  totl", "no variable \"totl\"", true),
        ("vale.total > 1", "use one of topic, partition", true),
        ("size(1, 2) == 1", "size() takes 1 arguments, not 2", true),
        ("value.sum() > 1", "no function \"sum\"", true),
        ("key.matches('(')", "no regular expression", true),
        ("key.matches(key)", "has to be a literal", true),
        ("key.matches('(a{1000}){1000}')", "too large", true),
        ("1 + 1", "deep", false),
        ("'text'", "true or false", false),
    ] {
        let Err(invalid) = Program::new(text) else {
            assert_eq!(text, "1 + 1", "only this one is found at the record");
            continue;
        };
        assert!(invalid.to_string().contains(why), "{text}: {invalid}");
        assert_eq!(invalid.position.is_some(), position, "{text}: {invalid}");
    }
    assert_eq!(Program::new("value.total > 1 &&\n  totl").unwrap_err().position, Some((2, 3)));
}

#[test]
fn no_expression_takes_the_process_down() {
    let nested = |open: &str, close: &str, times: usize| open.repeat(times) + "1" + &close.repeat(times);
    let bombs = [
        nested("(", ")", 4_000),
        nested("[", "]", 4_000),
        nested("{1:", "}", 2_000),
        nested("size(", ")", 1_000),
        nested("a.map(x, ", ")", 800),
        "!".repeat(8_000) + "true",
        "-".repeat(8_000) + "1",
        "1".to_owned() + &"+1".repeat(4_000),
        "a".to_owned() + &".a".repeat(4_000),
        "true".to_owned() + &"&&true".repeat(1_300),
        "true?".repeat(1_600),
        "1?".repeat(1_600) + "1" + &":1".repeat(1_600),
        "\"".to_owned(),
        "'\\u".to_owned(),
        "0x".to_owned(),
        "99999999999999999999999".to_owned(),
        "b'\\400'".to_owned(),
        "\u{0}\u{feff}".to_owned(),
    ];
    for bomb in bombs {
        let short: String = bomb.chars().take(30).collect();
        if let Ok(program) = Program::new(&bomb) {
            let _ = program.matches(&record(ORDER, &[]));
            assert!(bomb.len() < 10_000, "{short}");
        }
    }
}

#[test]
fn an_expression_ends_after_its_budget() {
    let many = format!("[{}]", vec!["1"; 100_000].join(","));
    let document = record(many.as_bytes(), &[]);
    for text in [
        "value.all(a, value.all(b, value.all(c, a == b && b == c)))",
        "value.map(a, value.map(b, value)) == value",
        "value.map(a, text + text + text + text).size() > 0",
        "value.exists(a, value == [])  || value.all(a, text.matches('(.*)*x'))",
    ] {
        let begun = std::time::Instant::now();
        let found = Program::new(text).unwrap().matches(&document);
        assert!(found.is_err() && found.unwrap_err().to_string().contains("too many steps"), "{text}");
        assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{text}: {:?}", begun.elapsed());
    }
    assert_eq!(Program::new("value.size() == 100000").unwrap().matches(&document), Ok(true));
}

#[test]
fn what_it_looks_at_is_known() {
    assert!(!Program::new("key == 'a' || headers.x == 'y'").unwrap().asks_about_the_value());
    assert!(Program::new("key == 'a' || value.x == 'y'").unwrap().asks_about_the_value());
    assert!(Program::new("[1].exists(x, text.size() == x)").unwrap().asks_about_the_value());
}

/// Found by a stranger: each mention of a long text looked through all of it, for one step.
#[test]
fn a_long_text_is_looked_through_once() {
    let value = format!(r#"{{"l": [{}], "pad": "{}"}}"#, vec!["1"; 10_000].join(","), "x".repeat(4 << 20));
    let document = record(value.as_bytes(), &[]);
    let begun = std::time::Instant::now();
    for text in [
        "value.l.map(x, [text, text, text, text]).size() == 10000",
        "value.l.exists(x, [text, text, text, text, text] == 1) || true",
    ] {
        assert_eq!(Program::new(text).unwrap().matches(&document), Ok(true), "{text}");
    }
    // 40,000 times four megabytes take a minute.
    assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
    let found = Program::new("value.l.all(x, x in value.l)").unwrap().matches(&document);
    assert!(
        found.is_err_and(|fault| fault.to_string().contains("too many steps")),
        "a list is looked through each time"
    );
}

/// Bytes that are no text were compared for one step, however many they are.
#[test]
fn long_bytes_cost_as_much_as_long_text() {
    let no_text = vec![0xff; 4 << 20];
    let document = record(&no_text, &[]);
    let ten = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]";
    let deep = format!("{ten}.all(a, {ten}.all(b, {ten}.all(c, {ten}.all(d, text == text))))");
    let found = Program::new(&deep).unwrap().matches(&document);
    assert!(found.is_err_and(|fault| fault.to_string().contains("too many steps")));
    assert_eq!(Program::new("text == text").unwrap().matches(&document), Ok(true));
}

#[test]
fn whole_numbers_and_doubles_compare_by_value() {
    let document = record(br#"{"n": 9007199254740993, "big": 18446744073709551615, "half": 1.5}"#, &[]);
    for (text, wanted) in [
        ("value.n == 9007199254740992.0", false),
        ("value.n > 9007199254740992.0", true),
        ("value.n == 9007199254740993", true),
        ("value.big < 1e300 && value.big > -1e300", true),
        ("value.big < 18446744073709551616.0", true),
        ("value.half > 1 && value.half < 2", true),
        ("1 == 1.0 && 2.0 == 2", true),
    ] {
        assert_eq!(Program::new(text).unwrap().matches(&document), Ok(wanted), "{text}");
    }
}
