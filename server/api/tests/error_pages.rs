//! docs/errors has a page for each code, and the pages say what the table says.

use std::{collections::BTreeSet, fs, path::PathBuf};

use flymq_api::{ErrorCode, ErrorTraits};
use flymq_proto::descriptor_pool;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors")
}

fn codes() -> Vec<ErrorCode> {
    let codes = descriptor_pool().get_enum_by_name("flymq.v1.ErrorCode").expect("declared in errors.proto");
    codes.values().map(|value| ErrorCode::try_from(value.number()).expect("from the same file")).collect()
}

fn yes(flag: bool) -> &'static str {
    if flag { "yes" } else { "no" }
}

#[test]
fn each_code_has_a_page_that_agrees_with_the_table() {
    for code in codes() {
        let row = ErrorTraits::of(code);
        let path = folder().join(format!("{}.md", row.name));
        let page = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let facts = format!(
            "| {} | {} | {} | {} | {} |",
            code as i32,
            row.grpc,
            row.http,
            yes(row.retryable),
            yes(row.side_effects)
        );
        for part in [&format!("# {}\n", row.name), &facts, &format!("> {}\n", row.hint)] {
            assert!(page.contains(part.as_str()), "{}: the page lacks {part:?}", row.name);
        }
        for section in ["## When it happens", "## What to do"] {
            let text = page.split(section).nth(1).unwrap_or_default().split("##").next().unwrap_or_default();
            assert!(text.trim().len() > 20, "{}: {section} is empty", row.name);
        }
    }
}

#[test]
fn the_index_lists_each_code_and_no_page_is_left_over() {
    let index = fs::read_to_string(folder().join("README.md")).expect("docs/errors/README.md");
    let mut expected = BTreeSet::from(["README.md".to_owned()]);
    for code in codes() {
        let row = ErrorTraits::of(code);
        let line = format!("| [{0}]({0}.md) | {1} | {2} | {3} |", row.name, code as i32, row.grpc, row.http);
        assert!(index.contains(&line), "docs/errors/README.md lacks {line:?}");
        expected.insert(format!("{}.md", row.name));
    }
    let found: BTreeSet<String> = fs::read_dir(folder())
        .expect("docs/errors")
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(found, expected);
}
