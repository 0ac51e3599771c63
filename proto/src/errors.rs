//! The error table of `errors.proto`: one row per code, from which every surface gets its form of an error.

use std::{collections::BTreeMap, sync::OnceLock};

use prost_reflect::Value;

use crate::{descriptor_pool, pb::ErrorCode};

/// Folder of the pages that explain the codes, inside the repository and the release archive.
pub const DOC_BASE: &str = "docs/errors/";

const NOT_LEADER: &str = "NOT_LEADER";
/// `NOT_LEADER` where nobody is known to lead.
const NO_LEADER: &str = "Nobody leads it just now, as far as this node knows: another one is being elected, the replicas in sync are down, or \
     this node is cut off. FlyMQ clients ask again by themselves; flymq-cli cluster status shows which nodes are missing.";
/// `NOT_LEADER` where the leader has no address for this door.
const LEADER_ELSEWHERE: &str = "Send the request to node <leader> (flymq-cli cluster members shows its address); FlyMQ clients do so by themselves.";

/// What `errors.proto` says of a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorTraits {
    /// `TOPIC_NOT_FOUND`
    pub name: String,
    /// The same request may succeed later without a change.
    pub retryable: bool,
    /// The request may have taken effect although it failed.
    pub side_effects: bool,
    /// Name of the gRPC status (`NOT_FOUND`).
    pub grpc: String,
    pub http: u16,
    /// What to do next; `<topic>` and the like stand for facts of the error.
    pub hint: String,
}

impl ErrorTraits {
    /// The row of `code`.
    pub fn of(code: ErrorCode) -> &'static Self {
        static TABLE: OnceLock<BTreeMap<i32, ErrorTraits>> = OnceLock::new();
        TABLE.get_or_init(load).get(&code.into()).expect("every code of the enum is in its own descriptor")
    }

    /// The hint with `<key>` replaced by the fact of that name; of an error that names no leader, what to do then.
    pub fn hint_with<'a>(&self, facts: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
        let facts: BTreeMap<&String, &String> = facts.into_iter().collect();
        let known = |key: &str| facts.iter().any(|(known, value)| *known == key && !value.is_empty());
        let mut hint = match (self.name == NOT_LEADER, known("leader"), known("leader_addr")) {
            (true, false, _) => NO_LEADER.to_owned(),
            (true, true, false) => LEADER_ELSEWHERE.to_owned(),
            (true, true, true) | (false, _, _) => self.hint.clone(),
        };
        for (key, value) in facts {
            hint = hint.replace(&format!("<{key}>"), value);
        }
        hint
    }

    /// Page that explains the code.
    pub fn doc_page(&self) -> String {
        format!("{DOC_BASE}{}.md", self.name)
    }
}

fn load() -> BTreeMap<i32, ErrorTraits> {
    let pool = descriptor_pool();
    let codes = pool.get_enum_by_name("flymq.v1.ErrorCode").expect("errors.proto declares ErrorCode");
    let extension =
        pool.get_extension_by_name("flymq.v1.error").expect("errors.proto declares (flymq.v1.error)");
    let mut table = BTreeMap::new();
    for value in codes.values() {
        let options = value.options();
        let option = options.get_extension(&extension);
        let row = option.as_message().expect("the option is a message");
        let text = |field: &str| {
            row.get_field_by_name(field).and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
        };
        let flag = |field: &str| row.get_field_by_name(field).and_then(|v| v.as_bool()).unwrap_or(false);
        let http = match row.get_field_by_name("http").as_deref() {
            Some(Value::U32(n)) => u16::try_from(*n).unwrap_or(0),
            _ => 0,
        };
        table.insert(
            value.number(),
            ErrorTraits {
                name: value.name().trim_start_matches("ERROR_CODE_").to_owned(),
                retryable: flag("retryable"),
                side_effects: flag("side_effects"),
                grpc: text("grpc"),
                http,
                hint: text("hint"),
            },
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leads_is_named_where_it_is_known() {
        let row = ErrorTraits::of(ErrorCode::NotLeader);
        let hint = |facts: &[(&str, &str)]| {
            let facts: BTreeMap<String, String> =
                facts.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            row.hint_with(&facts)
        };
        let full = hint(&[("leader", "n2"), ("leader_addr", "host:9092"), ("topic", "t")]);
        assert!(full.contains("node n2 at host:9092"), "{full}");
        let without_door = hint(&[("leader", "n2")]);
        assert!(
            without_door.contains("node n2") && without_door.contains("cluster members"),
            "{without_door}"
        );
        let nobody = hint(&[("topic", "t")]);
        assert!(nobody.starts_with("Nobody leads it just now") && !nobody.contains('<'), "{nobody}");
    }

    #[test]
    fn every_code_has_a_full_row() {
        let codes = descriptor_pool().get_enum_by_name("flymq.v1.ErrorCode").expect("declared");
        for value in codes.values() {
            let code = ErrorCode::try_from(value.number()).expect("generated from the same file");
            let row = ErrorTraits::of(code);
            assert!(!row.hint.is_empty() && !row.grpc.is_empty(), "{}", row.name);
            assert!((400..600).contains(&row.http), "{}: http {}", row.name, row.http);
        }
    }
}
