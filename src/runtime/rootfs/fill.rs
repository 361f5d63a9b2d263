//! Fills an empty volume with what a container's root holds at its path, as Docker does at the first mount.
//!
//! In: a container's root, volumes with their paths in it. Out: directories that begin with that content, with its
//! owners, modes, xattrs, times and links; the directory itself looks as in the image.
//!
//! Holds: the path is resolved as the container would, with its root as `/`, and no link is followed while copying, so
//! nothing outside the root is ever read. A volume that holds something is left alone. A volume is filled beside its
//! place and moved there whole; a crash leaves a name with a dot, which goes with the task. Of a volume that others may
//! have mounted the directory stays the same: what is complete beside it is moved into it, or is by the next who comes.
//! Why a mount: the kernel merges layers and whiteouts exactly as the container will see them. It is this thread's own,
//! so nobody else sees it and nothing has to be undone.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount as kernel_mount, umount};
use nix::sched::{CloneFlags, unshare};

use super::copy::copy_stack;
use super::error::{Result, RootfsError};
use super::mount::mount;
use super::names::open_directory;
use super::sys::{self, Resolve};
use crate::spec::RootFilesystem;

/// A volume, and where it will be mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fill {
    /// A directory that exists.
    pub volume: PathBuf,
    pub path: String,
    pub manner: Manner,
}

/// How the content comes to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// The volume is the task's: it is replaced.
    Replaced,
    /// The volume is a mount that a crash of the host ends, and that is made anew after one of ours.
    InPlace,
    /// Others may have it mounted. Its directory is in one of its own, and one caller is at work there at a time.
    Moved,
}

/// What is complete and on its way into a shared volume.
const COMPLETE: &str = ".complete";

/// Fills those that are empty and whose path is a directory of the root. Blocks as long as copying takes.
///
/// # Errors
/// When the root cannot be mounted, or something of it cannot be copied.
pub fn fill(root: &RootFilesystem, fills: &[Fill]) -> Result<()> {
    let mut empty = Vec::new();
    for one in fills {
        if is_empty(&one.volume)? {
            empty.push(one);
        }
    }
    if empty.is_empty() {
        return Ok(());
    }
    std::thread::scope(|scope| {
        let filling = scope.spawn(|| {
            let target = root.beside("m");
            let opened = mounted(root, &target)?;
            let filled = empty.iter().try_for_each(|one| fill_one(opened.as_fd(), one));
            drop(opened);
            // The end of the namespace unmounts as well, but some time after: the shim mounts the same layers next.
            let _ = umount(&target);
            filled
        });
        filling.join().unwrap_or(Err(RootfsError::Damaged { why: "copying from it panicked" }))
    })
}

fn is_empty(directory: &Path) -> Result<bool> {
    let failed = |error| RootfsError::file("list", directory, error);
    fs::read_dir(directory).map_err(failed)?.next().transpose().map(|first| first.is_none()).map_err(failed)
}

/// Gives this thread a mount namespace of its own with the root in it.
fn mounted(root: &RootFilesystem, target: &Path) -> Result<OwnedFd> {
    let failed = |error: nix::Error| RootfsError::file("make a mount namespace for", target, error.into());
    unshare(CloneFlags::CLONE_NEWNS).map_err(failed)?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    kernel_mount(None::<&str>, "/", None::<&str>, private, None::<&str>).map_err(failed)?;
    fs::create_dir_all(target).map_err(|error| RootfsError::file("create", target, error))?;
    mount(root, target)?;
    open_directory(target)
}

fn fill_one(root: BorrowedFd<'_>, one: &Fill) -> Result<()> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY;
    let source = match sys::open_beneath(root, one.path.as_bytes(), flags, 0, Resolve::InRoot) {
        Ok(source) => source,
        // Not there, or no directory: the volume begins empty.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)) => return Ok(()),
        Err(error) => return Err(RootfsError::file("open", &one.path, error)),
    };
    // Through the descriptor: nothing can change what the path means any more.
    let inside = PathBuf::from(format!("/proc/self/fd/{}/.", source.as_raw_fd()));
    if one.manner == Manner::InPlace {
        return copy_stack(&[inside], &one.volume);
    }
    let name = one.volume.file_name().unwrap_or_default().to_string_lossy();
    let fresh = one.volume.with_file_name(format!(".{name}.{}", cove_base::ids::random_hex(4)));
    let created = fs::create_dir(&fresh).map_err(|error| RootfsError::file("create", &fresh, error));
    let failed = |error| RootfsError::file("fill", &one.volume, error);
    let copied = created.and_then(|()| copy_stack(&[inside], &fresh)).and_then(|()| match one.manner {
        Manner::Replaced | Manner::InPlace => fs::rename(&fresh, &one.volume).map_err(failed),
        Manner::Moved => {
            fs::rename(&fresh, one.volume.with_file_name(COMPLETE)).map_err(failed).and_then(|()| settle(&one.volume))
        }
    });
    if copied.is_err() {
        match fs::remove_dir_all(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %fresh.display(), "a half-filled volume stays until its task is gone");
            }
            Ok(()) | Err(_) => {}
        }
    }
    copied
}

/// Ends what a crash left beside a shared volume: complete content is moved into it, the rest removed.
///
/// # Errors
/// When something can neither be moved nor removed.
pub fn settle(volume: &Path) -> Result<()> {
    let failed = |error| RootfsError::file("fill", volume, error);
    let complete = volume.with_file_name(COMPLETE);
    match fs::read_dir(&complete) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
        Ok(entries) => {
            for entry in entries {
                let entry = entry.map_err(failed)?;
                let to = volume.join(entry.file_name());
                // What a container has put there meanwhile stays.
                if fs::symlink_metadata(&to).is_err() {
                    fs::rename(entry.path(), to).map_err(failed)?;
                }
            }
            super::copy::describe_directory(&complete, volume).map_err(failed)?;
            fs::remove_dir_all(&complete).map_err(failed)?;
        }
    }
    let around = volume.parent().unwrap_or(volume);
    for entry in fs::read_dir(around).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let is_dotted = entry.file_name().to_string_lossy().starts_with('.');
        if is_dotted && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            fs::remove_dir_all(entry.path()).map_err(failed)?;
        }
    }
    Ok(())
}
