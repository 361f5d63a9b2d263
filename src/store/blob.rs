//! The registry's blob files, as far as backups and `fsck` must know them: where they lie and what they hash to.
//!
//! The registry itself lies above the store; both follow the one layout `blobs/ALGORITHM/ab/abcd…`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use cove_model::image::is_digest;
use sha2::{Digest, Sha256, Sha512};

/// How much of a blob is read at once.
const PIECE_BYTES: usize = 256 << 10;

/// Where a blob lies; `None` when the text is no digest.
pub(crate) fn path(blobs: &Path, digest: &str) -> Option<PathBuf> {
    let (algorithm, hex) = digest.split_once(':').filter(|_| is_digest(digest))?;
    Some(blobs.join(algorithm).join(&hex[..2]).join(hex))
}

/// Where damaged blobs are put, below the blob directory; one that is missing since a restore has an empty file there.
pub const BLOBS_ASIDE: &str = "damaged";

/// Where such a blob lies. While it does, whoever brings the blob again has its content on disk before its name: records
/// name it already.
#[must_use]
pub fn blob_aside(blobs: &Path, digest: &str) -> PathBuf {
    blobs.join(BLOBS_ASIDE).join(digest.replacen(':', "-", 1))
}

/// Computes a digest of either algorithm.
pub(crate) enum Hasher {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    /// One of the digest's own algorithm.
    pub(crate) fn of(digest: &str) -> Option<Self> {
        match digest.split_once(':')?.0 {
            "sha256" => Some(Self::Sha256(Sha256::new())),
            "sha512" => Some(Self::Sha512(Sha512::new())),
            _ => None,
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> String {
        match self {
            Self::Sha256(hasher) => format!("sha256:{}", hex::encode(hasher.finalize())),
            Self::Sha512(hasher) => format!("sha512:{}", hex::encode(hasher.finalize())),
        }
    }
}

/// What is wrong with a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Missing,
    Damaged,
}

/// Reads the blob and compares it with its name.
pub(crate) fn check(blobs: &Path, digest: &str) -> io::Result<Option<Fault>> {
    let (Some(path), Some(mut hasher)) = (path(blobs, digest), Hasher::of(digest)) else {
        return Ok(Some(Fault::Missing));
    };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(Fault::Missing)),
        Err(error) => return Err(error),
    };
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    Ok((hasher.finish() != digest).then_some(Fault::Damaged))
}
