//! Backups: one file with every record, the keys, and on request the registry's blobs.
//!
//! ```text
//! cove-backup.json          format, schema, revision
//! records/000000.jsonl …    one record a line: {"tree", "key", "v", "data"}
//! keys/NAME …               secrets of the node: a backup is one as well
//! blobs/sha256/HEX …        with images only; a longer digest is split every 64 digits
//! end.json                  SHA-256 of every entry before it; what was missing
//! ```
//!
//! It is a plain tar archive, so that a person can look into it. [`Backup::write`] makes it from one published state,
//! while the store goes on; [`verify`] reads a whole archive; [`restore`] makes a data directory of it.
//!
//! Holds: an archive without its end, or with an entry that does not match its sum, is refused before anything is
//! touched. An archive is hostile: only the names above are taken, only as plain files, and only up to a size.
//! Absent on purpose: container logs, snapshots (made anew from blobs), unfinished uploads, the event log.

mod read;
mod restore;
mod write;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use cove_base::Timestamp;
use serde::{Deserialize, Serialize};

pub use read::verify;
pub use restore::{Restored, restore};
pub(crate) use write::named_blobs;
pub use write::{Backup, Images, Written};

use crate::error::StoreError;

/// The form of the archive. A reader takes its own and older ones.
const FORMAT: u32 = 1;
const HEAD: &str = "cove-backup.json";
const END: &str = "end.json";

/// The first entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    format: u32,
    /// The schema of the records, see [`crate::migration`].
    schema: u32,
    revision: u64,
    at: Timestamp,
    images: bool,
}

/// The last entry.
#[derive(Debug, Default, Serialize, Deserialize)]
struct End {
    records: u64,
    /// SHA-256 in hex by entry.
    sums: BTreeMap<String, String>,
    /// Blobs that records name and that were not there, or not whole, when the backup was made.
    bad_blobs: Vec<String>,
}

/// One record.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    tree: String,
    key: String,
    v: u32,
    data: serde_json::Value,
}

/// Why there is no backup, or none that can be restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("cannot write the backup")]
    Write(#[source] io::Error),
    #[error("cannot read the backup `{path}`")]
    Open {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the backup cannot be read to its end")]
    Read(#[source] io::Error),
    #[error("this is no backup of Cove")]
    NotABackup,
    #[error("the backup has format {found}, this version reads up to {FORMAT}: use a newer version of Cove")]
    NewerFormat { found: u32 },
    #[error("the backup ends early: it was cut off while it was written or copied")]
    Cut,
    #[error("the backup is damaged: entry `{0}` does not match its checksum")]
    Damaged(String),
    #[error("the backup holds `{0}`, which no backup has; nothing was restored")]
    Foreign(String),
    #[error("`{path}` holds `{found}`: a backup is only restored into an empty directory")]
    NotEmpty { path: PathBuf, found: String },
    #[error("cannot {what} `{path}`")]
    File {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the records of the backup cannot be used")]
    Store(#[from] StoreError),
}

impl BackupError {
    fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }
}

/// Where a blob stands in the archive: names of tar entries are short.
fn entry_of_blob(digest: &str) -> Option<String> {
    let (algorithm, hex) = digest.split_once(':').filter(|_| cove_model::image::is_digest(digest))?;
    let parts: Vec<&str> =
        hex.as_bytes().chunks(64).map(|part| std::str::from_utf8(part).unwrap_or_default()).collect();
    Some(format!("blobs/{algorithm}/{}", parts.join("/")))
}

/// The digest of such an entry.
fn blob_of_entry(name: &str) -> Option<String> {
    let (algorithm, hex) = name.strip_prefix("blobs/")?.split_once('/')?;
    let digest = format!("{algorithm}:{}", hex.replace('/', ""));
    (entry_of_blob(&digest).as_deref() == Some(name)).then_some(digest)
}
