//! What can go wrong between the store and its callers.

use std::io;
use std::path::PathBuf;

/// One variant per thing that was tried.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("data directory `{0}` is in use by another server; stop that one or choose another --data-dir")]
    Locked(PathBuf),
    #[error("data directory `{path}` is on {kind}, which does not keep what it acknowledges; choose a local disk")]
    NetworkFileSystem { path: PathBuf, kind: &'static str },
    #[error("cannot {what} `{path}`")]
    File {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot {what} the database")]
    Database {
        what: &'static str,
        #[source]
        source: sled::Error,
    },
    #[error("the database in `{path}` is damaged ({why}): restore a backup with `cove restore`")]
    Damaged { path: PathBuf, why: String },
    #[error(
        "the database in `{0}` is empty, yet there are blobs or logs: restore a backup, or move the directory away"
    )]
    Lost(PathBuf),
    #[error("`{0}` holds a restore that did not finish: run `cove restore` again, or remove the directory")]
    RestoreUnfinished(PathBuf),
    #[error("tree `{tree}` holds record `{key}` that this version cannot read; `cove fsck` says more")]
    Decode {
        tree: &'static str,
        key: String,
        #[source]
        source: io::Error,
    },
    #[error(
        "the data was written by a newer version (schema {found}, this one knows {known}); upgrade, or restore a backup"
    )]
    NewerSchema { found: u32, known: u32 },
    #[error("cannot bring the data to schema {number} ({name}); it is unchanged, a copy lies in `{copy}`")]
    Migrate {
        number: u32,
        name: &'static str,
        copy: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot start the store's writer thread")]
    Thread(#[source] io::Error),
    #[error("the store is read-only: {0}")]
    ReadOnly(String),
    #[error("a command failed inside the store: {0}")]
    Panicked(String),
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    pub(crate) fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }

    pub(crate) fn database(what: &'static str) -> impl FnOnce(sled::Error) -> Self {
        move |source| Self::Database { what, source }
    }
}
