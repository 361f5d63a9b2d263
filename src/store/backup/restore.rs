//! Makes a data directory from an archive.
//!
//! ```text
//! verify the whole archive ▸ empty directory, lock ▸ mark ▸ records, keys, blobs ▸ open as a server would ▸ unmark
//! ```
//!
//! Holds: while the mark is there no server opens the directory, and the next restore into it begins anew. So a crash
//! in the middle leaves nothing that could be taken for the whole.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use cove_base::files::{sync_directory, write_durably};
use cove_base::paths::DataDir;

use super::read::{Entry, verify, walk};
use super::{BackupError, Line, named_blobs};
use crate::blob::{self, BLOBS_ASIDE, blob_aside};
use crate::database::{Database, Durability, sled_config};
use crate::directory::{LOCK_FILE, RESTORE_UNFINISHED, claim, make_inside, settle, sync_names};
use crate::document::{Documents, RECORD_MAX_BYTES, digest_of};
use crate::error::StoreError;
use crate::migration::{SCHEMA_KEY, open_sled};
use crate::record::{envelope, envelope_of_document};
use crate::table::View;

/// What an empty data directory may hold: locks, and what `mkfs` makes.
const NOTHING: [&str; 4] = [LOCK_FILE, "server.lock", "lost+found", RESTORE_UNFINISHED];

/// What was restored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    pub records: u64,
    pub blobs: u64,
    /// Blobs that were missing or damaged when the backup was made, and are missing now.
    pub bad_blobs: Vec<String>,
    pub images: bool,
}

/// Restores into an empty directory, which is made when it is not there.
///
/// # Errors
/// When the archive is not whole (nothing is touched then), the directory is not empty or in use, or cannot be written.
pub fn restore(archive: &Path, data: &DataDir) -> Result<Restored, BackupError> {
    verify(archive)?;
    let _lock = claim(data)?;
    make_empty(data)?;
    let mark = data.root().join(RESTORE_UNFINISHED);
    let marked = File::create(&mark).and_then(|file| file.sync_all()).and_then(|()| sync_directory(data.root()));
    marked.map_err(BackupError::file("write", &mark))?;
    let restored = fill(archive, data)?;
    // What a server does when it starts, migrations included: a backup that does not open is no backup.
    let (database, view) = Database::open(data, Durability::Synced)?;
    note_missing(&data.blobs(), &view)?;
    drop(database);
    settle(&data.database())?;
    sync_names(data)?;
    fs::remove_file(&mark).map_err(BackupError::file("remove", &mark))?;
    sync_directory(data.root()).map_err(BackupError::file("sync", data.root()))?;
    Ok(restored)
}

/// Removes what an earlier restore left half done; anything else is somebody's.
fn make_empty(data: &DataDir) -> Result<(), BackupError> {
    let root = data.root();
    if root.join(RESTORE_UNFINISHED).exists() {
        for path in [data.database(), data.documents(), data.keys(), data.blobs()] {
            match fs::remove_dir_all(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(BackupError::file("remove", path)(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
    }
    for entry in fs::read_dir(root).map_err(BackupError::file("read", root))? {
        let name = entry.map_err(BackupError::file("read", root))?.file_name();
        if !NOTHING.iter().any(|known| name == *known) {
            let found = name.to_string_lossy().into_owned();
            return Err(BackupError::NotEmpty { path: root.to_owned(), found });
        }
    }
    Ok(())
}

fn fill(archive: &Path, data: &DataDir) -> Result<Restored, BackupError> {
    make_inside(data)?;
    let db = open_sled(&sled_config(&data.database()))?;
    let documents = Documents::open(&data.documents());
    let mut restored = Restored::default();
    let mut revision = 0;
    let end = walk(archive, &mut |entry| match entry {
        Entry::Head(head) => {
            (revision, restored.images) = (head.revision, head.images);
            let schema = db.insert(SCHEMA_KEY, head.schema.to_string().as_bytes());
            Ok(schema.map(drop).map_err(StoreError::database("write to"))?)
        }
        Entry::Records(lines) => {
            restored.records += put(&db, &documents, lines, revision)?;
            Ok(())
        }
        Entry::Key { name, content } => write_key(&data.keys(), name, content),
        Entry::Blob { digest, content } => {
            restored.blobs += u64::from(write_blob(&data.blobs(), digest, content)?);
            Ok(())
        }
    })?;
    db.flush().map_err(StoreError::database("write to"))?;
    restored.bad_blobs = end.bad_blobs;
    Ok(restored)
}

/// Puts lines into their trees; how many.
fn put(db: &sled::Db, documents: &Documents, lines: &[u8], revision: u64) -> Result<u64, BackupError> {
    let mut count = 0;
    let mut large = Vec::new();
    for line in lines.lines() {
        let line: Line =
            serde_json::from_str(&line.map_err(BackupError::Read)?).map_err(|e| BackupError::Read(e.into()))?;
        // Any name of a tree that some version has had; what is no record of ours does not open later.
        if line.tree.is_empty() || !line.tree.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
            return Err(BackupError::Foreign(line.tree.chars().take(100).collect()));
        }
        let json = serde_json::to_vec(&line.data).map_err(|error| BackupError::Read(error.into()))?;
        let value = if json.len() <= RECORD_MAX_BYTES {
            envelope(line.v, revision, &json)
        } else {
            let digest = digest_of(&json);
            let value = envelope_of_document(line.v, revision, &digest);
            large.push((digest, json));
            value
        };
        let tree = db.open_tree(&line.tree).map_err(StoreError::database("write to"))?;
        tree.insert(line.key.as_bytes(), value).map_err(StoreError::database("write to"))?;
        count += 1;
    }
    documents.write(large.iter().map(|(digest, json)| (digest.as_str(), json.as_slice())))?;
    Ok(count)
}

fn write_key(directory: &Path, name: &str, content: &[u8]) -> Result<(), BackupError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(BackupError::file("create", directory))?;
    let path = directory.join(name);
    write_durably(&path, content, 0o600).map_err(BackupError::file("write", path))
}

/// Notes which blobs records name that are not there.
fn note_missing(blobs: &Path, view: &View) -> Result<(), BackupError> {
    let is_missing = |digest: &String| blob::path(blobs, digest).is_none_or(|path| !path.exists());
    let missing: Vec<String> = named_blobs(view).into_iter().filter(is_missing).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let directory = blobs.join(BLOBS_ASIDE);
    let made = fs::create_dir_all(&directory)
        .and_then(|()| missing.iter().try_for_each(|digest| File::create(blob_aside(blobs, digest)).map(drop)))
        .and_then(|()| [&directory, blobs].into_iter().try_for_each(sync_directory));
    made.map_err(BackupError::file("write", &directory))
}

/// Whether the blob is what its name says; if not it is left out.
fn write_blob(blobs: &Path, digest: &str, content: &mut dyn Read) -> Result<bool, BackupError> {
    let (Some(path), Some(mut hasher)) = (blob::path(blobs, digest), blob::Hasher::of(digest)) else {
        return Ok(false);
    };
    let directory = path.parent().unwrap_or(blobs);
    fs::create_dir_all(directory).map_err(BackupError::file("create", directory))?;
    let failed = |source| BackupError::file("write", &path)(source);
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&path);
    let mut file: File = opened.map_err(failed)?;
    let mut buffer = vec![0; 256 << 10];
    loop {
        match content.read(&mut buffer).map_err(BackupError::Read)? {
            0 => break,
            count => {
                hasher.update(&buffer[..count]);
                file.write_all(&buffer[..count]).map_err(failed)?;
            }
        }
    }
    if hasher.finish() != digest {
        fs::remove_file(&path).map_err(BackupError::file("remove", &path))?;
        return Ok(false);
    }
    file.sync_all().map_err(failed)?;
    for level in [Some(directory), directory.parent(), Some(blobs)].into_iter().flatten() {
        sync_directory(level).map_err(BackupError::file("sync", level))?;
    }
    Ok(true)
}
