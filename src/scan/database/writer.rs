//! Writes a database: entries in order in, blocks out, index and footer at the end.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{DatabaseError, DatabaseInfo};

/// The last character is the format's number.
pub(super) const MAGIC: &[u8; 16] = b"cove-advisories1";
/// Offset and length of the index, then the magic again.
pub(super) const FOOTER_BYTES: u64 = 32;
/// Text of a block before it is compressed: a scan decompresses one at a time.
const BLOCK_BYTES: usize = 256 << 10;
/// Twice as fast to make as the next better, and read just as fast.
const LEVEL: i32 = 9;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Index {
    pub(super) info: DatabaseInfo,
    pub(super) blocks: Vec<Block>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Block {
    pub(super) first: String,
    pub(super) offset: u64,
    pub(super) length: u64,
    /// Uncompressed.
    pub(super) size: u64,
}

pub(super) struct Writer {
    path: PathBuf,
    temporary: PathBuf,
    file: BufWriter<File>,
    offset: u64,
    blocks: Vec<Block>,
    text: Vec<u8>,
    first: String,
    done: bool,
}

impl Writer {
    pub(super) fn new(path: &Path) -> Result<Self, DatabaseError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = path.with_file_name(format!(".{name}.{}.tmp", cove_base::ids::random_hex(4)));
        let fault = |source| DatabaseError::Write { path: path.to_owned(), source };
        let file = File::options().write(true).create_new(true).mode(0o644).open(&temporary).map_err(fault)?;
        let file = BufWriter::new(file);
        let (blocks, text, first, path) = (Vec::new(), Vec::new(), String::new(), path.to_owned());
        let mut writer = Self { path, temporary, file, offset: 0, blocks, text, first, done: false };
        writer.put(MAGIC).map_err(|source| writer.fault(source))?;
        Ok(writer)
    }

    /// Adds an entry, which must not come before the last one.
    pub(super) fn add(&mut self, key: &str, line: &[u8]) -> Result<(), DatabaseError> {
        if self.text.is_empty() {
            key.clone_into(&mut self.first);
        }
        self.text.extend_from_slice(line);
        self.text.push(b'\n');
        if self.text.len() >= BLOCK_BYTES { self.end_block() } else { Ok(()) }
    }

    /// Makes the file durable under its name.
    pub(super) fn finish(mut self, info: DatabaseInfo) -> Result<(), DatabaseError> {
        self.end_block()?;
        let index = Index { info, blocks: std::mem::take(&mut self.blocks) };
        let text = serde_json::to_vec(&index).expect("an index has nothing but texts and numbers");
        let offset = self.offset;
        let ended = compress(&text)
            .and_then(|bytes| self.put(&bytes))
            .and_then(|()| self.put(&offset.to_le_bytes()))
            .and_then(|()| self.put(&(self.offset - 8 - offset).to_le_bytes()))
            .and_then(|()| self.put(MAGIC))
            .and_then(|()| self.file.flush())
            .and_then(|()| self.file.get_ref().sync_all())
            .and_then(|()| fs::rename(&self.temporary, &self.path))
            .and_then(|()| cove_base::files::sync_directory(directory(&self.path)));
        ended.map_err(|source| self.fault(source))?;
        self.done = true;
        Ok(())
    }

    fn end_block(&mut self) -> Result<(), DatabaseError> {
        if self.text.is_empty() {
            return Ok(());
        }
        let (text, first, offset) = (std::mem::take(&mut self.text), std::mem::take(&mut self.first), self.offset);
        let written = compress(&text).and_then(|bytes| self.put(&bytes));
        written.map_err(|source| self.fault(source))?;
        self.blocks.push(Block { first, offset, length: self.offset - offset, size: text.len() as u64 });
        self.text = text;
        self.text.clear();
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.offset += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    fn fault(&self, source: io::Error) -> DatabaseError {
        DatabaseError::Write { path: self.path.clone(), source }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.done {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Where a file lies; a bare name lies here.
pub(super) fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// With a checksum: a flipped bit is an error and no other advisory.
fn compress(text: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.write_all(text)?;
    encoder.finish()
}
