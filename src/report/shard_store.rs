//! Where the shards of a run meet: a folder that all of them see, or a bucket of an object store.
//!
//! Shell: files and, with the feature `s3`, an object store. A shard is only ever created, never replaced, so
//! that one that ran twice cannot count twice. Never removes what others wrote.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::auth::environment::Environment;
use crate::auth::seen::Seen;
use crate::report::shard_record::ShardRecord;
use crate::report::store::{StoreError, failed};

/// The most that a shard's record may have: each histogram takes some kilobytes.
const MOST: u64 = 256 * 1024 * 1024;

/// A place for the results of runs.
#[derive(Debug)]
pub enum Place {
    Folder(PathBuf),
    #[cfg(feature = "s3")]
    Bucket(bucket::Bucket),
}

/// Why a place cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    #[error(transparent)]
    File(#[from] StoreError),
    #[error("`{0}` is not a place for results: {1}")]
    Url(String, String),
    #[error("`{0}`: {1}")]
    Store(String, String),
}

/// What became of a file that should be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    Yes,
    /// There was one already; what is in it.
    Already(Vec<u8>),
}

impl Place {
    /// A place by its path or URL; signs in where it must. Nothing is written.
    pub async fn open(
        results: &str,
        environment: &Environment,
        seen: &Seen,
    ) -> Result<Place, PlaceError> {
        let Some((scheme, rest)) = results.split_once("://") else {
            return Ok(Place::Folder(PathBuf::from(results)));
        };
        if scheme != "s3" {
            let what = "a folder and s3://BUCKET/PREFIX are".to_owned();
            return Err(PlaceError::Url(results.to_owned(), what));
        }
        Place::open_bucket(results, rest, environment, seen).await
    }

    #[cfg(feature = "s3")]
    async fn open_bucket(
        url: &str,
        rest: &str,
        environment: &Environment,
        seen: &Seen,
    ) -> Result<Place, PlaceError> {
        let bucket = bucket::Bucket::open(url, rest, environment, seen).await?;
        Ok(Place::Bucket(bucket))
    }

    #[cfg(not(feature = "s3"))]
    async fn open_bucket(
        url: &str,
        _: &str,
        _: &Environment,
        _: &Seen,
    ) -> Result<Place, PlaceError> {
        let what = "this program was built without object stores; build it with the feature `s3`, which is on by default"
            .to_owned();
        Err(PlaceError::Url(url.to_owned(), what))
    }

    /// Whether the results are in a folder, and in which.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Place::Folder(folder) => Some(folder),
            #[cfg(feature = "s3")]
            Place::Bucket(_) => None,
        }
    }

    /// Sees whether a run's files can be written, as far as that shows without writing one that stays.
    pub async fn probe(&self, run: &str) -> Result<(), PlaceError> {
        match self {
            Place::Folder(folder) => {
                let folder = folder.join(run);
                fs::create_dir_all(&folder).map_err(failed("create the folder", &folder))?;
                // It goes with its value; the name is nobody else's, in whatever container.
                tempfile::NamedTempFile::new_in(&folder).map_err(failed("write into", &folder))?;
                Ok(())
            }
            #[cfg(feature = "s3")]
            Place::Bucket(bucket) => bucket.list(run).await.map(|_| ()),
        }
    }

    /// A file of a run; `None` where there is none.
    pub async fn read(&self, run: &str, name: &str) -> Result<Option<Vec<u8>>, PlaceError> {
        match self {
            Place::Folder(folder) => {
                let path = folder.join(run).join(name);
                match fs::metadata(&path).and_then(|about| match about.len() > MOST {
                    true => Err(ErrorKind::FileTooLarge.into()),
                    false => fs::read(&path),
                }) {
                    Ok(bytes) => Ok(Some(bytes)),
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(failed("read", &path)(error).into()),
                }
            }
            #[cfg(feature = "s3")]
            Place::Bucket(bucket) => bucket.read(run, name).await,
        }
    }

    /// Writes a file of a run if there is none.
    pub async fn create(&self, run: &str, name: &str, bytes: &[u8]) -> Result<Created, PlaceError> {
        match self {
            Place::Folder(folder) => create_file(&folder.join(run), name, bytes),
            #[cfg(feature = "s3")]
            Place::Bucket(bucket) => bucket.create(run, name, bytes).await,
        }
    }

    /// Writes a file of a run, whatever there was.
    pub async fn replace(&self, run: &str, name: &str, bytes: &[u8]) -> Result<(), PlaceError> {
        match self {
            Place::Folder(folder) => {
                let folder = folder.join(run);
                let part = folder.join(format!(".{name}.{}", std::process::id()));
                crate::report::store::replace(&part, &folder.join(name), bytes, true)?;
                Ok(())
            }
            #[cfg(feature = "s3")]
            Place::Bucket(bucket) => bucket.replace(run, name, bytes).await,
        }
    }

    /// The shards of a run that are there.
    pub async fn shards(&self, run: &str) -> Result<Vec<(String, Vec<u8>)>, PlaceError> {
        let names = match self {
            Place::Folder(folder) => names(&folder.join(run))?,
            #[cfg(feature = "s3")]
            Place::Bucket(bucket) => bucket.list(run).await?,
        };
        let mut shards = Vec::new();
        for name in names {
            if ShardRecord::is_file_name(&name)
                && let Some(bytes) = self.read(run, &name).await?
            {
                shards.push((name, bytes));
            }
        }
        shards.sort();
        Ok(shards)
    }
}

fn names(folder: &Path) -> Result<Vec<String>, PlaceError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("read the folder", folder)(error).into()),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed("read the folder", folder))?;
        names.extend(entry.file_name().into_string());
    }
    Ok(names)
}

/// Temporary files are their owner's alone; results are as other files are.
#[cfg(unix)]
fn readable(file: &tempfile::NamedTempFile) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.as_file()
        .set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable(_: &tempfile::NamedTempFile) -> std::io::Result<()> {
    Ok(())
}

/// A file is whole before it has its name, and gets it only where nobody has it: a link, unlike a rename, does
/// not replace.
fn create_file(folder: &Path, name: &str, bytes: &[u8]) -> Result<Created, PlaceError> {
    fs::create_dir_all(folder).map_err(failed("create the folder", folder))?;
    let path = folder.join(name);
    // A name that nobody else has: process ids are the same in all containers.
    let mut part =
        tempfile::NamedTempFile::new_in(folder).map_err(failed("create a file in", folder))?;
    let written = part
        .write_all(bytes)
        .and_then(|()| part.as_file().sync_all());
    written.map_err(failed("write", part.path()))?;
    readable(&part).map_err(failed("write", part.path()))?;
    let linked = match fs::hard_link(part.path(), &path) {
        // File systems without links: a shard may be seen before it is whole, but is still created only once.
        Err(error)
            if error.kind() == ErrorKind::Unsupported
                || error.kind() == ErrorKind::PermissionDenied =>
        {
            File::create_new(&path).and_then(|mut file| file.write_all(bytes))
        }
        linked => linked,
    };
    match linked {
        Ok(()) => Ok(Created::Yes),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let there = fs::read(&path).map_err(failed("read", &path))?;
            Ok(Created::Already(there))
        }
        Err(error) => Err(failed("create", &path)(error).into()),
    }
}

#[cfg(feature = "s3")]
mod bucket {
    //! A bucket with a prefix.

    use std::time::Duration;

    use futures_util::TryStreamExt;
    use object_store::aws::AmazonS3;
    use object_store::path::Path;
    use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig};

    use crate::auth::bucket::bucket;
    use crate::auth::environment::Environment;
    use crate::auth::seen::Seen;
    use crate::report::shard_store::{Created, MOST, PlaceError};

    #[derive(Debug)]
    pub struct Bucket {
        /// As the user wrote it.
        url: String,
        store: AmazonS3,
        prefix: String,
    }

    /// What a store said, without the XML and the layers around it.
    fn said_by(error: &Error) -> String {
        let mut last: &dyn std::error::Error = error;
        let mut all = error.to_string();
        while let Some(source) = last.source() {
            last = source;
            let more = last.to_string();
            if !all.contains(&more) {
                all = format!("{all}: {more}");
            }
        }
        let between = |tag: &str| {
            let (_, rest) = all.split_once(&format!("<{tag}>"))?;
            Some(rest.split_once(&format!("</{tag}>"))?.0)
        };
        match (between("Code"), between("Message")) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(code), None) => code.to_owned(),
            _ => all,
        }
    }

    impl Bucket {
        pub(super) async fn open(
            url: &str,
            rest: &str,
            environment: &Environment,
            seen: &Seen,
        ) -> Result<Bucket, PlaceError> {
            let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            if name.is_empty() {
                let what = "the bucket is missing: write s3://BUCKET/PREFIX".to_owned();
                return Err(PlaceError::Url(url.to_owned(), what));
            }
            let builder = bucket(name, environment, seen).await.map_err(|failure| {
                let fix = failure.fix.map(|fix| format!(" ({fix})"));
                let message = seen.redact(&failure.message);
                PlaceError::Store(url.to_owned(), message + &fix.unwrap_or_default())
            })?;
            let retry = RetryConfig {
                max_retries: 5,
                retry_timeout: Duration::from_secs(60),
                ..RetryConfig::default()
            };
            let store = builder
                .with_retry(retry)
                .build()
                .map_err(|error| PlaceError::Store(url.to_owned(), error.to_string()))?;
            Ok(Bucket {
                url: url.to_owned(),
                store,
                prefix: prefix.trim_matches('/').to_owned(),
            })
        }

        fn path(&self, parts: &[&str]) -> Path {
            let own = self.prefix.split('/').filter(|part| !part.is_empty());
            own.chain(parts.iter().copied()).collect()
        }

        fn failed(&self, error: &Error) -> PlaceError {
            let mut words = said_by(error);
            if matches!(error, Error::PermissionDenied { .. }) {
                words.push_str(" (needed: s3:ListBucket, s3:GetObject and s3:PutObject)");
            }
            PlaceError::Store(self.url.clone(), words)
        }

        pub(super) async fn list(&self, run: &str) -> Result<Vec<String>, PlaceError> {
            let folder = self.path(&[run]);
            let found = self.store.list_with_delimiter(Some(&folder)).await;
            let found = found.map_err(|error| self.failed(&error))?;
            Ok(found
                .objects
                .iter()
                .filter_map(|object| object.location.filename().map(str::to_owned))
                .collect())
        }

        pub(super) async fn read(
            &self,
            run: &str,
            name: &str,
        ) -> Result<Option<Vec<u8>>, PlaceError> {
            let found = match self.store.get(&self.path(&[run, name])).await {
                Ok(found) => found,
                Err(Error::NotFound { .. }) => return Ok(None),
                Err(error) => return Err(self.failed(&error)),
            };
            let mut bytes = Vec::new();
            let mut chunks = found.into_stream();
            while let Some(chunk) = chunks
                .try_next()
                .await
                .map_err(|error| self.failed(&error))?
            {
                bytes.extend_from_slice(&chunk);
                if bytes.len() as u64 > MOST {
                    let what = format!("{name} is too large for a shard");
                    return Err(PlaceError::Store(self.url.clone(), what));
                }
            }
            Ok(Some(bytes))
        }

        pub(super) async fn create(
            &self,
            run: &str,
            name: &str,
            bytes: &[u8],
        ) -> Result<Created, PlaceError> {
            let path = self.path(&[run, name]);
            let options = PutOptions::from(PutMode::Create);
            match self
                .store
                .put_opts(&path, bytes.to_vec().into(), options)
                .await
            {
                Ok(_) => Ok(Created::Yes),
                Err(Error::AlreadyExists { .. }) => {
                    let there = self.read(run, name).await?;
                    Ok(Created::Already(there.unwrap_or_default()))
                }
                Err(error) => Err(self.failed(&error)),
            }
        }

        pub(super) async fn replace(
            &self,
            run: &str,
            name: &str,
            bytes: &[u8],
        ) -> Result<(), PlaceError> {
            let path = self.path(&[run, name]);
            let put = self.store.put(&path, bytes.to_vec().into()).await;
            put.map(|_| ()).map_err(|error| self.failed(&error))
        }
    }

    #[cfg(test)]
    mod tests {
        use crate::report::shard_store::bucket::*;

        #[test]
        fn a_store_is_quoted_without_its_xml() {
            let of = |said: &str| {
                said_by(&Error::Generic {
                    store: "S3",
                    source: said.to_owned().into(),
                })
            };
            assert_eq!(
                of(
                    "404: <?xml version=\"1.0\"?><Error><Code>NoSuchBucket</Code><Message>It does not exist</Message></Error>"
                ),
                "NoSuchBucket: It does not exist"
            );
            assert_eq!(of("<Code>SlowDown</Code>"), "SlowDown");
            let refused = of("connection refused");
            assert!(refused.ends_with("connection refused"), "{refused}");
            assert_eq!(refused.matches("connection refused").count(), 1);
        }
    }
}
