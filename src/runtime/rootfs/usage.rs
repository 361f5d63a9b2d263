//! How much disk a task has written: its writable layers, and other directories that are its own.
//!
//! In: directories that a hostile container may change at this very moment. Out: bytes, as the file system counts them.
//!
//! Holds: no link is followed and nothing outside is read, whatever is moved meanwhile; memory is bounded. A tree that
//! cannot be measured within the bounds is told apart, so that nobody hides bytes in one.
//! Why a walk: project quotas need a file system made for them, and the default of no distribution is.

use std::collections::HashSet;
use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::error::{Result, RootfsError};
use super::names::open_directory;
use super::snapshots::{Snapshots, path_part};
use super::sys::{self, Resolve};

/// Directories that wait for their turn, in bytes of their names.
const WAITING_BYTES_MAX: usize = 16 << 20;
/// The kernel's PATH_MAX: a container can nest deeper, and has no reason to.
const PATH_BYTES_MAX: usize = 4095;
/// Files with several names, remembered so that they count once.
const LINKED_MAX: usize = 200_000;
/// `st_blocks` counts these.
const BLOCK_BYTES: u64 = 512;

/// What a task has on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Used {
    Bytes(u64),
    /// Too deep or too wide to be measured.
    Unmeasurable,
}

impl Snapshots {
    /// What a task's writable layers and those other directories hold together. What is not there holds nothing.
    ///
    /// # Errors
    /// When the task's id cannot be part of a path, or a directory cannot be read.
    pub fn usage(&self, task_id: &str, others: &[PathBuf]) -> Result<Used> {
        let layers = self.dir.join("w").join(path_part(task_id)?);
        let mut total = 0_u64;
        for directory in others.iter().chain([&layers]) {
            match measure(directory)? {
                Used::Bytes(bytes) => total = total.saturating_add(bytes),
                Used::Unmeasurable => return Ok(Used::Unmeasurable),
            }
        }
        Ok(Used::Bytes(total))
    }
}

/// What one directory holds.
///
/// # Errors
/// When a directory cannot be read.
pub fn measure(directory: &Path) -> Result<Used> {
    let root = match open_directory(directory) {
        Ok(root) => root,
        Err(_) if !directory.exists() => return Ok(Used::Bytes(0)),
        Err(error) => return Err(error),
    };
    let failed = |error| RootfsError::file("measure", directory, error);
    let (mut waiting, mut waiting_bytes, mut linked, mut bytes) = (vec![Vec::new()], 0, HashSet::new(), 0_u64);
    while let Some(path) = waiting.pop() {
        waiting_bytes -= path.len();
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
        // Gone or moved meanwhile: the next measurement finds it.
        let Ok(dir) = sys::open_beneath(root.as_fd(), &path, flags, 0, Resolve::NoLinks) else { continue };
        for entry in fs::read_dir(format!("/proc/self/fd/{}", dir.as_raw_fd())).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let Ok(status) = sys::status(dir.as_fd(), name.as_bytes()) else { continue };
            let is_directory = status.st_mode & libc::S_IFMT == libc::S_IFDIR;
            if !is_directory && status.st_nlink > 1 && !linked.insert(status.st_ino) {
                continue;
            }
            bytes = bytes.saturating_add(u64::try_from(status.st_blocks).unwrap_or(0) * BLOCK_BYTES);
            if is_directory {
                let below =
                    if path.is_empty() { name.as_bytes().to_vec() } else { [&path, name.as_bytes()].join(&b'/') };
                waiting_bytes += below.len();
                if below.len() > PATH_BYTES_MAX {
                    return Ok(Used::Unmeasurable);
                }
                waiting.push(below);
            }
            if waiting_bytes > WAITING_BYTES_MAX || linked.len() > LINKED_MAX {
                return Ok(Used::Unmeasurable);
            }
        }
    }
    Ok(Used::Bytes(bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn bytes(directory: &Path) -> u64 {
        let Ok(Used::Bytes(bytes)) = measure(directory) else { panic!("measurable") };
        bytes
    }

    #[test]
    fn files_count_once_and_links_lead_nowhere() {
        let home = tempfile::tempdir().unwrap();
        let (inside, outside) = (home.path().join("in"), home.path().join("out"));
        fs::create_dir_all(inside.join("a/b")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("large"), vec![1; 4 << 20]).unwrap();
        symlink(&outside, inside.join("a/link")).unwrap();
        let before = bytes(&inside);
        fs::write(inside.join("a/b/file"), vec![1; 1 << 20]).unwrap();
        fs::hard_link(inside.join("a/b/file"), inside.join("a/again")).unwrap();
        let grown = bytes(&inside) - before;
        assert!((1 << 20..2 << 20).contains(&grown), "{grown}");
        fs::File::create(inside.join("hole")).unwrap().set_len(1 << 40).unwrap();
        assert!(bytes(&inside) - before < 2 << 20, "a hole takes no disk");
        assert_eq!(bytes(&home.path().join("absent")), 0);
    }

    #[test]
    fn a_tree_that_is_too_deep_is_no_hiding_place() {
        let home = tempfile::tempdir().unwrap();
        let name = "d".repeat(250);
        // A path this long cannot be given to the kernel at once: step by step.
        let mut dir = open_directory(home.path()).unwrap();
        for _ in 0..20 {
            sys::make_directory(dir.as_fd(), name.as_bytes(), 0o755).unwrap();
            let flags = libc::O_RDONLY | libc::O_DIRECTORY;
            dir = sys::open_beneath(dir.as_fd(), name.as_bytes(), flags, 0, Resolve::NoLinks).unwrap();
        }
        assert_eq!(measure(home.path()).unwrap(), Used::Unmeasurable);
    }
}
