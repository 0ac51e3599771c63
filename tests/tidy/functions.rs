//! The length of functions. rustfmt puts the closing brace under the first character of the head; Python's blocks are
//! their indentation.

use crate::files::SourceFile;

const LIMIT: usize = 100;

/// Functions over the limit.
pub fn long_functions(file: &SourceFile) -> Vec<String> {
    let lines: Vec<&str> = file.text.lines().collect();
    let length: fn(&[&str], usize) -> usize = match () {
        () if file.is_rust() => rust_length,
        () if file.is_python() => python_length,
        () => return Vec::new(),
    };
    let long = lines.iter().enumerate().filter_map(|(index, line)| {
        let length = length(&lines, index);
        (length > LIMIT).then(|| format!("{} ({length} lines)", file.finding(index, line)))
    });
    long.collect()
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Lines from the head at `start` to the closing brace; 0 where no function with a body begins.
fn rust_length(lines: &[&str], start: usize) -> usize {
    let line = lines[start];
    let mut words = line.trim_start().split(' ');
    let modifiers = ["pub", "async", "const", "unsafe", "extern", "\"C\"", "\"system\"", "default"];
    let head = words.find(|word| !modifiers.contains(word) && !word.starts_with("pub("));
    if head != Some("fn") {
        return 0;
    }
    let body = lines[start..].iter().take_while(|line| !line.ends_with(';') && !line.ends_with('}'));
    if !body.into_iter().any(|line| line.ends_with('{')) {
        return 0;
    }
    let close = format!("{}}}", &line[..indentation(line)]);
    lines[start..].iter().position(|line| *line == close).map_or(0, |offset| offset + 1)
}

fn python_length(lines: &[&str], start: usize) -> usize {
    let line = lines[start].trim_start();
    if !line.starts_with("def ") && !line.starts_with("async def ") {
        return 0;
    }
    let outer = indentation(lines[start]);
    let inside = |line: &&&str| {
        line.trim().is_empty() || indentation(line) > outer || line.trim_start().starts_with(')')
    };
    let body: Vec<&&str> = lines[start + 1..].iter().take_while(inside).collect();
    let trailing = body.iter().rev().take_while(|line| line.trim().is_empty()).count();
    1 + body.len() - trailing
}

#[cfg(test)]
mod tests {
    use super::{python_length, rust_length};

    #[test]
    fn counts_rust() {
        let text = "    pub(crate) async fn f(\n        a: u8,\n    ) -> u8 {\n        {\n        }\n    }\nfn g() {}\nfn h(\n    a: u8,\n);\n}";
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(rust_length(&lines, 0), 6);
        assert_eq!((rust_length(&lines, 3), rust_length(&lines, 6), rust_length(&lines, 7)), (0, 0, 0));
    }

    #[test]
    fn counts_python() {
        let text = "def f(\n    a,\n):\n    x = 1\n\n    return x\n\n\ndef g(): pass";
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((python_length(&lines, 0), python_length(&lines, 8), python_length(&lines, 3)), (6, 1, 0));
    }
}
