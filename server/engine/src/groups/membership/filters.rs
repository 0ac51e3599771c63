//! What a member wants to read: topics by name or by pattern.

use std::collections::{BTreeMap, BTreeSet};

use flymq_types::{InvalidName, TopicName};

/// Longest subscription, bytes of all its names together.
const MAX_BYTES: usize = 8 << 10;

/// The topics there are.
pub(in crate::groups) trait Topics {
    /// How many partitions it has.
    fn count(&self, topic: &TopicName) -> Option<u32>;

    fn all(&self) -> Box<dyn Iterator<Item = (&TopicName, u32)> + '_>;
}

impl Topics for BTreeMap<TopicName, u32> {
    fn count(&self, topic: &TopicName) -> Option<u32> {
        self.get(topic).copied()
    }

    fn all(&self) -> Box<dyn Iterator<Item = (&TopicName, u32)> + '_> {
        Box::new(self.iter().map(|(topic, count)| (topic, *count)))
    }
}

/// Why a subscription is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFilter {
    #[error("a member subscribes to at least one topic")]
    Empty,
    #[error("the names of a subscription have at most {MAX_BYTES} bytes together; use a pattern")]
    TooLong,
    #[error("{filter:?}: {why}")]
    Name { filter: String, why: InvalidName },
    #[error("{filter:?}: '#' stands for all further levels, so it can only be the last one")]
    RestNotLast { filter: String },
}

/// Names and patterns: in a pattern a level `+` stands for any one level, and a last level `#` for that topic and all below.
/// Patterns never mean internal topics.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct TopicFilters(BTreeSet<String>);

impl TopicFilters {
    /// # Errors
    /// When there is no filter, one is neither a name nor a pattern, or they are too long together.
    pub fn new<'a>(filters: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidFilter> {
        let filters: BTreeSet<String> = filters.into_iter().map(str::to_owned).collect();
        if filters.is_empty() {
            return Err(InvalidFilter::Empty);
        }
        if filters.iter().map(String::len).sum::<usize>() > MAX_BYTES {
            return Err(InvalidFilter::TooLong);
        }
        filters.iter().try_for_each(|filter| check(filter))?;
        Ok(Self(filters))
    }

    pub fn filters(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    pub(super) fn resolve(&self, topics: &dyn Topics) -> BTreeMap<TopicName, u32> {
        let (patterns, names): (Vec<_>, Vec<_>) = self.filters().partition(|filter| is_pattern(filter));
        let names = names.into_iter().filter_map(|name| TopicName::any(name).ok());
        let mut found: BTreeMap<_, _> =
            names.filter_map(|name| topics.count(&name).map(|count| (name, count))).collect();
        if !patterns.is_empty() {
            let fits = |topic: &TopicName| patterns.iter().any(|pattern| matches(pattern, topic.as_str()));
            let all = topics.all().filter(|(topic, _)| !topic.is_internal() && fits(topic));
            found.extend(all.map(|(topic, count)| (topic.clone(), count)));
        }
        found
    }
}

fn is_pattern(filter: &str) -> bool {
    filter.split('/').any(|level| level == "+" || level == "#")
}

fn check(filter: &str) -> Result<(), InvalidFilter> {
    TopicName::any(filter).map_err(|why| InvalidFilter::Name { filter: filter.to_owned(), why })?;
    match filter.split('/').position(|level| level == "#") {
        Some(at) if at + 1 < filter.split('/').count() => {
            Err(InvalidFilter::RestNotLast { filter: filter.to_owned() })
        }
        Some(_) | None => Ok(()),
    }
}

fn matches(pattern: &str, topic: &str) -> bool {
    let mut levels = topic.split('/');
    for wanted in pattern.split('/') {
        if wanted == "#" {
            return true;
        }
        match levels.next() {
            Some(level) if wanted == "+" || wanted == level => {}
            Some(_) | None => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ];
        for (pattern, topic, fits) in cases {
            assert_eq!(matches(pattern, topic), fits, "{pattern} {topic}");
        }
    }

    #[test]
    fn bad_filters_are_refused() {
        assert_eq!(TopicFilters::new([]), Err(InvalidFilter::Empty));
        assert!(matches!(TopicFilters::new(["a//b"]), Err(InvalidFilter::Name { .. })));
        assert!(matches!(TopicFilters::new(["#/a"]), Err(InvalidFilter::RestNotLast { .. })));
        let long: Vec<String> = (0..100).map(|n| format!("{n:0200}")).collect();
        assert_eq!(TopicFilters::new(long.iter().map(String::as_str)), Err(InvalidFilter::TooLong));
    }

    #[test]
    fn a_pattern_never_means_an_internal_topic() {
        let topics: BTreeMap<TopicName, u32> =
            ["a", "__x", "b/c"].into_iter().map(|name| (TopicName::any(name).unwrap(), 2)).collect();
        let found = |filter| {
            let found = TopicFilters::new([filter]).unwrap().resolve(&topics);
            found.into_keys().map(|topic| topic.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(found("#"), ["a", "b/c"]);
        assert_eq!(found("+"), ["a"]);
        assert_eq!(found("__x"), ["__x"]);
        assert!(found("not-there").is_empty());
    }
}
