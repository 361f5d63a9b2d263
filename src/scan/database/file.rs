//! Reads a database.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::writer::{FOOTER_BYTES, Index, MAGIC};
use super::{DatabaseError, DatabaseInfo, Entry};
use crate::osv::{Advisory, Statement};

/// A block that is larger was not written by us: one entry is at most a record.
const BLOCK_MAX_BYTES: u64 = 64 << 20;
/// Some ten thousand blocks.
const INDEX_MAX_BYTES: u64 = 64 << 20;

/// An opened database.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    file: File,
    index: Index,
}

impl Database {
    /// Opens a database and reads its index.
    ///
    /// # Errors
    /// When there is none, it is of another format or damaged.
    pub fn open(path: &Path) -> Result<Self, DatabaseError> {
        let fault = |source| DatabaseError::Read { path: path.to_owned(), source };
        let damaged = || DatabaseError::Damaged(path.to_owned());
        let file = File::open(path).map_err(fault)?;
        let length = file.metadata().map_err(fault)?.len();
        let mut magic = [0; MAGIC.len()];
        let name = MAGIC.len() - 1;
        if file.read_exact_at(&mut magic, 0).is_err() || magic[..name] != MAGIC[..name] {
            return Err(DatabaseError::Foreign(path.to_owned()));
        }
        if magic != *MAGIC {
            return Err(DatabaseError::Version(path.to_owned()));
        }
        let at = length.checked_sub(FOOTER_BYTES).ok_or_else(damaged)?;
        let mut footer = [0; FOOTER_BYTES as usize];
        file.read_exact_at(&mut footer, at).map_err(fault)?;
        let number = |at: usize| u64::from_le_bytes(footer[at..at + 8].try_into().unwrap_or_default());
        let (offset, size) = (number(0), number(8));
        if footer[16..] != *MAGIC || offset.checked_add(size) != Some(at) {
            return Err(damaged());
        }
        let text = decompress(&file, offset, size, INDEX_MAX_BYTES).ok_or_else(damaged)?;
        let index = serde_json::from_slice(&text).map_err(|_| damaged())?;
        Ok(Self { path: path.to_owned(), file, index })
    }

    /// What it holds, and from when.
    #[must_use]
    pub fn info(&self) -> &DatabaseInfo {
        &self.index.info
    }

    /// Calls `each` with every advisory of the packages whose keys are asked for; `keys` are in order, none twice.
    pub(crate) fn read(
        &self,
        keys: &[String],
        mut each: impl FnMut(&str, Advisory, Statement),
    ) -> Result<(), DatabaseError> {
        let mut last = None;
        let mut entries: Vec<Entry> = Vec::new();
        for key in keys {
            // The block before the first that begins behind: entries of one key may begin in it.
            let begin =
                self.index.blocks.partition_point(|block| block.first.as_str() < key.as_str()).saturating_sub(1);
            for number in begin..self.index.blocks.len() {
                if self.index.blocks[number].first.as_str() > key.as_str() {
                    break;
                }
                if last != Some(number) {
                    entries = self.block(number)?;
                    last = Some(number);
                }
                let from = entries.partition_point(|entry| entry.key.as_str() < key.as_str());
                for entry in entries[from..].iter().take_while(|entry| entry.key == *key) {
                    each(key, entry.advisory.clone(), entry.statement.clone());
                }
            }
        }
        Ok(())
    }

    pub(super) fn blocks(&self) -> usize {
        self.index.blocks.len()
    }

    /// The lines of one block.
    pub(super) fn text(&self, number: usize) -> Result<Vec<u8>, DatabaseError> {
        let damaged = || DatabaseError::Damaged(self.path.clone());
        let block = self.index.blocks.get(number).ok_or_else(damaged)?;
        let text = decompress(&self.file, block.offset, block.length, BLOCK_MAX_BYTES).ok_or_else(damaged)?;
        if text.len() as u64 == block.size { Ok(text) } else { Err(damaged()) }
    }

    fn block(&self, number: usize) -> Result<Vec<Entry>, DatabaseError> {
        let text = self.text(number)?;
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let entries: Result<Vec<Entry>, _> = lines.map(serde_json::from_slice).collect();
        entries.map_err(|_| DatabaseError::Damaged(self.path.clone()))
    }
}

fn decompress(file: &File, offset: u64, length: u64, max: u64) -> Option<Vec<u8>> {
    if length > max {
        return None;
    }
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    file.read_exact_at(&mut bytes, offset).ok()?;
    let mut text = Vec::new();
    zstd::Decoder::new(&bytes[..]).ok()?.take(max + 1).read_to_end(&mut text).ok()?;
    (text.len() as u64 <= max).then_some(text)
}
