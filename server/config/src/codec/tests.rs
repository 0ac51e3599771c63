use flymq_types::Acks;

use super::*;

fn words(text: &str) -> Node {
    Node::Text(text.to_owned())
}

#[test]
fn times_have_units() {
    assert_eq!(Millis::parse(&Node::Integer(5)), Some(Duration::from_millis(5)));
    assert_eq!(Seconds::parse(&Node::Integer(5)), Some(Duration::from_secs(5)));
    assert_eq!(Seconds::parse(&words("1500ms")), Some(Duration::from_millis(1500)));
    assert_eq!(Millis::parse(&words("7 d")), Some(Duration::from_secs(604_800)));
    for bad in ["-1", "5x", "", "1.5s", "99999999999999999999", "18446744073709551615d"] {
        assert_eq!(Millis::parse(&words(bad)), None, "{bad}");
    }
}

#[test]
fn sizes_have_units_and_ranges() {
    type Any = Bytes<0, { u64::MAX }>;
    assert_eq!(Any::parse(&words("64MiB")), Some(67_108_864));
    assert_eq!(Any::parse(&words("1gb")), Some(1_000_000_000));
    assert_eq!(Any::parse(&Node::Integer(-1)), None);
    assert_eq!(Any::parse(&Node::Integer(i128::from(u64::MAX) + 1)), None);
    assert_eq!(Any::parse(&words("20000000TiB")), None);
    assert_eq!(Bytes::<10, 20>::parse(&Node::Integer(9)), None);
}

#[test]
fn words_have_aliases() {
    assert_eq!(Word::<Acks>::parse(&words("quorum")), Some(Acks::All));
    assert_eq!(Word::<Acks>::parse(&words("ALL")), Some(Acks::All));
    assert_eq!(Word::<Acks>::parse(&words("some")), None);
    assert_eq!(Word::<Acks>::parse(&Node::Bool(true)), None);
}

#[test]
fn ratio_stays_between_0_and_1() {
    assert_eq!(Ratio::parse(&Node::Integer(1)), Some(1.0));
    assert_eq!(Ratio::parse(&words("0.25")), Some(0.25));
    for bad in [Node::Float(1.01), Node::Float(f64::NAN), Node::Integer(-1), words("inf")] {
        assert_eq!(Ratio::parse(&bad), None, "{bad:?}");
    }
}

#[test]
fn a_key_is_64_hex_characters() {
    assert!(HexKey::parse(&words(&"0a".repeat(32))).is_some());
    assert!(HexKey::parse(&words(&"0g".repeat(32))).is_none());
    assert!(HexKey::parse(&words("0a")).is_none());
    assert_eq!(HexKey::show(&Secret::new("0a")), "***");
}

#[test]
fn shown_values_read_back() {
    let shown = Seconds::show(&Duration::from_secs(60));
    assert_eq!(Seconds::parse(&words(&shown)), Some(Duration::from_secs(60)));
    let shown = Millis::show(&Duration::from_millis(5));
    assert_eq!(Millis::parse(&words(&shown)), Some(Duration::from_millis(5)));
}
