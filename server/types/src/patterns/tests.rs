use proptest::prelude::*;

use super::*;

/// Level by level, as the documentation says it.
fn naive(pattern: &str, topic: &str) -> bool {
    let mut levels = topic.split('/');
    for wanted in pattern.split('/') {
        if wanted == REST {
            return true;
        }
        match levels.next() {
            Some(level) if wanted == ONE || wanted == level => {}
            Some(_) | None => return false,
        }
    }
    levels.next().is_none()
}

fn found(patterns: &Patterns<usize>, topic: &str) -> Vec<usize> {
    let mut owners = Vec::new();
    patterns.matching(topic, |owner| owners.push(*owner));
    owners.sort_unstable();
    owners
}

#[test]
fn patterns_match_by_level() {
    let cases = [
        ("a", "a", true),
        ("a", "b", false),
        ("a/+", "a/b", true),
        ("a/+", "a", false),
        ("a/+", "a/b/c", false),
        ("+/b", "a/b", true),
        ("+", "a", true),
        ("+", "a/b", false),
        ("a/#", "a/b/c", true),
        ("a/#", "a", true),
        ("a/#", "ab", false),
        ("#", "a/b", true),
        ("a/+/#", "a/b", true),
        ("a/+/c", "a/b/c", true),
        ("a+b", "a+b", true),
        ("a+b", "axb", false),
        ("#", "__consumer_offsets", false),
        ("+", "__consumer_offsets", false),
    ];
    for (pattern, topic, fits) in cases {
        let mut patterns = Patterns::default();
        patterns.insert(pattern, 7).unwrap();
        assert_eq!(patterns.any(topic), fits, "{pattern} {topic}");
    }
}

#[test]
fn what_is_no_pattern_is_refused() {
    let mut patterns = Patterns::default();
    for bad in ["", "a//b", "/a", "a/", "#/a", "a/#/b", "a/../b", "a\nb"] {
        assert!(patterns.insert(bad, 0).is_err(), "{bad:?}");
    }
    assert_eq!(check_pattern("a/#/b"), Err(InvalidPattern::RestNotLast));
    assert!(patterns.is_empty() && !patterns.any("a"));
}

#[test]
fn very_many_branches_are_followed_without_recursion() {
    let mut patterns = Patterns::default();
    let deep = vec!["+"; 120].join("/");
    patterns.insert(&deep, 1).unwrap();
    patterns.insert(&format!("{}/#", vec!["a"; 100].join("/")), 2).unwrap();
    assert_eq!(found(&patterns, &vec!["a"; 120].join("/")), [1, 2]);
}

fn level() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("a"), Just("b"), Just("c"), Just("a+"), Just("+")]
}

fn pattern() -> impl Strategy<Value = String> {
    (proptest::collection::vec(level(), 1..5), any::<bool>()).prop_map(|(mut levels, rest)| {
        if rest {
            levels.push(REST);
        }
        levels.join("/")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Patterns come and go; at each step the trie and the naive matcher agree.
    #[test]
    fn the_trie_agrees_with_the_naive_matcher(
        steps in proptest::collection::vec((pattern(), 0_usize..4, any::<bool>()), 1..40),
        topics in proptest::collection::vec(proptest::collection::vec("[abcd]", 1..5), 1..5),
    ) {
        let (mut trie, mut all) = (Patterns::default(), Vec::new());
        for (pattern, owner, add) in steps {
            if add {
                trie.insert(&pattern, owner).unwrap();
                all.push((pattern, owner));
            } else {
                let known = all.iter().position(|(p, o)| *p == pattern && *o == owner);
                prop_assert_eq!(trie.remove(&pattern, &owner), known.is_some());
                known.map(|at| all.swap_remove(at));
            }
            prop_assert_eq!(trie.len(), all.len());
            for topic in &topics {
                let topic = topic.join("/");
                let fits = all.iter().filter(|(pattern, _)| naive(pattern, &topic));
                let mut expected: Vec<usize> = fits.map(|(_, owner)| *owner).collect();
                expected.sort_unstable();
                prop_assert_eq!(found(&trie, &topic), expected, "{}", topic);
            }
        }
        // All that was taken is given back.
        for (pattern, owner) in &all {
            prop_assert!(trie.remove(pattern, owner));
        }
        prop_assert!(trie.is_empty() && trie.edges.is_empty() && trie.levels.is_empty());
        prop_assert_eq!(trie.free.len() + 1, trie.nodes.len());
    }

    #[test]
    fn no_text_panics(pattern in any::<String>(), topic in any::<String>()) {
        let mut patterns = Patterns::default();
        let _ = patterns.insert(&pattern, ());
        let _ = patterns.any(&topic);
        patterns.remove(&pattern, &());
    }
}
