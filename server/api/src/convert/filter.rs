//! Filters of requests: what they say, and compiled ones that are kept.

use std::{collections::HashMap, sync::Arc};

use flymq_filter::{Filter, FilterKind, InvalidFilter};
use flymq_proto::pb;
use parking_lot::Mutex;

use super::invalid;
use crate::{BrokerError, ErrorCode};

/// A filter text that begins so and names no kind is a CEL expression.
pub(crate) const CEL_PREFIX: &str = "cel:";
/// Compiled filters that are kept, so that a reader's every fetch does not compile its own anew. Each may have some MiB.
const KEPT: usize = 64;

/// Compiled filters by kind and text.
type Kept = HashMap<(&'static str, String), Arc<Filter>>;

/// Compiles filters, and keeps some.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filters(Arc<Mutex<Kept>>);

impl Filters {
    /// The filter of a request; none for an empty text.
    ///
    /// # Errors
    /// `FILTER_INVALID` with kind, and line and column where the fault has a place; `INVALID_ARGUMENT` for an unknown kind, or a
    /// kind without text.
    pub fn of(&self, text: &str, kind: i32) -> Result<Option<Arc<Filter>>, BrokerError> {
        let kind = pb::FilterKind::try_from(kind)
            .map_err(|_| invalid("filter_kind", format!("there is no kind of filter with number {kind}")))?;
        if text.is_empty() {
            return match kind {
                pb::FilterKind::Unspecified => Ok(None),
                _ => Err(invalid("filter", "a filter_kind needs a filter")),
            };
        }
        let (kind, text) = match (kind, text.strip_prefix(CEL_PREFIX)) {
            (pb::FilterKind::Unspecified | pb::FilterKind::Cel, Some(expression)) => {
                (FilterKind::Cel, expression)
            }
            (pb::FilterKind::Unspecified | pb::FilterKind::Any, _) => (FilterKind::Any, text),
            (pb::FilterKind::Text, _) => (FilterKind::Text, text),
            (pb::FilterKind::Regex, _) => (FilterKind::Regex, text),
            (pb::FilterKind::Path, _) => (FilterKind::Path, text),
            (pb::FilterKind::Cel, None) => (FilterKind::Cel, text),
        };
        self.compiled(kind, text).map(Some)
    }

    fn compiled(&self, kind: FilterKind, text: &str) -> Result<Arc<Filter>, BrokerError> {
        let place = (kind.name(), text.to_owned());
        if let Some(known) = self.0.lock().get(&place) {
            return Ok(Arc::clone(known));
        }
        let filter = Arc::new(Filter::new(kind, text).map_err(|why| refused(&why))?);
        let mut kept = self.0.lock();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(place, Arc::clone(&filter));
        Ok(filter)
    }
}

fn refused(why: &InvalidFilter) -> BrokerError {
    let message = format!("the {} filter is refused: {why}", why.kind.name());
    let error = BrokerError::new(ErrorCode::FilterInvalid, message)
        .with("field", "filter")
        .with("kind", why.kind.name());
    match why.position {
        Some((line, column)) => error.with("line", line).with("column", column),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_says_how_the_text_is_read_and_the_prefix_only_where_none_is_given() {
        let filters = Filters::default();
        let of = |text: &str, kind: pb::FilterKind| filters.of(text, kind.into());
        assert!(of("", pb::FilterKind::Unspecified).unwrap().is_none());
        assert_eq!(of("", pb::FilterKind::Cel).unwrap_err().code, ErrorCode::InvalidArgument);
        assert_eq!(filters.of("a", 99).unwrap_err().code, ErrorCode::InvalidArgument);
        let refused = of("cel:value.a ==", pb::FilterKind::Unspecified).unwrap_err();
        assert_eq!((refused.code, &refused.metadata["kind"][..]), (ErrorCode::FilterInvalid, "cel"));
        assert_eq!(refused.metadata["line"], "1");
        assert!(of("cel:value.a ==", pb::FilterKind::Any).unwrap().is_some(), "only a text");
        assert!(of("value.a == 1", pb::FilterKind::Cel).unwrap().is_some());
        assert!(of("cel:value.a == 1", pb::FilterKind::Cel).unwrap().is_some());
    }

    #[test]
    fn a_filter_is_compiled_once_and_few_are_kept() {
        let filters = Filters::default();
        let of = |text: &str| filters.of(text, 0).unwrap().unwrap();
        assert!(Arc::ptr_eq(&of("one"), &of("one")));
        (0..1_000).for_each(|number| drop(of(&format!("number {number}"))));
        assert!(filters.0.lock().len() <= KEPT);
    }
}
