//! "Did you mean": the known name closest to a mistyped one.

/// The most similar of `known`, or None where nothing is close enough to be a typing error.
/// For dotted keys a match of the last part counts too (`auto_create` finds `topics.auto_create`).
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_ascii_lowercase();
    known
        .map(|candidate| (similarity(&name, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(score, _)| *score >= 0.8)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
}

fn similarity(name: &str, candidate: &str) -> f64 {
    let whole = strsim::jaro_winkler(name, candidate);
    let leaf = match (name.rsplit('.').next(), candidate.rsplit('.').next()) {
        (Some(left), Some(right)) => strsim::jaro_winkler(left, right),
        (None, _) | (_, None) => 0.0,
    };
    // The whole name decides between equal leaves (`dlq.enabled`, `ttl.enabled`).
    whole.max(0.9 * leaf + 0.1 * whole)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    const KNOWN: [&str; 4] = ["topics.auto_create", "dlq.enabled", "audit.enabled", "bind_addr"];

    #[test]
    fn finds_typing_errors_and_forgotten_groups() {
        assert_eq!(nearest("topics.autocreate", KNOWN.into_iter()), Some("topics.auto_create"));
        assert_eq!(nearest("auto_create", KNOWN.into_iter()), Some("topics.auto_create"));
        assert_eq!(nearest("bindaddr", KNOWN.into_iter()), Some("bind_addr"));
        assert_eq!(nearest("dlq.enable", KNOWN.into_iter()), Some("dlq.enabled"));
        assert_eq!(nearest("zzz", KNOWN.into_iter()), None);
    }
}
