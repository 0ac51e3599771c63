//! `flymq config show`: every value with its source.

use crate::keys::KEYS;
use crate::load::Loaded;

/// A table `key | value | source`, one line a key, secrets masked, ends with a newline.
pub fn render_show(loaded: &Loaded) -> String {
    let mut rows = vec![["key".to_owned(), "value".to_owned(), "source".to_owned()]];
    rows.extend(KEYS.iter().map(|key| {
        let source = loaded.sources.get(key.name).map(ToString::to_string).unwrap_or_default();
        [key.name.to_owned(), one_line(&(key.show)(&loaded.config)), source]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let (first, second) = (width(0), width(1));
    let mut out = String::new();
    for [key, value, source] in &rows {
        out.push_str(format!("{key:first$} | {value:second$} | {source}").trim_end());
        out.push('\n');
    }
    out
}

fn one_line(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.chars().flat_map(char::escape_debug).collect() }
}
