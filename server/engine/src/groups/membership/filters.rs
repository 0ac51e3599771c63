//! What a member wants to read: topics by name or by pattern.

use std::collections::{BTreeMap, BTreeSet};

use flymq_types::{InvalidName, InvalidPattern, Patterns, TopicName, check_pattern, is_pattern};

/// Longest subscription, bytes of all its names together.
const MAX_BYTES: usize = 8 << 10;

/// The topics there are.
pub(in crate::groups) trait Topics {
    /// How many partitions it has.
    fn count(&self, topic: &TopicName) -> Option<u32>;

    /// Those that patterns can mean: all but the topics of dead letters, since what reads them by a pattern would read its own.
    fn meant(&self) -> Box<dyn Iterator<Item = (&TopicName, u32)> + '_>;
}

impl Topics for BTreeMap<TopicName, u32> {
    fn count(&self, topic: &TopicName) -> Option<u32> {
        self.get(topic).copied()
    }

    fn meant(&self) -> Box<dyn Iterator<Item = (&TopicName, u32)> + '_> {
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
/// Patterns never mean internal topics, nor topics of dead letters.
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
            let mut trie = Patterns::default();
            // They were checked when the subscription was made.
            patterns.iter().for_each(|pattern| trie.insert(pattern, ()).unwrap_or_default());
            let all = topics.meant().filter(|(topic, _)| !topic.is_internal() && trie.any(topic.as_str()));
            found.extend(all.map(|(topic, count)| (topic.clone(), count)));
        }
        found
    }
}

fn check(filter: &str) -> Result<(), InvalidFilter> {
    let filter_of = || filter.to_owned();
    check_pattern(filter).map_err(|why| match why {
        InvalidPattern::Name(why) => InvalidFilter::Name { filter: filter_of(), why },
        InvalidPattern::RestNotLast => InvalidFilter::RestNotLast { filter: filter_of() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
