//! Fills an empty volume with what a container's root holds at its path, as Docker does at the first mount.
//!
//! In: a container's root, volumes with their paths in it. Out: directories that begin with that content, with its
//! owners, modes, xattrs, times and links; the directory itself looks as in the image.
//!
//! Holds: the path is resolved as the container would, with its root as `/`, and no link is followed while copying, so
//! nothing outside the root is ever read. A volume that holds something is left alone. A volume is filled beside its
//! place and moved there whole; a crash leaves a name with a dot, which goes with the task.
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
}

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
            let target = root.base.join(&root.upper).with_file_name("m");
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
    let name = one.volume.file_name().unwrap_or_default().to_string_lossy();
    let fresh = one.volume.with_file_name(format!(".{name}.{}", cove_base::ids::random_hex(4)));
    let created = fs::create_dir(&fresh).map_err(|error| RootfsError::file("create", &fresh, error));
    // Through the descriptor: nothing can change what the path means any more.
    let source = PathBuf::from(format!("/proc/self/fd/{}/.", source.as_raw_fd()));
    let copied = created
        .and_then(|()| copy_stack(&[source], &fresh))
        .and_then(|()| fs::rename(&fresh, &one.volume).map_err(|error| RootfsError::file("fill", &one.volume, error)));
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
