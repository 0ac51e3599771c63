//! What must hold at every moment, and the trace of what happened.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use flymq_engine::meta::{MetaImage, MetaVersion};
use flymq_replication::RaftId;

/// Members agree on what each version is, and nothing that was answered is lost, doubled or seen late.
#[derive(Debug, Default)]
pub struct Oracle {
    /// By version: what the image was when it was first seen.
    images: BTreeMap<MetaVersion, u64>,
    /// By member, in this run of its process: the newest version that it showed.
    shown: BTreeMap<RaftId, MetaVersion>,
    /// By version: the proposal that was answered with it.
    answered: BTreeMap<MetaVersion, u32>,
    trace: DefaultHasher,
    pub events: u64,
    /// Shows what is noted.
    pub prints: bool,
}

impl Oracle {
    /// Something happened, at this ms of the run.
    pub fn note(&mut self, now: u64, what: &str) {
        (now, what).hash(&mut self.trace);
        if self.prints {
            println!("{now:8} {what}");
        }
        self.events += 1;
    }

    /// The same for two runs in which the same happened at the same times.
    pub fn trace(&self) -> u64 {
        self.trace.finish()
    }

    pub fn started(&mut self, id: RaftId) {
        self.shown.remove(&id);
    }

    /// A member shows this image.
    pub fn sees(&mut self, now: u64, id: RaftId, image: &MetaImage) {
        let version = image.version;
        let before = self.shown.insert(id, version);
        assert!(
            before.is_none_or(|before| before <= version),
            "{id} went back from {before:?} to {version:?}"
        );
        if before == Some(version) {
            return;
        }
        let is = fingerprint(image);
        let known = *self.images.entry(version).or_insert(is);
        assert_eq!(known, is, "{id} has another {version:?} than somebody had");
        self.note(now, &format!("{id} {version:?} {is:x}"));
    }

    pub fn answered(&mut self, version: MetaVersion, proposal: u32) {
        let before = self.answered.insert(version, proposal);
        assert_eq!(before, None, "{version:?} was given twice, now to {proposal}");
    }

    /// The newest version that anybody was told.
    pub fn newest(&self) -> MetaVersion {
        self.answered.keys().next_back().copied().unwrap_or_default()
    }

    pub fn count(&self) -> usize {
        self.answered.len()
    }

    /// All that was answered is there.
    pub fn check_whole(&self, image: &MetaImage) {
        for (version, proposal) in &self.answered {
            let name = format!("topic {proposal}");
            assert!(image.topics.contains_key(name.as_str()), "{name}, answered as {version:?}, is gone");
        }
    }
}

fn fingerprint(image: &MetaImage) -> u64 {
    let mut hasher = DefaultHasher::new();
    image.topics.keys().for_each(|name| name.as_str().hash(&mut hasher));
    hasher.finish()
}
