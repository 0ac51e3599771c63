//! Objects in a bucket. The clouds' own rule gives what a rename gives in a directory: an object is there whole or not
//! at all.

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use object_store::{ObjectStoreExt as _, path::Path};
use url::Url;

use super::Store;
use crate::BackupError;

/// A prefix in a bucket.
#[derive(Debug)]
pub struct ObjectStore {
    place: String,
    objects: Box<dyn object_store::ObjectStore>,
    prefix: Path,
}

impl ObjectStore {
    /// From `s3://bucket/prefix`, `gs://…`, `az://…`; access comes from the environment variables of the clouds' own tools
    /// (`AWS_ACCESS_KEY_ID`, `GOOGLE_SERVICE_ACCOUNT`, `AZURE_STORAGE_ACCOUNT_NAME` …).
    pub(crate) fn open(place: &str) -> Result<Self, BackupError> {
        let bad = |reason: &dyn std::fmt::Display| BackupError::BadPlace {
            place: place.to_owned(),
            reason: reason.to_string(),
        };
        let url = Url::parse(place).map_err(|error| bad(&error))?;
        let opened = object_store::parse_url_opts(&url, std::env::vars());
        let (objects, prefix) = opened.map_err(|error| bad(&error))?;
        Ok(Self { place: place.to_owned(), objects, prefix })
    }

    fn failed(&self, what: &str, name: &str, error: &object_store::Error) -> BackupError {
        match error {
            object_store::Error::NotFound { .. } => {
                BackupError::Missing { file: format!("{}/{name}", self.place) }
            }
            other => BackupError::Storage {
                what: format!("{what} {}/{name}", self.place),
                reason: other.to_string(),
            },
        }
    }
}

impl Store for ObjectStore {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<String>, BackupError>> {
        async move {
            let listed = self.objects.list_with_delimiter(Some(&self.prefix)).await;
            let listed = listed.map_err(|error| self.failed("list", "", &error))?;
            let names = listed.objects.iter().filter_map(|object| object.location.filename());
            Ok(names.map(str::to_owned).collect())
        }
        .boxed()
    }

    fn get<'a>(&'a self, name: &'a str, limit: usize) -> BoxFuture<'a, Result<Bytes, BackupError>> {
        async move {
            let found = self.objects.get(&self.prefix.clone().join(name)).await;
            let found = found.map_err(|error| self.failed("read", name, &error))?;
            if found.meta.size > limit as u64 {
                return Err(BackupError::damaged(name, format!("it has more than {limit} bytes")));
            }
            found.bytes().await.map_err(|error| self.failed("read", name, &error))
        }
        .boxed()
    }

    fn put<'a>(&'a self, name: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), BackupError>> {
        async move {
            let put = self.objects.put(&self.prefix.clone().join(name), bytes.into()).await;
            put.map(drop).map_err(|error| self.failed("write", name, &error))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn keeps(store: ObjectStore) {
        assert!(store.list().await.unwrap().is_empty());
        store.put("x", Bytes::from_static(b"1")).await.unwrap();
        store.put("x", Bytes::from_static(b"22")).await.unwrap();
        assert_eq!(&store.get("x", 2).await.unwrap()[..], b"22");
        assert!(matches!(store.get("x", 1).await, Err(BackupError::Damaged { .. })));
        assert!(matches!(store.get("y", 1).await, Err(BackupError::Missing { .. })));
        assert_eq!(store.list().await.unwrap(), ["x"]);
    }

    #[tokio::test]
    async fn in_memory_and_in_a_file_system() {
        let memory = object_store::memory::InMemory::new();
        keeps(ObjectStore {
            place: "memory://".to_owned(),
            objects: Box::new(memory),
            prefix: Path::from("a/b"),
        })
        .await;
        let temp = tempfile::tempdir().unwrap();
        let local = object_store::local::LocalFileSystem::new_with_prefix(temp.path()).unwrap();
        keeps(ObjectStore { place: "local".to_owned(), objects: Box::new(local), prefix: Path::from("a") })
            .await;
    }

    #[test]
    fn urls_name_buckets() {
        let store = ObjectStore::open("s3://bucket/some/prefix").unwrap();
        assert_eq!(
            (store.prefix.as_ref(), store.place().as_str()),
            ("some/prefix", "s3://bucket/some/prefix")
        );
        assert!(matches!(ObjectStore::open("nothing://x"), Err(BackupError::BadPlace { .. })));
    }
}
