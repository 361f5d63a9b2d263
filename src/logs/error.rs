//! What can go wrong with a log stream.

use std::io;
use std::path::PathBuf;

/// An I/O failure, or a position that never was.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("cannot {what} `{path}`")]
    File {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Where events begin, as a client has it.
    #[error("awslogs could not parse multiline pattern key \"{pattern}\"")]
    Pattern {
        pattern: String,
        #[source]
        source: Box<regex::Error>,
    },
    /// A token that this stream never gave out.
    #[error("`{segment}/{offset}` is no position of the log stream")]
    BadPosition { segment: u64, offset: u64 },
}

impl LogError {
    pub(crate) fn file(what: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::File { what, path: path.into(), source }
    }
}
