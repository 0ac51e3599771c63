//! A configuration file: JSON with `//` comments, TOML or YAML, down to one flat list of dotted keys.

use std::io::Read;
use std::path::Path;

use crate::error::Problem;
use crate::node::Node;

/// Larger files are refused before they are read: no configuration is that long.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The notations a file may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON; `//` begins a comment that ends with the line.
    Json,
    /// TOML.
    Toml,
    /// YAML.
    Yaml,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Toml => "TOML",
            Self::Yaml => "YAML",
        }
    }

    /// By the file name's end; a file that begins like a JSON object may have any name.
    fn detect(path: &Path, text: &str) -> Option<Self> {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "json" | "jsonc" => Some(Self::Json),
            "toml" => Some(Self::Toml),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => text.trim_start().starts_with(['{', '/']).then_some(Self::Json),
        }
    }
}

/// Reads the file's text.
pub fn read(path: &Path) -> Result<String, Problem> {
    let name = path.display();
    let failed = |error: std::io::Error| {
        Problem::general(
            format!("the configuration file {name} cannot be read: {error}"),
            "check the path after `-config` (or FLYMQ_CONFIG) and the file's permissions",
        )
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let what = format!("the configuration file {name} is larger than {MAX_FILE_BYTES} bytes");
        return Err(Problem::general(what, "check that `-config` names the right file"));
    }
    String::from_utf8(bytes).map_err(|_| {
        Problem::general(format!("the configuration file {name} is not UTF-8 text"), "save it as UTF-8")
    })
}

/// The settings in the text as (dotted key, value), in the order of the file. `path` gives the format and the
/// name for messages; nothing is read.
pub fn parse(path: &Path, text: &str) -> Result<Vec<(String, Node)>, Problem> {
    let text = text.trim_start_matches('\u{feff}');
    let format = Format::detect(path, text).ok_or_else(|| {
        Problem::general(
            format!("the format of {} is unknown", path.display()),
            "let its name end in .json, .toml, .yaml or .yml",
        )
    })?;
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let root = match format {
        Format::Json => serde_json::from_str(&without_comments(text)).map_err(|e| e.to_string()),
        Format::Toml => toml::from_str(text).map_err(|e| e.to_string()),
        Format::Yaml => {
            // Only true and false are truth values: `node_id: no` stays text.
            let options = serde_saphyr::options! { strict_booleans: true };
            serde_saphyr::from_str_with_options(text, options).map_err(|e| e.to_string())
        }
    };
    let syntax = |error: String| {
        let what = format!("{} is not valid {}: {}", path.display(), format.name(), error.trim_end());
        Problem::general(
            what,
            "correct the file; `flymq config check -config FILE` tests it without starting",
        )
    };
    match root.map_err(syntax)? {
        Node::Null => Ok(Vec::new()),
        Node::Table(entries) => {
            let mut flat = Vec::new();
            flatten("", entries, &mut flat);
            Ok(flat)
        }
        other @ (Node::Bool(_) | Node::Integer(_) | Node::Float(_) | Node::Text(_) | Node::List(_)) => {
            let what =
                format!("{} holds {} instead of keys with values", path.display(), other.describe(true));
            Err(Problem::general(what, "write for example {\"bind_addr\": \"127.0.0.1:9092\"}"))
        }
    }
}

fn flatten(prefix: &str, entries: Vec<(String, Node)>, out: &mut Vec<(String, Node)>) {
    for (key, value) in entries {
        let name = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        match value {
            Node::Table(inner) => flatten(&name, inner, out),
            Node::Null => {}
            Node::Bool(_) | Node::Integer(_) | Node::Float(_) | Node::Text(_) | Node::List(_) => {
                out.push((name, value));
            }
        }
    }
}

/// Blanks `// ...` outside of strings; line and column of what remains stay the same.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    let mut in_string = false;
    while let Some(c) = characters.next() {
        if in_string && c == '\\' {
            out.push(c);
            out.extend(characters.next());
            continue;
        }
        if c == '"' {
            in_string = !in_string;
        }
        if !in_string && c == '/' && characters.peek() == Some(&'/') {
            out.push(' ');
            while let Some(blanked) = characters.next_if(|next| *next != '\n') {
                out.extend(std::iter::repeat_n(' ', blanked.len_utf8()));
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Node, parse, without_comments};

    #[test]
    fn comments_go_and_addresses_stay() {
        let text = "{\n  // first\n  \"a\": \"x//y\", // ä\n  \"b\\\"//\": 1\n}";
        let clean = without_comments(text);
        assert!(
            clean.contains("\"x//y\"") && clean.contains("\"b\\\"//\"") && !clean.contains("first"),
            "{clean}"
        );
        assert_eq!(clean.len(), text.len());
    }

    #[test]
    fn groups_become_dots() {
        let flat = parse(Path::new("x.toml"), "[observability.metrics]\nenabled = true").expect("valid");
        assert_eq!(flat, [("observability.metrics.enabled".to_owned(), Node::Bool(true))]);
    }

    #[test]
    fn syntax_errors_name_file_and_line() {
        for (name, text) in [("x.json", "{\n \"a\" 1}"), ("x.toml", "\na = = 1"), ("x.yaml", "a: [1\nb: }")] {
            let problem = parse(Path::new(name), text).expect_err(name);
            assert!(problem.what.contains(name) && problem.what.contains("line"), "{problem}");
        }
    }

    #[test]
    fn nothing_is_a_file_too() {
        for name in ["x.json", "x.toml", "x.yaml"] {
            assert_eq!(parse(Path::new(name), " \n").expect(name), []);
        }
        assert_eq!(parse(Path::new("x.yaml"), "# only a comment\n").expect("comment"), []);
        assert_eq!(parse(Path::new("x.toml"), "# only a comment\n").expect("comment"), []);
        assert!(parse(Path::new("x.ini"), "[a]\nb=1").is_err());
        assert!(parse(Path::new("x.json"), "[1]").is_err());
    }

    #[test]
    fn a_key_that_stands_twice_is_an_error() {
        for (name, text) in
            [("x.json", "{\"a\":1,\"a\":2}"), ("x.toml", "a=1\na=2"), ("x.yaml", "a: 1\na: 2")]
        {
            assert!(parse(Path::new(name), text).is_err(), "{name}");
        }
    }
}
