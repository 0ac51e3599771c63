//! Which topics of a backup are meant, and under which names they come back.

use crate::{BackupError, Manifest, TopicBackup};

/// A topic to restore.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Selected<'a> {
    pub topic: &'a TopicBackup,
    /// Its name from now on.
    pub target: &'a str,
}

/// The topics that `specs` name (`a`, or `a:b` for a new name; none: all). A topic's own name may hold a colon: what
/// is in the backup as it stands counts first.
pub(crate) fn select<'a>(
    manifest: &'a Manifest,
    specs: &'a [String],
) -> Result<Vec<Selected<'a>>, BackupError> {
    let all = || manifest.topics.iter().map(|topic| Selected { topic, target: &topic.name }).collect();
    let selected: Vec<Selected<'_>> = if specs.is_empty() {
        all()
    } else {
        specs.iter().map(|spec| one(manifest, spec)).collect::<Result<_, _>>()?
    };
    for (index, selected_topic) in selected.iter().enumerate() {
        if selected[..index].iter().any(|other| other.target == selected_topic.target) {
            return Err(BackupError::SameTarget { topic: selected_topic.target.to_owned() });
        }
    }
    Ok(selected)
}

fn one<'a>(manifest: &'a Manifest, spec: &'a str) -> Result<Selected<'a>, BackupError> {
    let find = |name: &str| manifest.topics.iter().find(|topic| topic.name == name);
    if let Some(topic) = find(spec) {
        return Ok(Selected { topic, target: spec });
    }
    let mut colons = spec.char_indices().filter(|(_, c)| *c == ':');
    let renamed = colons.find_map(|(at, _)| Some((find(&spec[..at])?, &spec[at + 1..])));
    match renamed {
        Some((topic, target)) if !target.is_empty() => Ok(Selected { topic, target }),
        Some(_) | None => Err(BackupError::TopicNotInBackup { topic: spec.to_owned() }),
    }
}
