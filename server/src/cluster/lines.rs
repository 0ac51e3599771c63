//! Small files of `<data>/cluster`: lines of text behind a header; the last one is a crc32c of those before. Written to a
//! temporary file, synced, and put in place.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use tracing::warn;

use super::identity::sync_dir;

/// One kind of file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    /// Its name.
    pub name: &'static str,
    /// Its first line.
    pub header: &'static str,
    /// What it is, in the log.
    pub what: &'static str,
}

impl Kind {
    /// The lines; none where there is no file, or it is damaged.
    pub fn load<T>(self, dir: &Path, line: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let (path, what) = (dir.join(self.name), self.what);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                warn!(path = %path.display(), %error, what, "cannot be read, and is made anew");
                return Vec::new();
            }
        };
        self.parse(&text, line).unwrap_or_else(|| {
            warn!(path = %path.display(), what, "is damaged, and is made anew");
            Vec::new()
        })
    }

    pub fn store(self, dir: &Path, lines: impl IntoIterator<Item = String>) -> io::Result<()> {
        let temporary = dir.join(format!("{}.tmp", self.name));
        let mut file = fs::File::create(&temporary)?;
        file.write_all(self.render(lines).as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, dir.join(self.name))?;
        sync_dir(dir)
    }

    fn render(self, lines: impl IntoIterator<Item = String>) -> String {
        let mut text = format!("{}\n", self.header);
        for line in lines {
            text.push_str(&line);
            text.push('\n');
        }
        let crc = crc32c::crc32c(text.as_bytes());
        format!("{text}crc32c {crc:08x}\n")
    }

    fn parse<T>(self, text: &str, line: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
        let (content, crc) = text.rsplit_once("crc32c ")?;
        if crc32c::crc32c(content.as_bytes()) != u32::from_str_radix(crc.trim_end(), 16).ok()? {
            return None;
        }
        let mut lines = content.lines();
        if lines.next()? != self.header {
            return None;
        }
        lines.map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind { name: "numbers", header: "flymq-numbers 1", what: "the numbers" };

    fn number(line: &str) -> Option<u64> {
        line.parse().ok()
    }

    #[test]
    fn lines_come_back_and_damaged_ones_say_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(KIND.load(dir.path(), number), Vec::<u64>::new());
        for numbers in [vec![], vec![1, 20, 300]] {
            KIND.store(dir.path(), numbers.iter().map(u64::to_string)).expect("stored");
            assert_eq!(KIND.load(dir.path(), number), numbers);
        }
        let text = KIND.render(["1".to_owned(), "20".to_owned()]);
        for at in 0..text.len() - 1 {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let damaged = String::from_utf8(bytes).expect("ASCII stays ASCII");
            assert_eq!(KIND.parse(&damaged, number), None, "byte {at}");
        }
    }
}
