//! Path variables and query parameters to request fields.

use flymq_api::BrokerError;
use prost_reflect::{Cardinality, DynamicMessage, Kind, ReflectMessage as _, Value};

use super::{
    json_in::{field, invalid, join, text},
    path::percent_decode,
};

/// Most parameters one query may have.
const MAX_PARAMETERS: usize = 256;

/// Sets a path variable; where the body gave the same field, both must agree.
pub(crate) fn set_variable(message: &mut DynamicMessage, path: &str, raw: &str) -> Result<(), BrokerError> {
    let decoded = percent_decode(raw).map_err(|why| invalid(path, why))?;
    let field = field(&message.descriptor(), path, "")?;
    let value = text(&field.kind(), &decoded, path)?;
    if message.has_field(&field) && *message.get_field(&field) != value {
        return Err(invalid(path, "the body says something else than the path"));
    }
    message.set_field(&field, value);
    Ok(())
}

/// Fills fields from a query string: `a=1&b.c=2&list=x&list=y`; `+` is a space.
pub(crate) fn set_query(
    message: &mut DynamicMessage,
    query: &str,
    taken: &[&str],
) -> Result<(), BrokerError> {
    let pairs: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty()).collect();
    if pairs.len() > MAX_PARAMETERS {
        return Err(invalid("", format_args!("more than {MAX_PARAMETERS} query parameters")));
    }
    for pair in pairs {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decode = |text: &str| percent_decode(&text.replace('+', " ")).map_err(|why| invalid("", why));
        let (name, value) = (decode(name)?, decode(value)?);
        if taken.contains(&name.as_str()) {
            return Err(invalid(&name, "is part of the path; it cannot be given again in the query"));
        }
        set_path(message, &name, &value, "")?;
    }
    Ok(())
}

fn set_path(message: &mut DynamicMessage, path: &str, value: &str, at: &str) -> Result<(), BrokerError> {
    let (name, rest) = match path.split_once('.') {
        Some((name, rest)) => (name, Some(rest)),
        None => (path, None),
    };
    let field = field(&message.descriptor(), name, at)?;
    let place = join(at, field.name());
    if field.is_map() {
        return Err(invalid(&place, "is a map; it cannot be given in a query"));
    }
    if let Some(rest) = rest {
        let Value::Message(inner) = message.get_field_mut(&field) else {
            return Err(invalid(&place, format_args!("has no fields, so `{rest}` names nothing")));
        };
        return set_path(inner, rest, value, &place);
    }
    let parsed = text(&field.kind(), value, &place)?;
    if field.cardinality() == Cardinality::Repeated {
        if let Value::List(list) = message.get_field_mut(&field) {
            list.push(parsed);
        }
    } else if message.has_field(&field) && !matches!(field.kind(), Kind::Message(_)) {
        return Err(invalid(&place, "is given twice"));
    } else {
        message.set_field(&field, parsed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use flymq_proto::{descriptor_pool, pb};
    use proptest::prelude::*;

    use super::*;

    fn empty(name: &str) -> DynamicMessage {
        DynamicMessage::new(
            descriptor_pool().get_message_by_name(&format!("flymq.v1.{name}")).expect("declared"),
        )
    }

    fn subscribe(query: &str) -> Result<pb::SubscribeRequest, BrokerError> {
        let mut message = empty("SubscribeRequest");
        set_query(&mut message, query, &["topic"])?;
        Ok(message.transcode_to().expect("the same type"))
    }

    #[test]
    fn lists_enums_spaces_and_bare_switches() {
        let request = subscribe("partitions=1&partitions=2&from=earliest&filter=a+b%26c&text&creditBytes=7")
            .expect("valid");
        assert_eq!(request.partitions, [1, 2]);
        assert_eq!(request.from, pb::StartFrom::Earliest as i32);
        assert_eq!((request.filter.as_str(), request.text, request.credit_bytes), ("a b&c", true, 7));
    }

    #[test]
    fn a_nested_field_is_reached_with_a_dot() {
        let mut message = empty("CreateTopicRequest");
        set_query(&mut message, "options.partitions=3&options.cleanup_policy=compact", &[]).expect("valid");
        let request: pb::CreateTopicRequest = message.transcode_to().expect("the same type");
        let options = request.options.expect("set");
        assert_eq!((options.partitions, options.cleanup_policy), (3, pb::CleanupPolicy::Compact as i32));
    }

    #[test]
    fn refusals_name_the_field() {
        for (query, field) in [
            ("partitions=x", "partitions"),
            ("offset=1&offset=2", "offset"),
            ("topic=b", "topic"),
            ("ofset=1", "ofset"),
            ("group.name=a", "group"),
            ("text=maybe", "text"),
            ("group=%zz", ""),
        ] {
            let error = subscribe(query).expect_err(query);
            assert_eq!(error.metadata.get("field").map_or("", String::as_str), field, "{query}");
        }
    }

    #[test]
    fn path_and_body_must_agree() {
        let mut message = empty("CommitOffsetsRequest");
        set_variable(&mut message, "group", "g%2F1").expect("valid");
        set_variable(&mut message, "group", "g%2F1").expect("the same again");
        let error = set_variable(&mut message, "group", "other").expect_err("differs");
        assert_eq!(error.metadata["field"], "group");
    }

    proptest! {
        #[test]
        fn any_query_is_understood_or_refused(query in ".{0,80}") {
            let _ = subscribe(&query);
        }
    }
}
