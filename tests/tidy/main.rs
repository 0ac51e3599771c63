//! The house rules of CONTRIBUTING.md as a test: a rule that nobody runs is no rule.

mod files;
mod functions;
mod rules;

use files::{SourceFile, repository};

/// Runs one rule over all files and lists every finding.
fn check(rule: &str, find: impl Fn(&SourceFile) -> Vec<String>) {
    let files = repository();
    assert!(files.len() > 50, "only {} files found: the rule would pass for the wrong reason", files.len());
    let findings: Vec<String> = files.iter().flat_map(find).collect();
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}

#[test]
fn files_are_short() {
    check("a file has at most 1,000 lines", rules::long_file);
}

#[test]
fn functions_fit_a_screen() {
    check("a function has at most 100 lines", functions::long_functions);
}

#[test]
fn no_unwrap_outside_tests() {
    check("unwrap() is for tests", rules::unwrap_outside_tests);
}

#[test]
fn every_open_end_has_an_issue() {
    check("an open end names its issue, as in (#12)", rules::open_end_without_issue);
}

#[test]
fn the_repository_stands_alone() {
    check("no path outside of the repository", rules::outside_path);
}

#[test]
fn no_package_registry_is_named() {
    check("package registries are the clients' business", rules::registry_host);
}

#[test]
fn ports_are_not_those_that_the_system_gives_away() {
    check("a port below 32768 or above 60999", rules::port_of_the_system);
}

#[test]
fn no_stubs_and_no_tests_switched_off() {
    check("no stub, no test that does not run", rules::stub_or_switched_off_test);
}

/// Clippy reads only the nearest clippy.toml, so the four core crates carry equal ones.
#[test]
fn the_core_crates_refuse_the_same_calls() {
    let files = repository();
    let text = |path: &str| {
        files
            .iter()
            .find(|file| file.path == path)
            .map(|file| file.text.as_str())
            .unwrap_or_else(|| panic!("{path} is missing"))
    };
    let first = text("server/types/clippy.toml");
    assert!(first.starts_with('#') && first.contains("std::time::Instant::now"));
    for name in ["storage", "engine", "replication"] {
        assert_eq!(text(&format!("server/{name}/clippy.toml")), first, "server/{name}/clippy.toml");
    }
}

/// A promise is worth what is named beside it.
#[test]
fn guarantees_name_tests_and_faults_that_exist() {
    let files = repository();
    let text = |path: &str| &files.iter().find(|file| file.path == path).expect(path).text;
    let tests: String = files.iter().filter(|file| file.is_rust()).map(|file| &*file.text).collect();
    let rows: Vec<&str> =
        text("docs/guarantees.md").lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() > 10, "only {} promises found", rows.len());
    let shown = rows.iter().map(|row| row.rsplit('|').nth(1).expect("a third column"));
    let wrong: Vec<String> =
        shown.flat_map(|shown| rules::missing(shown, &tests, text("docs/reliability.md"))).collect();
    assert!(wrong.is_empty(), "docs/guarantees.md:\n  {}", wrong.join("\n  "));
}
