//! Reading a backup back, every byte of it.

use crate::{
    BackupError, BackupId, BackupKey, Manifest, Progress, Step, Store, TopicBackup, chunk,
    manifest::MAX_MANIFEST_BYTES,
};

/// The ids of all whole backups of a place, oldest first.
///
/// # Errors
/// `Storage`.
pub async fn list(store: &dyn Store) -> Result<Vec<BackupId>, BackupError> {
    let mut ids: Vec<_> = store.list().await?.iter().filter_map(|file| BackupId::of_manifest(file)).collect();
    ids.sort();
    Ok(ids)
}

/// A backup's manifest, checked; the newest where no id is given. The chunks are not looked at.
///
/// # Errors
/// `NoBackup`, `UnknownBackup`, `Foreign`, `Newer`, `Damaged`, `WrongKey`, `Storage`.
pub async fn load(
    store: &dyn Store,
    id: Option<&str>,
    key: Option<&BackupKey>,
) -> Result<Manifest, BackupError> {
    let ids = list(store).await?;
    let place = store.place();
    let id = match id {
        None => ids.last().ok_or(BackupError::NoBackup { place })?,
        Some(id) => {
            let unknown = || BackupError::UnknownBackup { place, id: id.to_owned() };
            ids.iter().find(|known| known.as_str() == id).ok_or_else(unknown)?
        }
    };
    let bytes = store.get(&id.manifest(), MAX_MANIFEST_BYTES).await?;
    Manifest::decode(id, &bytes, key)
}

/// Reads all chunks of a backup: hashes, decryption, the checksums of every batch, offsets without a gap.
///
/// # Errors
/// Those of [`load`]; `Missing`, `Damaged`, `KeyMissing`.
pub async fn verify(
    store: &dyn Store,
    id: Option<&str>,
    key: Option<&BackupKey>,
    progress: Progress<'_>,
) -> Result<Manifest, BackupError> {
    let manifest = load(store, id, key).await?;
    let key = needed_key(&manifest, key)?;
    for topic in &manifest.topics {
        verify_topic(store, topic, key, progress).await?;
    }
    Ok(manifest)
}

/// The key for the chunks: none where the backup is not encrypted.
pub(crate) fn needed_key<'a>(
    manifest: &Manifest,
    key: Option<&'a BackupKey>,
) -> Result<Option<&'a BackupKey>, BackupError> {
    match (&manifest.key_id, key) {
        (None, _) => Ok(None),
        (Some(_), Some(key)) => Ok(Some(key)),
        (Some(_), None) => Err(BackupError::KeyMissing { id: manifest.id.clone() }),
    }
}

pub(crate) async fn verify_topic(
    store: &dyn Store,
    topic: &TopicBackup,
    key: Option<&BackupKey>,
    progress: Progress<'_>,
) -> Result<(), BackupError> {
    progress(Step::Topic { name: &topic.name, bytes: topic.bytes() });
    for entry in topic.partitions.iter().flat_map(|partition| &partition.chunks) {
        let name =
            entry.name().ok_or_else(|| BackupError::damaged(&entry.file, "its name is none of ours"))?;
        let (_, found) = chunk::read(store, &name, key).await?;
        if found != *entry {
            return Err(BackupError::damaged(name, "it is not what the manifest says of it"));
        }
        progress(Step::Bytes(entry.bytes));
    }
    Ok(())
}
