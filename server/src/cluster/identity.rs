//! `<data>/cluster/identity`: which cluster this node belongs to, and the secret by which its members know each other.
//!
//! Lines of text, `name value`, the last one a crc32c of those before. Written once to a temporary file, synced, and
//! put in place; only its owner may read it.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use flymq_replication::ClusterSecret;
use flymq_types::{ClusterId, Rng};

const FILE: &str = "identity";
const HEADER: &str = "flymq-cluster 1";
/// Far more than the file ever has.
const MAX_BYTES: u64 = 64 << 10;

/// What a member keeps of its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub cluster: ClusterId,
    /// The cluster token, and the seed that members prove and certify themselves with.
    pub secret: ClusterSecret,
    /// This node forms the cluster, and goes on with it after a crash.
    pub founder: bool,
}

impl Identity {
    /// Of a new cluster; without a token one is made.
    pub fn new(rng: &dyn Rng, token: Option<ClusterSecret>) -> Self {
        let secret = token.unwrap_or_else(|| ClusterSecret::random(rng)).founded(rng);
        Self { cluster: ClusterId::random(rng), secret, founder: true }
    }

    /// Reads the file in `<data>/cluster`; none where there is none.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn load(dir: &Path) -> Result<Option<Self>, String> {
        let path = dir.join(FILE);
        let size = match fs::metadata(&path) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
        };
        if size > MAX_BYTES {
            return Err(damaged(&path));
        }
        let bytes = fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let text = std::str::from_utf8(&bytes).ok();
        text.and_then(Self::parse).map(Some).ok_or_else(|| damaged(&path))
    }

    /// Writes the file durably.
    pub fn store(&self, dir: &Path) -> io::Result<()> {
        let parent = dir.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(dir)?;
        sync_dir(parent)?;
        let (path, temporary) = (dir.join(FILE), dir.join("identity.tmp"));
        remove_if_there(&temporary)?;
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(self.render().as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        sync_dir(dir)
    }

    fn render(&self) -> String {
        let Self { cluster, secret, founder } = self;
        let token = hex(secret.as_str().as_bytes());
        let text = format!("{HEADER}\ncluster {cluster}\ntoken {token}\nfounder {founder}\n");
        let crc = crc32c::crc32c(text.as_bytes());
        format!("{text}crc32c {crc:08x}\n")
    }

    fn parse(text: &str) -> Option<Self> {
        let (content, crc) = text.rsplit_once("crc32c ")?;
        let crc = u32::from_str_radix(crc.trim_end(), 16).ok()?;
        if crc32c::crc32c(content.as_bytes()) != crc {
            return None;
        }
        let mut lines = content.lines();
        if lines.next()? != HEADER {
            return None;
        }
        let mut value = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned);
        let cluster = value("cluster")?.parse().ok()?;
        let secret = ClusterSecret::new(std::str::from_utf8(&unhex(&value("token")?)?).ok()?)?;
        let founder = value("founder")?.parse().ok()?;
        Some(Self { cluster, secret, founder })
    }
}

fn damaged(path: &Path) -> String {
    format!(
        "{} is damaged: restore it from a backup of this data directory (any other member's file names the same cluster, \
         but `founder` must stay as it was)",
        path.display()
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Makes what happened to the names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    fs::File::open(dir)?.sync_all()
}

/// Where a member keeps its identity.
pub(crate) fn directory(data: &Path) -> PathBuf {
    data.join("cluster")
}

#[cfg(test)]
mod tests {
    use flymq_types::SeededRng;

    use super::*;

    #[test]
    fn what_was_stored_is_read_again_and_only_its_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a directory");
        let dir = directory(dir.path());
        assert_eq!(Identity::load(&dir), Ok(None));
        for token in [None, ClusterSecret::new("a token with spaces\nand lines")] {
            let identity = Identity::new(&SeededRng::new(3), token);
            identity.store(&dir).expect("stored");
            assert_eq!(Identity::load(&dir), Ok(Some(identity)));
        }
        let mode = fs::metadata(dir.join(FILE)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn every_changed_byte_is_damage() {
        let text = Identity::new(&SeededRng::new(4), None).render();
        assert!(Identity::parse(&text).is_some());
        for at in 0..text.len() - 1 {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let changed = String::from_utf8(bytes).expect("ASCII stays ASCII");
            assert_eq!(Identity::parse(&changed), None, "byte {at}");
        }
        assert_eq!(Identity::parse(""), None);
    }
}
