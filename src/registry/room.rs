//! The cap of everything that the registry keeps as files: blobs and uploads, pushed or pulled.
//!
//! Holds: no writer goes beyond the cap by more than the batches that were being written. What the registry removes is
//! free at once; what goes in other ways is free at the next measurement, which a refusal brings about.
//! Why measured and not only counted: files come and go by renames, crashes and hands; the directory is the truth.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::blobs::entries;

/// A refusal measures again unless the last walk was less than this many times its own duration ago: ten thousand blobs
/// take 50 ms, and refused clients come again at once.
const PAUSE_FACTOR: u32 = 20;
/// `ALGORITHM/ab/DIGEST`.
const DEPTH: usize = 3;
const MIB: u64 = 1 << 20;

/// The refusal, inside of an [`io::Error`] of the kind `QuotaExceeded`.
#[derive(Debug, thiserror::Error)]
#[error("the image store is full: its blobs may take {max_mib} MiB (image_store_max_mib)")]
pub(crate) struct StoreFull {
    pub(crate) max_mib: u64,
}

/// What is taken, as far as is known.
#[derive(Debug)]
pub(crate) struct Room {
    directories: Vec<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    max: u64,
    used: u64,
    /// When, and how long that took. At first nothing is known: opening the registry reads no directory.
    measured: Option<(Instant, Duration)>,
    /// How often it was measured.
    walks: u64,
}

impl Room {
    pub(crate) fn new(directories: Vec<PathBuf>) -> Self {
        Self { directories, state: Mutex::new(State { max: u64::MAX, used: 0, measured: None, walks: 0 }) }
    }

    pub(crate) fn set_max(&self, bytes: u64) {
        self.lock().max = bytes;
    }

    /// Takes room for bytes that are about to be written. May read directories.
    pub(crate) fn take(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.lock();
        self.measure(&mut state, bytes);
        let used = state.used.saturating_add(bytes);
        if used > state.max {
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, StoreFull { max_mib: state.max / MIB }));
        }
        state.used = used;
        Ok(())
    }

    /// Whether nothing at all fits any more. May read directories.
    pub(crate) fn is_full(&self) -> bool {
        let mut state = self.lock();
        self.measure(&mut state, 1);
        state.used >= state.max
    }

    /// Removes a file that counts; answers its length.
    pub(crate) fn remove(&self, path: &Path) -> io::Result<u64> {
        self.free(|| {
            let bytes = fs::metadata(path)?.len();
            fs::remove_file(path).map(|()| bytes)
        })
    }

    /// Gives back the bytes that `gone` takes away and answers, unless it was measured meanwhile: nobody knows what the
    /// walk saw.
    pub(crate) fn free(&self, gone: impl FnOnce() -> io::Result<u64>) -> io::Result<u64> {
        let walks = self.lock().walks;
        let bytes = gone()?;
        let mut state = self.lock();
        if state.walks == walks {
            state.used = state.used.saturating_sub(bytes);
        }
        Ok(bytes)
    }

    /// As if the last walk had taken an hour: what is counted must be right by itself.
    #[cfg(test)]
    pub(crate) fn measure_no_more(&self) {
        let mut state = self.lock();
        self.measure(&mut state, u64::MAX);
        state.measured = Some((Instant::now(), Duration::from_secs(3600)));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn measure(&self, state: &mut State, wanted: u64) {
        let fits = state.used.saturating_add(wanted) <= state.max;
        let fresh = state.measured.is_some_and(|(at, took)| fits || at.elapsed() < took * PAUSE_FACTOR);
        if state.max != u64::MAX && !fresh {
            let began = Instant::now();
            state.used = self.directories.iter().map(|directory| bytes_in(directory, DEPTH)).sum();
            state.measured = Some((Instant::now(), began.elapsed()));
            state.walks += 1;
        }
    }
}

fn bytes_in(directory: &Path, depth: usize) -> u64 {
    let sizes = entries(directory).map(|entry| match entry.metadata() {
        Ok(about) if about.is_file() => about.len(),
        Ok(about) if about.is_dir() && depth > 0 => bytes_in(&entry.path(), depth - 1),
        Ok(_) | Err(_) => 0,
    });
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_counts_and_what_does_not_fit_is_refused_by_name() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("sha256/ab")).unwrap();
        fs::write(home.path().join("sha256/ab/abcd"), vec![0; 3 << 20]).unwrap();
        let room = Room::new(vec![home.path().to_owned()]);
        room.set_max(4 << 20);
        assert!(room.take(1 << 20).is_ok());
        let refused = room.take(1).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::QuotaExceeded);
        assert!(refused.to_string().contains("may take 4 MiB (image_store_max_mib)"), "{refused}");
        assert!(room.is_full());
    }

    #[test]
    fn what_is_removed_is_free_at_once_however_long_a_walk_takes() {
        let home = tempfile::tempdir().unwrap();
        let (path, room) = (home.path().join("upload"), Room::new(vec![home.path().to_owned()]));
        room.set_max(4 << 20);
        fs::write(&path, vec![0; 3 << 20]).unwrap();
        room.measure_no_more();
        assert!(room.take(2 << 20).is_err());
        assert_eq!(room.remove(&path).unwrap(), 3 << 20);
        assert!(room.take(4 << 20).is_ok());
        assert!(room.take(1).is_err());
        assert_eq!(room.remove(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
