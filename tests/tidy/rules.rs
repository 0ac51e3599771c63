//! Rules over the lines of a file. What a rule forbids is put together here from halves, so that this file passes.

use crate::files::SourceFile;

/// More than 1,000 lines of code.
pub fn long_file(file: &SourceFile) -> Vec<String> {
    let lines = file.text.lines().count();
    if file.is_code() && lines > 1000 { vec![format!("{}: {lines} lines", file.path)] } else { Vec::new() }
}

/// `.unwrap()` in Rust that users run.
pub fn unwrap_outside_tests(file: &SourceFile) -> Vec<String> {
    if !file.is_rust() || file.is_test() {
        return Vec::new();
    }
    let lines: Vec<&str> = file.text.lines().collect();
    // Unit tests stand at the end of their file.
    let only_for_tests = |line: &str| line == "#[cfg(test)]" || line.starts_with("#[cfg(all(test,");
    let tests =
        lines.windows(2).position(|two| only_for_tests(two[0].trim()) && two[1].trim().starts_with("mod "));
    let shipped = &lines[..tests.unwrap_or(lines.len())];
    // Examples in documentation are tests, too.
    find(file, shipped, |line| line.contains(".unwrap()") && !line.trim_start().starts_with("///"))
}

/// A marker for later work without `#number`.
pub fn open_end_without_issue(file: &SourceFile) -> Vec<String> {
    let markers = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let numbered =
        |line: &str| line.split('#').skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let is_word = |line: &str, marker: &str| {
        line.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == marker)
    };
    code_lines(file, |line| markers.iter().any(|marker| is_word(line, marker)) && !numbered(line))
}

/// The folders that developers have beside the repository; users do not.
pub fn outside_path(file: &SourceFile) -> Vec<String> {
    let folders = [
        concat!("/work", "/"),
        concat!("../", "shared"),
        concat!("shared", "/spec"),
        concat!("shared", "/design"),
    ];
    all_lines(file, |line| folders.iter().any(|folder| line.contains(folder)))
}

/// Addresses of package registries, other than in lock files.
pub fn registry_host(file: &SourceFile) -> Vec<String> {
    if file.is_lock_file() {
        return Vec::new();
    }
    let hosts = [
        concat!("index.", "crates.io"),
        concat!("static.", "crates.io"),
        concat!("registry.", "npmjs"),
        concat!("pypi", ".org"),
        concat!("python", "hosted.org"),
        concat!("repo.", "maven"),
        concat!("repo1.", "maven"),
        concat!("proxy.", "golang.org"),
        concat!("deb.", "debian.org"),
        concat!("art", "ifactory"),
    ];
    all_lines(file, |line| hosts.iter().any(|host| line.contains(host)))
}

/// What the language offers for "not now".
pub fn stub_or_switched_off_test(file: &SourceFile) -> Vec<String> {
    let stubs = [
        concat!("todo", "!("),
        concat!("unimpl", "emented!("),
        concat!("#[ig", "nore"),
        concat!("@Dis", "abled"),
        concat!("mark.", "skip"),
        concat!("mark.", "xfail"),
        concat!("t.", "Skip("),
    ];
    code_lines(file, |line| stubs.iter().any(|stub| line.contains(stub)))
}

/// An address of this machine with a port that Linux gives to whoever connects somewhere (32768 to 60999): a start with
/// it fails now and then. Tests' own code may hold any text.
pub fn port_of_the_system(file: &SourceFile) -> Vec<String> {
    if file.is_test() || file.is_lock_file() {
        return Vec::new();
    }
    let hosts = ["127.0.0.1:", "127.0.0.1/", "localhost:", "[::1]:"];
    let port = |rest: &str| -> Option<u32> {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse().ok()
    };
    let ports = |line: &str, host: &str| line.split(host).skip(1).filter_map(port).collect::<Vec<_>>();
    let given_away = |port: &u32| (32_768..=60_999).contains(port);
    all_lines(file, |line| hosts.iter().any(|host| ports(line, host).iter().any(given_away)))
}

/// Which of the tests and faults that a row of guarantees names are not there.
pub fn missing(shown: &str, tests: &str, faults: &str) -> Vec<String> {
    let names = shown.split('`').skip(1).step_by(2).filter(|name| !name.starts_with("make "));
    let unknown = |name: &&str| !tests.contains(&format!("fn {name}("));
    let mut findings: Vec<String> = names.filter(unknown).map(|name| format!("no test {name}")).collect();
    let words = shown.split(|c: char| !c.is_ascii_alphanumeric());
    let numbers = words.filter(|word| word.strip_prefix('B').is_some_and(|rest| rest.parse::<u8>().is_ok()));
    findings.extend(
        numbers
            .filter(|fault| !faults.contains(&format!("| {fault} |")))
            .map(|fault| format!("no fault {fault}")),
    );
    findings
}

fn code_lines(file: &SourceFile, wrong: impl Fn(&str) -> bool) -> Vec<String> {
    if file.is_code() { all_lines(file, wrong) } else { Vec::new() }
}

fn all_lines(file: &SourceFile, wrong: impl Fn(&str) -> bool) -> Vec<String> {
    let lines: Vec<&str> = file.text.lines().collect();
    find(file, &lines, wrong)
}

fn find(file: &SourceFile, lines: &[&str], wrong: impl Fn(&str) -> bool) -> Vec<String> {
    let hits = lines.iter().enumerate().filter(|(_, line)| wrong(line));
    hits.map(|(index, line)| file.finding(index, line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> SourceFile {
        SourceFile { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn each_rule_finds_what_it_forbids() {
        let long = "x\n".repeat(1001);
        assert_eq!(long_file(&file("a/b.rs", &long)).len(), 1);
        assert_eq!(long_file(&file("a/b.md", &long)).len(), 0);
        let unwrap = "x.unwrap();\n#[cfg(test)]\nmod tests {\n  y.unwrap();\n}";
        assert_eq!(
            unwrap_outside_tests(&file("server/src/a.rs", unwrap)),
            ["server/src/a.rs:1: x.unwrap();"]
        );
        assert!(unwrap_outside_tests(&file("server/src/a/tests.rs", unwrap)).is_empty());
        let row = "B1, B7-B99; `there`, `not_there`, `make sim`";
        assert_eq!(missing(row, "fn there() {", "| B1 |\n| B7 |"), ["no test not_there", "no fault B99"]);
        let marker = concat!("// TO", "DO");
        assert_eq!(open_end_without_issue(&file("a.rs", marker)).len(), 1);
        assert_eq!(open_end_without_issue(&file("a.rs", &format!("{marker}(#12) later"))).len(), 0);
        assert_eq!(outside_path(&file("a.md", concat!("see ../", "sha", "red/spec"))).len(), 1);
        let host = concat!("https://pypi", ".org/simple");
        assert_eq!(registry_host(&file("a.toml", host)).len(), 1);
        assert_eq!(registry_host(&file("Cargo.lock", host)).len(), 0);
        let address = concat!("FLYMQ_ADDR=127.0.0.1:9092,127.0.0.1:", "39092");
        assert_eq!(port_of_the_system(&file("README.md", address)).len(), 1);
        assert_eq!(
            port_of_the_system(&file("README.md", "127.0.0.1:23092 localhost:61000 localhost:x")).len(),
            0
        );
        assert_eq!(stub_or_switched_off_test(&file("a.rs", concat!("#[ig", "nore]"))).len(), 1);
    }
}
