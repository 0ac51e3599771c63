//! What the rules look at: the text files that git knows or would add.

use std::path::{Path, PathBuf};
use std::process::Command;

/// One text file of the repository.
pub struct SourceFile {
    /// Relative to the root, with `/`.
    pub path: String,
    /// Content.
    pub text: String,
}

const CODE: &[&str] = &["rs", "py", "pyi", "java", "go", "ts", "js", "proto", "sh"];

impl SourceFile {
    fn extension(&self) -> &str {
        Path::new(&self.path).extension().and_then(|extension| extension.to_str()).unwrap_or_default()
    }

    /// Written by people in a programming language.
    pub fn is_code(&self) -> bool {
        CODE.contains(&self.extension()) || self.path.starts_with(".ci/")
    }

    pub fn is_rust(&self) -> bool {
        self.extension() == "rs"
    }

    pub fn is_python(&self) -> bool {
        self.extension() == "py"
    }

    /// Written by a tool for a tool.
    pub fn is_lock_file(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name.ends_with(".lock") || name == "package-lock.json" || name == "go.sum"
    }

    /// Compiled for tests only.
    pub fn is_test(&self) -> bool {
        let parts: Vec<&str> = self.path.split('/').collect();
        parts.iter().any(|part| matches!(*part, "tests" | "benches" | "tests.rs" | "testing.rs"))
    }

    /// `path:line: text`, the line counted from 1.
    pub fn finding(&self, index: usize, line: &str) -> String {
        let start: String = line.trim().chars().take(100).collect();
        format!("{}:{}: {start}", self.path, index + 1)
    }
}

/// All text files outside of generated and third-party folders.
pub fn repository() -> Vec<SourceFile> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut git = Command::new("git");
    git.arg("-C").arg(&root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listed = git.output().expect("git is there where the repository is");
    assert!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout).expect("our paths are UTF-8");
    let foreign =
        |path: &str| ["/third_party/", "/gen/", "/generated/"].iter().any(|part| path.contains(part));
    names
        .split_terminator('\0')
        .filter(|path| !foreign(path))
        // Not text, or listed but removed in the working tree.
        .filter_map(|path| {
            let text = std::fs::read_to_string(root.join(path)).ok()?;
            Some(SourceFile { path: path.to_owned(), text })
        })
        .collect()
}
