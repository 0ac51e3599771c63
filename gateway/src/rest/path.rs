//! Path templates (`/api/v1/topics/{topic}/records`) and percent-decoding.

/// One part of a path between slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    Literal(String),
    /// A variable; the text is the request field it fills (`a.b` for a nested one).
    Variable(String),
}

/// A path with variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Segment>);

impl Template {
    pub fn parse(text: &str) -> Self {
        let segments = split(text).into_iter().map(|part| {
            let variable = part.strip_prefix('{').and_then(|p| p.strip_suffix('}'));
            variable
                .map_or_else(|| Segment::Literal(part.to_owned()), |name| Segment::Variable(name.to_owned()))
        });
        Self(segments.collect())
    }

    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Names of the variables, from left to right.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|s| match s {
            Segment::Literal(_) => None,
            Segment::Variable(name) => Some(name.as_str()),
        })
    }

    /// The raw text of each variable when `path`, still percent-encoded, has this shape. Variables are never empty.
    pub fn matches<'p>(&self, path: &'p str) -> Option<Vec<(&str, &'p str)>> {
        let parts = split(path);
        if parts.len() != self.0.len() {
            return None;
        }
        let mut variables = Vec::new();
        for (segment, part) in self.0.iter().zip(parts) {
            match segment {
                Segment::Literal(text) if text == part => {}
                Segment::Literal(_) => return None,
                Segment::Variable(_) if part.is_empty() => return None,
                Segment::Variable(name) => variables.push((name.as_str(), part)),
            }
        }
        Some(variables)
    }

    /// Length of the common beginning with `path`, in segments.
    pub fn shared(&self, path: &str) -> usize {
        let same = |(segment, part): &(&Segment, &str)| match segment {
            Segment::Literal(text) => text == part,
            Segment::Variable(_) => true,
        };
        self.0.iter().zip(split(path)).take_while(same).count()
    }
}

fn split(path: &str) -> Vec<&str> {
    path.strip_prefix('/').unwrap_or(path).split('/').collect()
}

/// Decodes `%2F` and the like.
///
/// # Errors
/// A `%` without two hex digits, or bytes that are no UTF-8: the text says which.
pub(crate) fn percent_decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next(), rest.next()].map(|d| d.and_then(|d| char::from(d).to_digit(16)));
        let [Some(high), Some(low)] = digits else {
            return Err(format!("`{text}` has a % that is not followed by two hex digits"));
        };
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).map_err(|_| format!("`{text}` is not UTF-8 after percent-decoding"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(text: &str) -> String {
        text.bytes()
            .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
            .collect()
    }

    #[test]
    fn a_topic_name_with_a_slash_is_one_segment() {
        let template = Template::parse("/api/v1/topics/{topic}/records");
        let found = template.matches("/api/v1/topics/sensors%2Fhall%2Ftemp/records").expect("matches");
        assert_eq!(found, [("topic", "sensors%2Fhall%2Ftemp")]);
        assert_eq!(percent_decode(found[0].1).expect("valid"), "sensors/hall/temp");
        assert_eq!(template.matches("/api/v1/topics/sensors/hall/records"), None);
        assert_eq!(template.matches("/api/v1/topics//records"), None);
        assert_eq!(template.matches("/api/v1/topics/a/records/"), None);
    }

    #[test]
    fn malformed_escapes_are_refused() {
        for text in ["%", "%4", "a%zz", "%2", "%%", "%ff", "%c3%28", "%+1"] {
            assert!(percent_decode(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_decodes_back(text in ".*") {
            prop_assert_eq!(percent_decode(&encode(&text)).expect("valid"), text);
        }

        #[test]
        fn decoding_never_panics(text in ".*") {
            let _ = percent_decode(&text);
        }

        #[test]
        fn a_filled_template_matches_and_gives_its_variables_back(
            shape in prop::collection::vec((any::<bool>(), "[a-z]{1,6}"), 1..6),
            value in ".{1,20}",
        ) {
            let text: String =
                shape.iter().map(|(var, name)| if *var { format!("/{{{name}}}") } else { format!("/{name}") }).collect();
            let filled: String = shape
                .iter()
                .map(|(var, name)| if *var { format!("/{}", encode(&value)) } else { format!("/{name}") })
                .collect();
            let template = Template::parse(&text);
            let found = template.matches(&filled).expect("the same shape");
            prop_assert_eq!(found.len(), template.variables().count());
            for (_, raw) in found {
                prop_assert_eq!(percent_decode(raw).expect("valid"), value.clone());
            }
            let longer = format!("{filled}/x");
            prop_assert!(template.matches(&longer).is_none());
        }
    }
}
