//! What can go wrong with a root filesystem.

use std::io;
use std::path::PathBuf;

/// Anything from a bad archive to a full disk.
#[derive(Debug, thiserror::Error)]
pub enum RootfsError {
    #[error("cannot {what} `{path}`")]
    File {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The archive breaks a rule; `entry` is the name as it stands there.
    #[error("layer entry `{entry}` is refused: {why}")]
    Hostile { entry: String, why: &'static str },
    #[error("cannot write layer entry `{entry}`")]
    Entry {
        entry: String,
        #[source]
        source: io::Error,
    },
    #[error("layer archive is damaged: {why}")]
    Damaged { why: &'static str },
    #[error("cannot read layer blob")]
    Blob(#[source] io::Error),
    #[error("layer exceeds {limit} of {value}")]
    Limit { limit: &'static str, value: u64 },
    #[error(
        "failed to register layer: the layer store is full: unpacked layers may take {max_mib} MiB (layer_store_max_mib), \
         and tasks use those that are there"
    )]
    Full { max_mib: u64 },
    #[error("layer has digest `{got}` and not `{wanted}`")]
    Digest { wanted: String, got: String },
    #[error("layer media type `{0}` is not supported")]
    MediaType(String),
    #[error("`{0}` cannot be part of a path here")]
    BadName(String),
    #[error("cannot mount `{target}` with options `{options}`")]
    Mount {
        target: PathBuf,
        options: String,
        #[source]
        source: io::Error,
    },
    /// In the words that Docker users know.
    #[error("unable to find user {0}: no matching entries in passwd file")]
    NoSuchUser(String),
    #[error("unable to find group {0}: no matching entries in group file")]
    NoSuchGroup(String),
    #[error("user or group id `{0}` is not between 0 and 2147483647")]
    IdOutOfRange(String),
    #[error("`{path}` is longer than {limit} bytes or not a regular file")]
    NotReadable { path: PathBuf, limit: u64 },
    #[error("{} things could not be removed, the first: {first}", .count)]
    Removal { count: usize, first: Box<RootfsError> },
}

impl RootfsError {
    pub(super) fn file(what: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::File { what, path: path.into(), source }
    }
}

/// Of a name in a message: an archive may have one of a megabyte, or one that steers a terminal.
const SHOWN_BYTES_MAX: usize = 200;

/// A name as it may stand in a message.
pub(super) fn shown(name: &[u8]) -> String {
    let (head, tail) = name.split_at(name.len().min(SHOWN_BYTES_MAX));
    let mut text = String::new();
    for letter in String::from_utf8_lossy(head).chars() {
        if letter.is_control() { text.extend(letter.escape_default()) } else { text.push(letter) }
    }
    if !tail.is_empty() {
        text.push('…');
    }
    text
}

pub(super) type Result<T> = std::result::Result<T, RootfsError>;
