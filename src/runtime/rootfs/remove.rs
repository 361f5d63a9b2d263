//! Removes big and hostile trees.
//!
//! Holds: no link is followed and nothing outside the trash is touched. Depth costs nothing: a directory that is not
//! empty is first moved up into the trash itself, so no path grows long and no recursion deep. Interrupted, it is
//! simply done again; several may empty the same trash at once.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::dir::Dir;

use super::error::{Result, RootfsError};
use super::names::open_directory;
use super::sys::{self, Resolve};

/// Names held in memory at once.
const BATCH: usize = 4096;

/// Moves `leaf` of `dir` into the trash, under a name of its own.
pub(super) fn discard(dir: BorrowedFd<'_>, leaf: &[u8], trash: BorrowedFd<'_>) -> io::Result<()> {
    match sys::rename(dir, leaf, trash, fresh().as_bytes()) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            unlock(dir, leaf);
            sys::rename(dir, leaf, trash, fresh().as_bytes())
        }
        other => other,
    }
}

/// Removes everything in the trash.
pub(super) fn empty(trash: &Path) -> Result<()> {
    let dir = open_directory(trash)?;
    let mut failures: Vec<RootfsError> = Vec::new();
    loop {
        failures.clear();
        let mut removed = 0;
        let names = names(dir.as_fd()).map_err(|error| RootfsError::file("list", trash, error))?;
        if names.is_empty() {
            return Ok(());
        }
        for name in names {
            match remove(dir.as_fd(), &name) {
                Ok(()) => removed += 1,
                // Somebody else empties the trash, too, and was quicker.
                Err(error) if error.kind() == io::ErrorKind::NotFound => removed += 1,
                Err(error) => {
                    let path = trash.join(String::from_utf8_lossy(&name).as_ref());
                    failures.push(RootfsError::file("remove", path, error));
                }
            }
        }
        if removed == 0 {
            let count = failures.len();
            let first = Box::new(failures.swap_remove(0));
            return Err(RootfsError::Removal { count, first });
        }
    }
}

/// Removes one entry of the trash; what a directory holds goes or is moved up.
fn remove(trash: BorrowedFd<'_>, leaf: &[u8]) -> io::Result<()> {
    match remove_one(trash, leaf) {
        Err(error) if not_empty(&error) => (),
        other => return other,
    }
    let dir = open(trash, leaf)?;
    loop {
        let names = names(dir.as_fd())?;
        if names.is_empty() {
            return remove_one(trash, leaf);
        }
        for name in names {
            match remove_one(dir.as_fd(), &name) {
                Err(error) if not_empty(&error) => discard(dir.as_fd(), &name, trash)?,
                other => other?,
            }
        }
    }
}

/// A file, link or empty directory. Flags set by chattr are taken away when they are in the way.
fn remove_one(dir: BorrowedFd<'_>, leaf: &[u8]) -> io::Result<()> {
    match try_remove(dir, leaf) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            unlock(dir, leaf);
            try_remove(dir, leaf)
        }
        other => other,
    }
}

fn try_remove(dir: BorrowedFd<'_>, leaf: &[u8]) -> io::Result<()> {
    match sys::unlink(dir, leaf) {
        Err(error) if error.raw_os_error() == Some(libc::EISDIR) => sys::remove_directory(dir, leaf),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}

/// Best effort: the removal that follows reports what stays wrong.
fn unlock(dir: BorrowedFd<'_>, leaf: &[u8]) {
    if let Ok(directory) = sys::open_beneath(dir, b"", libc::O_RDONLY | libc::O_DIRECTORY, 0, Resolve::NoLinks) {
        let _ = sys::clear_flags(directory.as_fd());
    }
    // Only of a kind that opening does nothing to: no FIFO, no device.
    let kind = sys::status(dir, leaf).map(|status| status.st_mode & libc::S_IFMT);
    if matches!(kind, Ok(libc::S_IFREG | libc::S_IFDIR))
        && let Ok(file) = sys::open_beneath(dir, leaf, libc::O_RDONLY | libc::O_NOFOLLOW, 0, Resolve::NoLinks)
    {
        let _ = sys::clear_flags(file.as_fd());
    }
}

fn open(dir: BorrowedFd<'_>, leaf: &[u8]) -> io::Result<OwnedFd> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
    sys::open_beneath(dir, leaf, flags, 0, Resolve::NoLinks)
}

/// Some names of a directory; empty only when it is.
fn names(dir: BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>> {
    let again = sys::open_beneath(dir, b"", libc::O_RDONLY | libc::O_DIRECTORY, 0, Resolve::NoLinks)?;
    let mut list = Dir::from(again)?;
    let mut names = Vec::new();
    for entry in list.iter() {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
        if names.len() == BATCH {
            break;
        }
    }
    Ok(names)
}

fn not_empty(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOTEMPTY | libc::EEXIST))
}

fn fresh() -> String {
    cove_base::ids::random_hex(12)
}
