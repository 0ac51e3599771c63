//! Prometheus text format, for what does not come from the recorder.

use std::fmt::{Display, Write as _};

/// Text of one scrape.
#[derive(Debug, Default)]
pub(crate) struct Text(String);

impl Text {
    pub fn new(rendered: String) -> Self {
        Self(rendered)
    }

    /// Starts a family.
    pub fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// Adds a sample with its labels.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (i, (label, text)) in labels.iter().enumerate() {
            self.0.push(if i == 0 { '{' } else { ',' });
            let _ = write!(self.0, "{label}=\"{}\"", escape(text));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    /// Adds HELP, TYPE and `samples` when the family is not there yet.
    pub fn ensure(&mut self, name: &str, kind: &str, help: &str, samples: &[(&str, &str)]) {
        if self.0.contains(&format!("# TYPE {name} ")) {
            return;
        }
        self.family(name, kind, help);
        for (suffix, labels) in samples {
            let _ = writeln!(self.0, "{name}{suffix}{labels} 0");
        }
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut text = Text::default();
        text.family("m", "gauge", "help");
        text.sample("m", &[("topic", "a\"b\\c\nd"), ("p", "0")], 7);
        text.sample("m", &[], 1);
        assert_eq!(
            text.into_string(),
            "# HELP m help\n# TYPE m gauge\nm{topic=\"a\\\"b\\\\c\\nd\",p=\"0\"} 7\nm 1\n"
        );
    }

    #[test]
    fn a_family_is_added_once() {
        let mut text = Text::default();
        text.ensure("m", "counter", "help", &[("", "")]);
        text.ensure("m", "counter", "help", &[("", "")]);
        assert_eq!(text.into_string(), "# HELP m help\n# TYPE m counter\nm 0\n");
    }
}
