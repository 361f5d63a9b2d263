//! Blobs as files: `blobs/ALGORITHM/ab/abcd…`, one copy whatever the number of repositories.
//!
//! In: temporary files with their digest. Out: paths.
//!
//! Holds: a file under its digest's name is whole, and on disk, with its name and its directories' names, before anyone is
//! told of it. A power cut may leave a part under a name that nobody was told of: where a record may name it already, the
//! content is on disk before the name. A pinned blob is not swept.
//!
//! Why pins: between "the file is in place" and "its membership is in the store" the sweeper must not take it. Pinning
//! and the sweeper's last look share one lock, so one of the two comes first. Pins live in RAM: after a crash there is
//! no push under way that they could protect.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::digest::{Algorithm, Digest};
use crate::disk;
use crate::room::Room;
use cove_base::crash::{self, Point};
use cove_store::{BLOBS_ASIDE, blob_aside};

/// The blob directory.
#[derive(Debug, Clone)]
pub struct BlobFiles {
    root: PathBuf,
    temporary: PathBuf,
    pins: Arc<Mutex<HashMap<Digest, usize>>>,
    /// Directories whose own names are on disk: 512 of blobs at most, and those above.
    durable: Arc<Mutex<HashSet<PathBuf>>>,
    pub(crate) room: Arc<Room>,
}

/// What became of a damaged file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SetAside {
    Done,
    /// Somebody put another file there.
    Replaced,
    /// Somebody may be about to.
    InUse,
}

/// Keeps one blob from being swept while it lives.
#[derive(Debug)]
pub struct Pin {
    digest: Digest,
    pins: Arc<Mutex<HashMap<Digest, usize>>>,
}

impl BlobFiles {
    /// Makes the directories.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn open(root: PathBuf, temporary: PathBuf) -> io::Result<Self> {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            fs::create_dir_all(root.join(algorithm.name()))?;
        }
        fs::create_dir_all(root.join(BLOBS_ASIDE))?;
        fs::create_dir_all(&temporary)?;
        let room = Arc::new(Room::new(vec![root.clone(), temporary.clone()]));
        Ok(Self { root, temporary, pins: Arc::default(), durable: Arc::default(), room })
    }

    /// Where the blob lies, or would lie.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.root.join(digest.algorithm().name()).join(&digest.hex()[..2]).join(digest.hex())
    }

    /// A file for bytes that have no digest yet, in the same file system.
    #[must_use]
    pub fn temporary(&self, name: &str) -> PathBuf {
        self.temporary.join(name)
    }

    /// The directory of temporary files.
    #[must_use]
    pub fn temporary_directory(&self) -> &Path {
        &self.temporary
    }

    /// The size of a blob that is there.
    #[must_use]
    pub fn size(&self, digest: &Digest) -> Option<u64> {
        fs::metadata(self.path(digest)).ok().map(|meta| meta.len())
    }

    /// Keeps the blob from being swept until the pin is dropped.
    #[must_use]
    pub fn pin(&self, digest: &Digest) -> Pin {
        *self.lock().entry(digest.clone()).or_insert(0) += 1;
        Pin { digest: digest.clone(), pins: Arc::clone(&self.pins) }
    }

    /// Moves a complete temporary file under its digest. The caller holds a pin and has checked the digest.
    ///
    /// Where nothing stands, the name comes before the content is on disk: nobody is told of it before both are, and a
    /// journal takes the content, the name and a new directory in one commit. What replaces a copy, or comes where a
    /// damaged one was, is on disk before: a record may name it.
    ///
    /// # Errors
    /// Whatever the file system says; the temporary file may remain.
    pub fn adopt(&self, file: &File, temporary: &Path, digest: &Digest) -> io::Result<PathBuf> {
        let target = self.path(digest);
        let directory = target.parent().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        disk::make_directory(directory)?;
        let was_damaged = self.aside(digest).exists();
        if !was_damaged && disk::place(temporary, &target)? {
            disk::sync(file, &target)?;
        } else {
            // The content is the same, and a damaged one is healed. Others may rely on the name already.
            disk::sync(file, temporary)?;
            self.room.free(|| {
                let replaced = fs::metadata(&target).map_or(0, |about| about.len());
                disk::replace(temporary, &target).map(|()| replaced)
            })?;
        }
        disk::sync_names(directory)?;
        self.sync_names_above(directory)?;
        crash::at(Point::BlobPlaced);
        if was_damaged {
            let aside = self.aside(digest);
            let healed = self.room.free(|| {
                let bytes = fs::metadata(&aside)?.len();
                disk::remove(&aside).map(|()| bytes)
            });
            if healed.is_ok() {
                tracing::info!(%digest, "a damaged blob is healed");
            }
        }
        Ok(target)
    }

    /// The names of a directory and of those above, up to the blob directory's own. Once per directory and life of the
    /// server: another thread, or a server before, may have made it and not synced it yet.
    fn sync_names_above(&self, directory: &Path) -> io::Result<()> {
        let lock = || self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        for directory in directory.ancestors().take_while(|directory| directory.starts_with(&self.root)) {
            if !lock().contains(directory) {
                disk::sync_names(directory.parent().unwrap_or(directory))?;
                lock().insert(directory.to_owned());
            }
        }
        Ok(())
    }

    /// Writes a small blob, such as a manifest, if there is room for it. The caller holds a pin.
    ///
    /// # Errors
    /// Whatever the file system says; nothing remains then.
    pub fn write(&self, digest: &Digest, bytes: &[u8]) -> io::Result<PathBuf> {
        let temporary = self.temporary(&format!("{}.blob", cove_base::ids::random_hex(8)));
        self.room.take(bytes.len() as u64)?;
        let file = disk::write_new(&temporary, bytes).inspect_err(|_| {
            let _ = fs::remove_file(&temporary);
            let _ = self.room.free(|| Ok(bytes.len() as u64));
        })?;
        let adopted = self.adopt(&file, &temporary, digest);
        if adopted.is_err() {
            let _ = self.room.remove(&temporary);
        }
        adopted
    }

    /// Removes the candidates that are neither pinned nor alive. `alive` is asked once, under the lock that pins take,
    /// so what it says cannot be overtaken by a push. Answers how many files and bytes went.
    pub(crate) fn sweep(&self, candidates: &[Digest], alive: impl FnOnce(&[Digest]) -> Vec<bool>) -> (u64, u64) {
        let pins = self.lock();
        let (mut files, mut bytes) = (0, 0);
        for (digest, alive) in candidates.iter().zip(alive(candidates)) {
            if alive || pins.contains_key(digest) {
                continue;
            }
            match self.room.remove(&self.path(digest)) {
                Ok(size) => {
                    files += 1;
                    bytes += size;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => tracing::warn!(%digest, %error, "could not remove an unused blob"),
            }
        }
        (files, bytes)
    }

    fn aside(&self, digest: &Digest) -> PathBuf {
        blob_aside(&self.root, digest.as_str())
    }

    /// Takes a damaged file away from its name, unless it is another file by now or a push is about to replace it.
    pub(crate) fn set_aside(&self, digest: &Digest, inode: u64) -> io::Result<SetAside> {
        let pins = self.lock();
        if pins.contains_key(digest) {
            return Ok(SetAside::InUse);
        }
        let path = self.path(digest);
        if !fs::metadata(&path).is_ok_and(|about| about.ino() == inode) {
            return Ok(SetAside::Replaced);
        }
        fs::rename(&path, self.aside(digest))?;
        Ok(SetAside::Done)
    }

    /// Removes what was set aside and nobody names any more.
    pub(crate) fn sweep_aside(&self, alive: impl Fn(&str) -> bool) {
        for file in entries(&self.root.join(BLOBS_ASIDE)) {
            let digest = file.file_name().to_string_lossy().replacen('-', ":", 1);
            if !alive(&digest)
                && let Err(error) = self.room.remove(&file.path())
            {
                tracing::warn!(%digest, %error, "could not remove a damaged blob");
            }
        }
    }

    /// Every blob file with its age in milliseconds, by the file's own time.
    pub(crate) fn list(&self, now: std::time::SystemTime) -> Vec<(Digest, u64)> {
        let mut found = Vec::new();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            for directory in entries(&self.root.join(algorithm.name())) {
                for file in entries(&directory.path()) {
                    let name = file.file_name();
                    let Some(digest) = Digest::parse(&format!("{}:{}", algorithm.name(), name.to_string_lossy()))
                    else {
                        continue;
                    };
                    found.push((digest, age_millis(&file, now)));
                }
            }
        }
        found
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, usize>> {
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a file that should be small, whatever size somebody's descriptor gives it.
pub(crate) fn read_small(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    if file.metadata()?.len() > bytes_max {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(crate) fn entries(directory: &Path) -> impl Iterator<Item = fs::DirEntry> {
    fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok)
}

/// A file whose time lies in the future is new.
pub(crate) fn age_millis(file: &fs::DirEntry, now: std::time::SystemTime) -> u64 {
    let modified = file.metadata().and_then(|meta| meta.modified()).unwrap_or(now);
    now.duration_since(modified).map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = pins.get_mut(&self.digest) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&self.digest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> (tempfile::TempDir, BlobFiles) {
        let directory = tempfile::tempdir().expect("a directory");
        let files = BlobFiles::open(directory.path().join("blobs"), directory.path().join("uploads")).expect("open");
        (directory, files)
    }

    #[test]
    fn a_written_blob_lies_under_its_digest_and_leaves_no_temporary() {
        let (_guard, files) = files();
        let digest = Digest::of(b"x");
        let path = files.write(&digest, b"x").expect("write");
        assert_eq!(fs::read(path).expect("read"), b"x");
        assert_eq!(entries(files.temporary_directory()).count(), 0);
        assert_eq!(files.size(&digest), Some(1));
    }

    #[test]
    fn a_pinned_blob_is_not_swept_until_the_pin_goes() {
        let (_guard, files) = files();
        let digest = Digest::of(b"x");
        let pin = files.pin(&digest);
        files.write(&digest, b"x").expect("write");
        let dead = |of: &[Digest]| vec![false; of.len()];
        assert_eq!(files.sweep(std::slice::from_ref(&digest), dead), (0, 0));
        drop(pin);
        assert_eq!(files.sweep(&[digest], dead), (1, 1));
    }
}
