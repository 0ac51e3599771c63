//! Which letters a replay takes.

use std::sync::Arc;

use flymq_filter::{Filter, Headers, Record, Undecided};
use flymq_proto::pb;

use super::letter;
use crate::{
    BrokerError, ErrorCode,
    convert::{self, CEL_PREFIX, Filters},
};

#[derive(Debug)]
pub(super) enum Wanted {
    All,
    /// In lower case.
    Text(String),
    Expression(Arc<Filter>),
}

impl Wanted {
    /// What the filter of a request says; an empty one says all.
    ///
    /// # Errors
    /// `FILTER_INVALID` for an expression that is none.
    pub fn of(filter: &str, filters: &Filters) -> Result<Self, BrokerError> {
        if filter.is_empty() {
            return Ok(Self::All);
        }
        if !filter.starts_with(CEL_PREFIX) {
            return Ok(Self::Text(filter.to_lowercase()));
        }
        Ok(filters.of(filter, 0)?.map_or(Self::All, Self::Expression))
    }

    /// Whether it takes a letter.
    ///
    /// # Errors
    /// `FILTER_ON_ENCRYPTED`.
    pub fn takes(&self, letter: &pb::DeadLetter) -> Result<bool, BrokerError> {
        match self {
            Self::All => Ok(true),
            Self::Text(text) => Ok(letter::has(letter, text)),
            Self::Expression(filter) => match asked(letter, |record| filter.matches(record)) {
                Ok(hit) => Ok(hit),
                Err(Undecided::Failed(_)) => Ok(false),
                Err(Undecided::Encrypted) => {
                    let message = format!(
                        "the filter asks about the value of dead letter {}, which is encrypted",
                        letter.id
                    );
                    Err(BrokerError::new(ErrorCode::FilterOnEncrypted, message).with("id", &letter.id))
                }
            },
        }
    }
}

/// A letter as a filter sees it: the record at its first place, what became of it among its headers.
fn asked<T>(letter: &pb::DeadLetter, ask: impl FnOnce(&Record<'_>) -> T) -> T {
    let nothing = pb::Record::default();
    let record = letter.record.as_ref().unwrap_or(&nothing);
    let own = record.headers.iter().map(|header| (header.name.as_str(), &header.value[..]));
    let facts = [
        ("flymq-dlq-error", &letter.error),
        ("flymq-dlq-reason", &letter.reason),
        ("flymq-dlq-group", &letter.group),
    ];
    let headers: Vec<(&str, &[u8])> =
        own.chain(facts.into_iter().map(|(name, fact)| (name, fact.as_bytes()))).collect();
    ask(&Record {
        topic: &letter.origin_topic,
        partition: u32::try_from(letter.origin_partition).unwrap_or(0),
        offset: letter.origin_offset,
        timestamp_ms: record.timestamp_ms,
        key: convert::key_of(record),
        value: convert::value_of(record),
        headers: Headers::Given(&headers),
    })
}

#[cfg(test)]
mod tests {
    use flymq_filter::ENCRYPTION_HEADER;

    use super::*;

    fn letter(header: &str) -> pb::DeadLetter {
        let record = pb::Record {
            value: r#"{"total": 7}"#.into(),
            headers: vec![pb::Header { name: header.to_owned(), value: "x".into() }],
            ..pb::Record::default()
        };
        pb::DeadLetter {
            id: "0-1".to_owned(),
            error: "card declined".to_owned(),
            group: "billing".to_owned(),
            origin_topic: "payments".to_owned(),
            record: Some(record),
            ..pb::DeadLetter::default()
        }
    }

    #[test]
    fn an_expression_sees_the_record_and_what_became_of_it() {
        let takes =
            |text: &str, header: &str| Wanted::of(text, &Filters::default()).unwrap().takes(&letter(header));
        assert_eq!(takes("", "h"), Ok(true));
        assert_eq!(takes("CARD", "h"), Ok(true));
        assert_eq!(takes("cel:value.total > 5 && topic == 'payments'", "h"), Ok(true));
        assert_eq!(
            takes("cel:headers['flymq-dlq-error'].contains('declined') && has(headers.h)", "h"),
            Ok(true)
        );
        assert_eq!(takes("cel:headers['flymq-dlq-group'] == 'other'", "h"), Ok(false));
        assert_eq!(takes("cel:value.nothing == 1", "h"), Ok(false));
        let refused = takes("cel:value.total > 5", ENCRYPTION_HEADER).unwrap_err();
        assert_eq!(refused.code, ErrorCode::FilterOnEncrypted);
        assert_eq!(Wanted::of("cel:(", &Filters::default()).unwrap_err().code, ErrorCode::FilterInvalid);
    }
}
