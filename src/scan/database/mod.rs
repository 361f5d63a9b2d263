//! Advisories on disk, made for scans: a scan reads the blocks that name its packages and no more.
//!
//! ```text
//! file  = MAGIC, block…, index, footer      block = zstd (with checksum) of JSON lines, each an Entry, in order of their keys
//! index = zstd of JSON: Info and where each block begins, with its first key
//! ```
//!
//! Holds: a file appears whole by a rename or not at all; a file of another format, cut short or damaged is refused, never
//! read as fewer advisories. An import replaces what earlier imports brought of the same ecosystems and keeps the rest.
//! Memory is bounded in both directions, whatever the number of advisories.
//! Why own: a key-value store would write as much again and keep its cache; these files are written rarely and whole.

mod file;
mod import;
mod runs;
mod sources;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use cove_base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::osv::{Advisory, Statement};

pub use file::Database;
pub use import::{Imported, import};

/// What a database holds, and from when.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseInfo {
    /// By ecosystem without release.
    pub ecosystems: BTreeMap<String, EcosystemInfo>,
}

/// What was imported of one ecosystem.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EcosystemInfo {
    /// Advisories by package: one that names two packages counts twice.
    pub advisories: u64,
    pub imported_at: Timestamp,
    /// `modified` of the newest advisory: how old the data itself is. RFC 3339.
    pub newest: String,
}

impl DatabaseInfo {
    /// All advisories.
    #[must_use]
    pub fn advisories(&self) -> u64 {
        self.ecosystems.values().map(|ecosystem| ecosystem.advisories).sum()
    }

    /// When the longest unrenewed ecosystem was imported; nothing of an empty database.
    #[must_use]
    pub fn oldest_import(&self) -> Option<Timestamp> {
        self.ecosystems.values().map(|ecosystem| ecosystem.imported_at).min()
    }
}

/// Why a database cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("cannot read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{0} is no database of advisories")]
    Foreign(PathBuf),
    #[error("{0} is a database of advisories of another version of Cove; import the advisories again")]
    Version(PathBuf),
    #[error("{0} is damaged; import the advisories again")]
    Damaged(PathBuf),
    #[error("cannot read the archive {path}")]
    Archive {
        path: PathBuf,
        #[source]
        source: zip::result::ZipError,
    },
    #[error("{path} is larger than an import may be ({what})")]
    TooLarge { path: PathBuf, what: &'static str },
    #[error("{0} holds no advisory of a package")]
    Empty(PathBuf),
}

/// One advisory of one package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    key: String,
    advisory: Advisory,
    statement: Statement,
}

/// Ecosystem without release, then package: so that one look finds all releases.
pub(crate) fn key(ecosystem: &str, package: &str) -> String {
    let base = base(ecosystem);
    format!("{base}\0{}", crate::osv::package_key(ecosystem, package))
}

fn base(ecosystem: &str) -> &str {
    ecosystem.split(':').next().unwrap_or_default()
}
