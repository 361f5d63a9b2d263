//! The data directory: made, checked and locked before the database in it is opened.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use cove_base::files::sync_directory;
use cove_base::paths::DataDir;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use crate::error::StoreError;
use crate::filesystem;

/// Stands in a data directory from the first write of a restore to its last.
pub(crate) const RESTORE_UNFINISHED: &str = "restore-unfinished";
/// The store's own lock.
pub(crate) const LOCK_FILE: &str = "lock";
/// A process that is being spawned has copies of our descriptors, and with them our locks, until it runs its program.
/// So a lock that was just given back may seem taken for a moment.
pub(crate) const LOCK_PATIENCE: Duration = Duration::from_millis(250);
pub(crate) const LOCK_POLL: Duration = Duration::from_millis(1);

/// Keeps other servers out of the directory for as long as it lives, also against `kill -9`: the kernel drops it.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Makes what is missing and takes the lock. The names are made durable by [`sync_names`], before the first commit is
/// acknowledged: opening does not wait for it.
pub(crate) fn prepare(data: &DataDir) -> Result<Lock, StoreError> {
    let lock = claim(data)?;
    if data.root().join(RESTORE_UNFINISHED).exists() {
        return Err(StoreError::RestoreUnfinished(data.root().to_owned()));
    }
    make_inside(data)?;
    Ok(lock)
}

/// Makes the directory and takes its lock, whatever is in it.
pub(crate) fn claim(data: &DataDir) -> Result<Lock, StoreError> {
    make(data.root())?;
    filesystem::check(data.root())?;
    lock(data.root())
}

/// Makes the directories of database and documents.
pub(crate) fn make_inside(data: &DataDir) -> Result<(), StoreError> {
    for path in [data.database(), data.documents()] {
        if make(&path)? {
            filesystem::avoid_copy_on_write(&path);
        }
    }
    Ok(())
}

/// Whether the directory is new.
fn make(path: &Path) -> Result<bool, StoreError> {
    if path.is_dir() {
        return Ok(false);
    }
    if let Some(parent) = parent(path).filter(|parent| !parent.is_dir()) {
        make(parent)?;
        sync_parent(parent)?;
    }
    DirBuilder::new().mode(0o700).create(path).map_err(StoreError::file("create directory", path))?;
    Ok(true)
}

/// Makes the names of the directories and of sled's files durable.
pub(crate) fn sync_names(data: &DataDir) -> Result<(), StoreError> {
    sync_parent(data.root())?;
    for path in [data.root(), &data.database()] {
        sync_directory(path).map_err(StoreError::file("sync", path))?;
    }
    Ok(())
}

fn sync_parent(path: &Path) -> Result<(), StoreError> {
    let Some(parent) = parent(path) else { return Ok(()) };
    sync_directory(parent).map_err(StoreError::file("sync", parent))
}

/// `None` for the root and for a path relative to the working directory, which exists.
fn parent(path: &Path) -> Option<&Path> {
    path.parent().filter(|parent| !parent.as_os_str().is_empty())
}

fn lock(root: &Path) -> Result<Lock, StoreError> {
    let path = root.join(LOCK_FILE);
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let mut file = opened.map_err(StoreError::file("open", &path))?;
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(LOCK_POLL),
            Err(TryLockError::WouldBlock) => return Err(StoreError::Locked(root.to_owned())),
            Err(TryLockError::Error(error)) => return Err(StoreError::file("lock", &path)(error)),
        }
    }
    // For people who look; nobody relies on it, and a full disk must not keep the server from its reads.
    if let Err(error) = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())) {
        tracing::debug!(%error, "cannot write the process id into the lock file");
    }
    Ok(Lock { _file: file })
}

/// A snapshot that was being written when the power went would keep sled from opening.
pub(crate) fn remove_torn_snapshots(database: &Path) -> Result<(), StoreError> {
    let failed = |source: io::Error| StoreError::file("read", database)(source);
    for entry in fs::read_dir(database).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(entry.path()).map_err(StoreError::file("remove", entry.path()))?;
        }
    }
    Ok(())
}

/// Makes memory and disk agree on a database that is about to be opened: what the disk does not have is written, and
/// after that nothing is read from the page cache that is not on the disk.
///
/// Why: a server killed before its `fdatasync` leaves records that nobody may read before they are durable. And a page
/// whose writing has failed stays in the cache, marked as written: whoever reads it there, and appends behind it, loses
/// all of that with the next power cut.
pub(crate) fn settle(database: &Path) -> Result<(), StoreError> {
    for directory in [database, &database.join("blobs")] {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(StoreError::file("read", directory)(error)),
        };
        for entry in entries {
            let entry = entry.map_err(StoreError::file("read", directory))?;
            if entry.file_type().is_ok_and(|kind| kind.is_file()) {
                settle_file(&entry.path()).map_err(StoreError::file("sync", entry.path()))?;
            }
        }
    }
    Ok(())
}

fn settle_file(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    file.sync_data()?;
    Ok(posix_fadvise(file.as_raw_fd(), 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?)
}
