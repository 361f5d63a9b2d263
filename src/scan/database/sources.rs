//! Where records come from: OSV's archives, directories of records, single records.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::Path;

use super::DatabaseError;

/// One record: the largest honest ones, of kernels, are some MiB.
const RECORD_MAX_BYTES: u64 = 16 << 20;
/// Records of one source: OSV's archive of everything has about 300,000.
const RECORDS_MAX: usize = 2_000_000;
/// Text of one source: OSV's archive of everything is about 5 GB.
const SOURCE_MAX_BYTES: u64 = 32 << 30;
/// Directories within directories.
const DEPTH_MAX: usize = 8;

/// Takes a record's name and bytes.
pub(super) type Each<'a> = &'a mut dyn FnMut(&str, &[u8]) -> Result<(), DatabaseError>;

/// Calls `each` for every record of a source, and `too_large` with the name of one that is too large to be one.
pub(super) fn read(path: &Path, each: Each, too_large: &mut dyn FnMut(&str)) -> Result<(), DatabaseError> {
    let mut source = Source { root: path, records: 0, bytes: 0, each, too_large };
    let fault = |source| DatabaseError::Read { path: path.to_owned(), source };
    if fs::metadata(path).map_err(fault)?.is_dir() {
        return source.directory(path, DEPTH_MAX);
    }
    let mut magic = [0; 4];
    let got = File::open(path).and_then(|mut file| file.read(&mut magic)).map_err(fault)?;
    // An archive with entries, or an empty one.
    if matches!(&magic[..got], b"PK\x03\x04" | b"PK\x05\x06") { source.archive() } else { source.file(path) }
}

struct Source<'a> {
    root: &'a Path,
    records: usize,
    bytes: u64,
    each: Each<'a>,
    too_large: &'a mut dyn FnMut(&str),
}

impl Source<'_> {
    fn archive(&mut self) -> Result<(), DatabaseError> {
        let root = self.root;
        let fault = |source| DatabaseError::Archive { path: root.to_owned(), source };
        let file = File::open(root).map_err(|error| fault(error.into()))?;
        let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(fault)?;
        for at in 0..archive.len() {
            // An entry that cannot be read may be an advisory: the archive is refused.
            let mut entry = archive.by_index(at).map_err(fault)?;
            let name = entry.name().map_err(fault)?.into_owned();
            if is_record(&name) {
                self.record(&name, &mut entry)?;
            }
        }
        Ok(())
    }

    fn directory(&mut self, directory: &Path, depth: usize) -> Result<(), DatabaseError> {
        let fault = |source| DatabaseError::Read { path: directory.to_owned(), source };
        let mut entries: Vec<_> = fs::read_dir(directory).map_err(fault)?.collect::<Result<_, _>>().map_err(fault)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            // Links are not followed: a directory may link to itself.
            let (path, kind) = (entry.path(), entry.file_type().map_err(fault)?);
            if kind.is_dir() && depth > 0 {
                self.directory(&path, depth - 1)?;
            } else if kind.is_file() && is_record(&path.to_string_lossy()) {
                self.file(&path)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> Result<(), DatabaseError> {
        let mut file = File::open(path).map_err(|source| DatabaseError::Read { path: path.to_owned(), source })?;
        self.record(&path.to_string_lossy(), &mut file)
    }

    fn record(&mut self, name: &str, reader: &mut dyn Read) -> Result<(), DatabaseError> {
        let mut bytes = Vec::new();
        let read = reader.take(RECORD_MAX_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(|source| DatabaseError::Read { path: self.root.join(name), source })?;
        (self.records, self.bytes) = (self.records + 1, self.bytes + bytes.len() as u64);
        let too_many = (self.records > RECORDS_MAX).then_some("too many records");
        if let Some(what) = too_many.or_else(|| (self.bytes > SOURCE_MAX_BYTES).then_some("too many bytes")) {
            return Err(DatabaseError::TooLarge { path: self.root.to_owned(), what });
        }
        if bytes.len() as u64 > RECORD_MAX_BYTES {
            (self.too_large)(name);
            return Ok(());
        }
        (self.each)(name, &bytes)
    }
}

fn is_record(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "json")
}
