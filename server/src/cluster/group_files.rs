//! `<data>/cluster/member`: this node has had its part of the metadata group in `<data>/raft`, votes and log. Where that is
//! gone it is no new member: it would vote as one that has agreed to nothing, and a majority with it would have lost what
//! was committed.

use std::{fs, io, path::Path};

use super::{enter::recovery, identity, lines::Kind};
use crate::StartError;

const FILE: Kind =
    Kind { name: "member", header: "flymq-member 1", what: "the note that this node is a member" };

/// Before anything of the group is opened, and before the cluster port answers. `known`: it has its identity.
///
/// # Errors
/// One of the two is gone, the group's files or the identity. Nothing was changed.
pub(super) fn check(data: &Path, known: bool) -> Result<(), StartError> {
    let group = data.join("raft");
    let has_group = has_files(&group).map_err(|error| recovery(&group, error.to_string()))?;
    let noted = identity::directory(data).join(FILE.name).exists();
    let empty =
        "or start with an empty data directory: the others send this node what they have, as another member";
    let reason = match (known, noted, has_group) {
        (true, true, false) => format!(
            "this node is a member of a cluster, and its part of the metadata group is gone: without its votes and its log it could have the others forget \
             what they agreed on. Nothing was changed. Restore that directory from a backup of this node, {empty}"
        ),
        (false, _, true) => format!(
            "it is a member's part of a cluster's metadata group, and this node does not know of which cluster: cluster/identity beside it is gone. Nothing \
             was changed. Restore that file from a backup of this node, {empty}"
        ),
        (true, false, _) | (true, true, true) | (false, _, false) => return Ok(()),
    };
    Err(recovery(&group, reason))
}

/// Once the files of the group are there, and before they are used.
pub(super) fn note(data: &Path) -> io::Result<()> {
    let dir = identity::directory(data);
    if dir.join(FILE.name).exists() {
        return Ok(());
    }
    FILE.store(&dir, [])
}

fn has_files(dir: &Path) -> io::Result<bool> {
    match fs::read_dir(dir) {
        Ok(mut files) => Ok(files.next().is_some()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_both_or_neither_will_do() {
        let dir = tempfile::tempdir().expect("a directory");
        let (data, raft) = (dir.path(), dir.path().join("raft"));
        let refused = |known: bool| check(data, known).is_err();
        assert!(!refused(false), "a new node");
        fs::create_dir(identity::directory(data)).expect("a directory");
        assert!(!refused(true), "it was killed before it was a member");
        fs::create_dir(&raft).expect("a directory");
        assert!(!refused(true) && !refused(false), "or a moment later");
        fs::write(raft.join("log"), "x").expect("a file");
        note(data).expect("noted");
        note(data).expect("noted again");
        assert!(!refused(true) && refused(false), "a member that lost its identity");
        fs::remove_file(raft.join("log")).expect("gone");
        assert!(refused(true), "an empty directory in place of its part");
        fs::remove_dir(&raft).expect("gone");
        assert!(refused(true) && !refused(false));
    }
}
