//! Reads an archive that anybody may have made.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{BackupError, END, End, FORMAT, HEAD, Head, blob_of_entry};
use crate::error::StoreError;
use crate::migration;

/// The head is a few numbers.
const HEAD_MAX: u64 = 64 << 10;
/// The sums of half a million blobs.
const END_MAX: u64 = 64 << 20;
/// An entry of records is cut at 1 MiB; the last record may be as large as any request.
const RECORDS_MAX: u64 = 64 << 20;
/// Keys and certificates.
const KEY_MAX: u64 = 1 << 20;

/// An entry, by what it is.
pub(super) enum Entry<'a> {
    Head(&'a Head),
    /// Lines of records.
    Records(&'a [u8]),
    Key {
        name: &'a str,
        content: &'a [u8],
    },
    /// A blob, to be read to its end.
    Blob {
        digest: &'a str,
        content: &'a mut dyn Read,
    },
}

/// What a name promises.
enum Sort {
    Head,
    End,
    Records,
    Key(String),
    Blob(String),
}

/// Reads the whole archive and compares every sum. Nothing is written.
///
/// # Errors
/// What is wrong with it.
pub fn verify(path: &Path) -> Result<(), BackupError> {
    walk(path, &mut |entry| match entry {
        Entry::Blob { content, .. } => io::copy(content, &mut io::sink()).map(drop).map_err(BackupError::Read),
        Entry::Head(_) | Entry::Records(_) | Entry::Key { .. } => Ok(()),
    })
    .map(drop)
}

/// Hands out every entry in order; `visit` must not trust it before the walk has ended well. The archive's end.
pub(super) fn walk(
    path: &Path,
    visit: &mut dyn FnMut(Entry<'_>) -> Result<(), BackupError>,
) -> Result<End, BackupError> {
    let open = |source| BackupError::Open { path: path.to_owned(), source };
    let file = File::open(path).map_err(open)?;
    let mut archive = tar::Archive::new(BufReader::new(file));
    let mut sums = std::collections::BTreeMap::new();
    let mut seen_head = false;
    // Raw: what extends a name or a size is an entry as any other, and foreign.
    let entries = archive.entries().map_err(BackupError::Read)?.raw(true);
    for entry in entries {
        let mut entry = entry.map_err(|error| if seen_head { cut(error) } else { BackupError::NotABackup })?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if !seen_head && name != HEAD {
            return Err(BackupError::NotABackup);
        }
        let foreign = || BackupError::Foreign(name.chars().take(100).collect());
        let sort = sort_of(&name).ok_or_else(foreign)?;
        let twice = sums.contains_key(&name) || (seen_head && name == HEAD);
        if entry.header().entry_type() != tar::EntryType::Regular || twice {
            return Err(foreign());
        }
        let length = entry.header().entry_size().map_err(BackupError::Read)?;
        let sum = match &sort {
            Sort::End => {
                let end: End = json(&whole(&mut entry, length, END_MAX, &name)?)?;
                return if end.sums == sums { Ok(end) } else { Err(difference(&end, &sums)) };
            }
            Sort::Head => {
                let content = whole(&mut entry, length, HEAD_MAX, &name)?;
                visit(Entry::Head(&head(&content)?))?;
                seen_head = true;
                hex::encode(Sha256::digest(content))
            }
            Sort::Records => {
                let content = whole(&mut entry, length, RECORDS_MAX, &name)?;
                visit(Entry::Records(&content))?;
                hex::encode(Sha256::digest(content))
            }
            Sort::Key(key) => {
                let content = whole(&mut entry, length, KEY_MAX, &name)?;
                visit(Entry::Key { name: key, content: &content })?;
                hex::encode(Sha256::digest(content))
            }
            Sort::Blob(digest) => {
                let mut content = Counted { inner: &mut entry, sum: Sha256::new(), count: 0 };
                visit(Entry::Blob { digest, content: &mut content })?;
                if content.count != length {
                    return Err(BackupError::Cut);
                }
                hex::encode(content.sum.finalize())
            }
        };
        sums.insert(name, sum);
    }
    Err(if seen_head { BackupError::Cut } else { BackupError::NotABackup })
}

fn cut(error: io::Error) -> BackupError {
    if error.kind() == io::ErrorKind::UnexpectedEof { BackupError::Cut } else { BackupError::Read(error) }
}

/// `None` for a name that no backup has: nothing here can leave the directory it is meant for.
fn sort_of(name: &str) -> Option<Sort> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    match name {
        HEAD => Some(Sort::Head),
        END => Some(Sort::End),
        _ => {
            if let Some(key) = name.strip_prefix("keys/") {
                let good = key.len() <= 64 && !key.starts_with('.') && !key.is_empty() && key.bytes().all(plain);
                return good.then(|| Sort::Key(key.to_owned()));
            }
            if let Some(number) = name.strip_prefix("records/").and_then(|rest| rest.strip_suffix(".jsonl")) {
                return (number.len() >= 6 && number.bytes().all(|b| b.is_ascii_digit())).then_some(Sort::Records);
            }
            blob_of_entry(name).map(Sort::Blob)
        }
    }
}

fn whole(entry: &mut impl Read, length: u64, limit: u64, name: &str) -> Result<Vec<u8>, BackupError> {
    if length > limit {
        return Err(BackupError::Foreign(name.to_owned()));
    }
    let mut content = Vec::new();
    entry.take(limit).read_to_end(&mut content).map_err(cut)?;
    if content.len() as u64 == length { Ok(content) } else { Err(BackupError::Cut) }
}

fn json<T: serde::de::DeserializeOwned>(content: &[u8]) -> Result<T, BackupError> {
    serde_json::from_slice(content).map_err(|error| BackupError::Read(error.into()))
}

fn head(content: &[u8]) -> Result<Head, BackupError> {
    // The format first: it explains why the rest of a newer one does not parse.
    let format = json::<serde_json::Value>(content).ok().and_then(|head| head["format"].as_u64());
    let found = format.and_then(|format| u32::try_from(format).ok()).ok_or(BackupError::NotABackup)?;
    if found > FORMAT {
        return Err(BackupError::NewerFormat { found });
    }
    let head: Head = json(content)?;
    let known = migration::newest();
    if head.schema > known {
        return Err(StoreError::NewerSchema { found: head.schema, known }.into());
    }
    Ok(head)
}

fn difference(end: &End, sums: &std::collections::BTreeMap<String, String>) -> BackupError {
    let differs = |(name, sum): &(&String, &String)| sums.get(*name) != Some(sum);
    let named = end.sums.iter().find(differs).map(|(name, _)| name);
    let added = sums.keys().find(|name| !end.sums.contains_key(*name));
    BackupError::Damaged(named.or(added).cloned().unwrap_or_else(|| END.to_owned()))
}

/// Sums up what is read through it.
struct Counted<'a, R> {
    inner: &'a mut R,
    sum: Sha256,
    count: u64,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.sum.update(&buffer[..count]);
        self.count += count as u64;
        Ok(count)
    }
}
