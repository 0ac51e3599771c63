//! `encryption.json`: which keys a data directory needs, and a proof for each, so that a wrong key is found out before
//! anything else is looked at. Never holds a key.

use std::io::{self, IoSlice};
use std::path::Path;

use flymq_types::Rng;
use serde::{Deserialize, Serialize};

use super::key::{EncryptionKeys, KeyId, hex, read_hex};
use super::keyring::{Keyring, PROOF_BYTES};
use crate::data_dir::DirectoryId;
use crate::disk::{Disk, OpenMode};
use crate::error::{IoContext, Result, StorageError};

const FILE_NAME: &str = "encryption.json";
const TEMPORARY_NAME: &str = "encryption.json.tmp";
const FORMAT_VERSION: u32 = 1;
/// Far more than the file ever has.
const MAX_BYTES: u64 = 64 << 10;

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    format_version: u32,
    /// The current key first.
    keys: Vec<Entry>,
}

/// Of a file of any version, only this is read first.
#[derive(Debug, Deserialize)]
struct AnyVersion {
    format_version: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    id: String,
    /// Hex of a nonce and an AES-GCM tag over directory and id.
    proof: String,
}

/// A data directory, and how to write into it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub disk: &'a dyn Disk,
    pub dir: &'a Path,
    pub id: DirectoryId,
}

/// Compares the keys given with those that the directory needs. Only when they fit, the current key is written down
/// (its proof, durably), before anything is encrypted under it.
///
/// `in_use` tells which keys the files of a directory name that has lost its `encryption.json`.
///
/// # Errors
/// `KeyMissing`, `WrongKey`, `DamagedIdentity`, `UnknownFormat`: nothing was changed. `Io`.
pub(crate) fn open_keyring(
    place: Place<'_>,
    keys: Option<&EncryptionKeys>,
    rng: &dyn Rng,
    in_use: impl FnOnce() -> Result<Vec<KeyId>>,
) -> Result<Option<Keyring>> {
    let known = load(place)?;
    let Some(keys) = keys else {
        return match known {
            None => Ok(None),
            Some(known) => Err(missing(place, &known.iter().map(|(id, _)| *id).collect::<Vec<_>>())),
        };
    };
    let keyring = Keyring::new(keys);
    match &known {
        Some(known) => prove(place, &keyring, known)?,
        None => {
            let unknown = in_use()?.into_iter().find(|id| !keyring.ids().any(|given| given == *id));
            unknown.map_or(Ok(()), |needed| Err(keyring.wrong_key(place.dir, needed)))?;
        }
    }
    let mut needed: Vec<KeyId> = known.iter().flatten().map(|(id, _)| *id).collect();
    if needed.first() != Some(&keyring.current()) {
        needed.retain(|id| *id != keyring.current());
        needed.insert(0, keyring.current());
        store(place, &keyring, &needed, rng)?;
    }
    Ok(Some(keyring))
}

/// Writes down that only these keys are needed from now on.
pub(crate) fn store(place: Place<'_>, keyring: &Keyring, ids: &[KeyId], rng: &dyn Rng) -> Result<()> {
    let entry = |id: &KeyId| {
        let proof = keyring.proof(*id, place.id.as_bytes(), rng)?;
        Some(Entry { id: id.to_string(), proof: hex(&proof) })
    };
    let document = Document { format_version: FORMAT_VERSION, keys: ids.iter().filter_map(entry).collect() };
    let (path, temporary) = (place.dir.join(FILE_NAME), place.dir.join(TEMPORARY_NAME));
    let text = serde_json::to_vec_pretty(&document)
        .map_err(|error| StorageError::io("encode", &path, io::Error::other(error)))?;
    let disk = place.disk;
    if disk.exists(&temporary).on("look for", &temporary)? {
        disk.remove_file(&temporary).on("remove", &temporary)?;
    }
    let file = disk.open(&temporary, OpenMode::CreateNew).on("create", &temporary)?;
    file.write_all_at(&mut [IoSlice::new(&text)], 0).on("write", &temporary)?;
    file.fdatasync().on("fdatasync", &temporary)?;
    disk.rename(&temporary, &path).on("rename", &path)?;
    disk.sync_dir(place.dir).on("sync directory", place.dir)
}

type Proof = [u8; PROOF_BYTES];

fn load(place: Place<'_>) -> Result<Option<Vec<(KeyId, Proof)>>> {
    let path = place.dir.join(FILE_NAME);
    let file = match place.disk.open(&path, OpenMode::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        result => result.on("open", &path)?,
    };
    let size = file.size().on("size of", &path)?.min(MAX_BYTES);
    let mut bytes = vec![0; size as usize];
    file.read_exact_at(&mut bytes, 0).on("read", &path)?;
    let damaged = |reason: String| StorageError::DamagedIdentity { path: path.clone(), reason };
    let version: AnyVersion = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
    if version.format_version != FORMAT_VERSION {
        let (found, known) = (version.format_version, FORMAT_VERSION);
        return Err(StorageError::UnknownFormat { path, found, known });
    }
    let document: Document = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
    if document.keys.is_empty() {
        return Err(damaged("it names no key".to_owned()));
    }
    let keys = document.keys.iter().map(parse).collect::<Option<Vec<_>>>();
    keys.map(Some).ok_or_else(|| damaged("a key's id or proof is no hex of its length".to_owned()))
}

fn parse(entry: &Entry) -> Option<(KeyId, Proof)> {
    let mut proof = [0; PROOF_BYTES];
    read_hex(&entry.proof, &mut proof)?;
    Some((KeyId::parse(&entry.id)?, proof))
}

fn prove(place: Place<'_>, keyring: &Keyring, known: &[(KeyId, Proof)]) -> Result<()> {
    for (id, proof) in known {
        if !keyring.ids().any(|given| given == *id) {
            return Err(keyring.wrong_key(place.dir, *id));
        }
        if !keyring.proves(*id, place.id.as_bytes(), proof) {
            let reason = format!("the proof of key {id} does not hold");
            return Err(StorageError::DamagedIdentity { path: place.dir.join(FILE_NAME), reason });
        }
    }
    Ok(())
}

fn missing(place: Place<'_>, needed: &[KeyId]) -> StorageError {
    let needed = needed.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    StorageError::KeyMissing { path: place.dir.to_owned(), needed }
}
