//! Writes an archive.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cove_base::Timestamp;
use cove_base::paths::DataDir;
use cove_model::registry::{BlobLink, Image, PulledImage};
use sha2::{Digest, Sha256};

use super::{BackupError, END, End, FORMAT, HEAD, Head, Line, entry_of_blob};
use crate::blob;
use crate::key::Prefix;
use crate::migration;
use crate::schema::KINDS;
use crate::table::{Read as _, View};

/// Records are gathered into entries of about this size: what is held in memory.
const RECORDS_BYTES: usize = 1 << 20;

/// Whether the registry's blobs go into a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Images {
    With,
    Without,
}

/// The state of one moment, ready to be written out.
pub struct Backup {
    data: Arc<DataDir>,
    view: View,
    at: Timestamp,
    images: Images,
}

/// What went into an archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    pub records: u64,
    pub blobs: u64,
    /// Blobs that records name and that are not there, or not whole.
    pub bad_blobs: Vec<String>,
}

impl Backup {
    pub(crate) const fn new(data: Arc<DataDir>, view: View, at: Timestamp, images: Images) -> Self {
        Self { data, view, at, images }
    }

    /// Digests of the blobs that will be read: they must stay until the archive is written.
    #[must_use]
    pub fn blobs(&self) -> BTreeSet<String> {
        match self.images {
            Images::With => named_blobs(&self.view),
            Images::Without => BTreeSet::new(),
        }
    }

    /// Writes the archive. Slow: call it where it may block.
    ///
    /// # Errors
    /// When the output, or a file of the data directory, fails.
    pub fn write(&self, out: impl Write) -> Result<Written, BackupError> {
        let mut archive = Archive { tar: tar::Builder::new(out), end: End::default(), at: self.at };
        let head = Head {
            format: FORMAT,
            schema: migration::newest(),
            revision: self.view.revision(),
            at: self.at,
            images: self.images == Images::With,
        };
        archive.add_json(HEAD, &head)?;
        self.add_records(&mut archive)?;
        self.add_keys(&mut archive)?;
        let blobs = self.blobs();
        let mut written = Written::default();
        for digest in &blobs {
            if archive.add_blob(&self.data.blobs(), digest)? {
                written.blobs += 1;
            } else {
                written.bad_blobs.push(digest.clone());
            }
        }
        archive.end.bad_blobs.clone_from(&written.bad_blobs);
        written.records = archive.end.records;
        let end = std::mem::take(&mut archive.end);
        archive.add_json(END, &end)?;
        archive.tar.into_inner().and_then(|mut out| out.flush()).map_err(BackupError::Write)?;
        Ok(written)
    }

    fn add_records<W: Write>(&self, archive: &mut Archive<W>) -> Result<(), BackupError> {
        let mut entry = Vec::new();
        let mut number = 0;
        for kind in KINDS {
            let table = self.view.erased(kind.number);
            let mut line = |key: &crate::key::Key, json: &[u8]| {
                let data = serde_json::from_slice(json)?;
                let line = Line { tree: kind.tree.to_owned(), key: key.as_str().to_owned(), v: kind.version, data };
                serde_json::to_writer(&mut entry, &line)?;
                entry.push(b'\n');
                archive.end.records += 1;
                if entry.len() < RECORDS_BYTES {
                    return Ok(());
                }
                let full = std::mem::take(&mut entry);
                number += 1;
                archive.add(&records_entry(number - 1), &full)
            };
            table.export(&mut line).map_err(BackupError::Write)?;
        }
        if entry.is_empty() {
            return Ok(());
        }
        archive.add(&records_entry(number), &entry).map_err(BackupError::Write)
    }

    fn add_keys<W: Write>(&self, archive: &mut Archive<W>) -> Result<(), BackupError> {
        let directory = self.data.keys();
        for path in plain_files(&directory).map_err(BackupError::file("read", &directory))? {
            let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| !name.starts_with('.'))
            else {
                continue;
            };
            let content = fs::read(&path).map_err(BackupError::file("read", &path))?;
            archive.add(&format!("keys/{name}"), &content).map_err(BackupError::Write)?;
        }
        Ok(())
    }
}

fn records_entry(number: usize) -> String {
    format!("records/{number:06}.jsonl")
}

/// Every blob that some record names.
pub(crate) fn named_blobs(view: &View) -> BTreeSet<String> {
    let all = Prefix::all();
    let mut named = BTreeSet::new();
    for image in view.scan::<Image>(&all) {
        named.insert(image.digest.clone());
        named.extend(image.blobs.iter().cloned());
    }
    named.extend(view.scan::<BlobLink>(&all).iter().map(|link| link.digest.clone()));
    named.extend(view.scan::<PulledImage>(&all).iter().flat_map(|pulled| pulled.blobs.clone()));
    named
}

/// The files of a directory, in the order of their names; none when there is no directory.
fn plain_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// An archive that is being written, and the sums of what is in it.
struct Archive<W: Write> {
    tar: tar::Builder<W>,
    end: End,
    at: Timestamp,
}

impl<W: Write> Archive<W> {
    fn add_json(&mut self, name: &str, value: &impl serde::Serialize) -> Result<(), BackupError> {
        let json = serde_json::to_vec(value).map_err(|error| BackupError::Write(error.into()))?;
        self.add(name, &json).map_err(BackupError::Write)
    }

    fn add(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.end.sums.insert(name.to_owned(), hex::encode(Sha256::digest(content)));
        let header = self.header(name, content.len() as u64)?;
        self.tar.append(&header, content)
    }

    /// Whether the blob is there and whole. A damaged one is in the archive nevertheless, and said to be bad.
    fn add_blob(&mut self, blobs: &Path, digest: &str) -> Result<bool, BackupError> {
        let (Some(name), Some(path)) = (entry_of_blob(digest), blob::path(blobs, digest)) else { return Ok(false) };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(BackupError::file("read", &path)(error)),
        };
        let length = file.metadata().map_err(BackupError::file("read", &path))?.len();
        let header = self.header(&name, length).map_err(BackupError::Write)?;
        let mut file = Summed { inner: file.take(length), sum: Sha256::new(), own: blob::Hasher::of(digest), count: 0 };
        self.tar.append(&header, &mut file).map_err(BackupError::Write)?;
        if file.count != length {
            let short = io::Error::from(io::ErrorKind::UnexpectedEof);
            return Err(BackupError::file("read", &path)(short));
        }
        self.end.sums.insert(name, hex::encode(file.sum.finalize()));
        Ok(file.own.is_some_and(|own| own.finish() == digest))
    }

    fn header(&self, name: &str, length: u64) -> io::Result<tar::Header> {
        let mut header = tar::Header::new_ustar();
        header.set_path(name)?;
        header.set_size(length);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(self.at.millis() / 1000).unwrap_or(0));
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        Ok(header)
    }
}

/// Sums up what is read through it.
struct Summed<R> {
    inner: R,
    sum: Sha256,
    own: Option<blob::Hasher>,
    count: u64,
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.sum.update(&buffer[..count]);
        if let Some(own) = &mut self.own {
            own.update(&buffer[..count]);
        }
        self.count += count as u64;
        Ok(count)
    }
}
