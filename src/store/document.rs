//! Records too large for the database: files named by the SHA-256 of their content.
//!
//! Holds: a document is durable before a record names it, and is removed only after no durable record names it any
//! more. What a crash leaves behind is swept when the store is opened.
//! Why: sled spills a leaf above 128 KiB into files that it never syncs (DESIGN section 3); small values keep leaves small.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use cove_base::files::sync_directory;
use sha2::{Digest, Sha256};

use crate::error::StoreError;

/// The largest record that stands in the database itself: 17 of them, the most a sled leaf holds, stay below 128 KiB.
pub(crate) const RECORD_MAX_BYTES: usize = 4096;

/// The documents on disk, and how many records name each.
pub(crate) struct Documents {
    directory: PathBuf,
    references: HashMap<String, usize>,
    /// Which document a record names, by tree and key.
    named_by: HashMap<(usize, String), String>,
}

/// The digest under which content is kept.
pub(crate) fn digest_of(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}

impl Documents {
    pub(crate) fn open(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), references: HashMap::new(), named_by: HashMap::new() }
    }

    /// The content, checked against its name.
    pub(crate) fn read(&self, digest: &str) -> Result<Vec<u8>, StoreError> {
        let path = self.path(digest);
        let content = fs::read(&path).map_err(StoreError::file("read document", &path))?;
        if digest_of(&content) == digest {
            return Ok(content);
        }
        let damaged = io::Error::new(io::ErrorKind::InvalidData, "content does not match its digest");
        Err(StoreError::file("read document", path)(damaged))
    }

    /// Makes contents durable: each file is synced, then the directory once.
    pub(crate) fn write<'a>(&self, contents: impl Iterator<Item = (&'a str, &'a [u8])>) -> Result<(), StoreError> {
        let mut written = HashSet::new();
        for (digest, content) in contents {
            // A document that a durable record names is durable itself.
            if !self.references.contains_key(digest) && written.insert(digest) {
                let path = self.path(digest);
                write_synced(&path, content).map_err(StoreError::file("write document", path))?;
            }
        }
        if written.is_empty() {
            return Ok(());
        }
        sync_directory(&self.directory).map_err(StoreError::file("sync", &self.directory))
    }

    /// Notes what the record names now. Returns the document that nobody names any more.
    pub(crate) fn note(&mut self, kind: usize, key: &str, digest: Option<&str>) -> Option<String> {
        if digest.is_none() && self.named_by.is_empty() {
            return None;
        }
        if let Some(digest) = digest {
            *self.references.entry(digest.to_owned()).or_default() += 1;
        }
        let name = (kind, key.to_owned());
        let before = match digest {
            Some(digest) => self.named_by.insert(name, digest.to_owned()),
            None => self.named_by.remove(&name),
        }?;
        let count = self.references.get_mut(&before)?;
        *count -= 1;
        if *count > 0 {
            return None;
        }
        self.references.remove(&before);
        Some(before)
    }

    /// Removes a document. A failure is only logged: the next opening sweeps it.
    pub(crate) fn remove(&self, digest: &str) {
        if self.references.contains_key(digest) {
            return;
        }
        if let Err(error) = fs::remove_file(self.path(digest)) {
            tracing::warn!(digest, %error, "cannot remove a document that no record names");
        }
    }

    /// Removes what no record names: leftovers of commits that a crash cut off.
    pub(crate) fn sweep(&self) -> Result<(), StoreError> {
        let failed = |source| StoreError::file("sweep", &self.directory)(source);
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            if name.to_str().is_none_or(|name| !self.references.contains_key(name)) {
                fs::remove_file(entry.path()).map_err(StoreError::file("remove", entry.path()))?;
            }
        }
        Ok(())
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.directory.join(digest)
    }
}

/// No rename is needed: nobody reads a document before the record that names it is durable.
fn write_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}
