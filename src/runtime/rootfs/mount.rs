//! Mounts a container's root, and tries at open whether the file system lets us.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use nix::mount::{MsFlags, mount as kernel_mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{chdir, fchdir};

use super::error::{Result, RootfsError};
use super::names::open_directory;
use crate::spec::RootFilesystem;

/// Mounts `root` at `target` (absolute) in the caller's mount namespace. For a single-threaded process, or a thread with
/// a working directory of its own: it changes that and puts it back.
///
/// # Errors
/// When the kernel refuses.
pub fn mount(root: &RootFilesystem, target: &Path) -> Result<()> {
    if root.lower.is_empty() {
        // No layers below: the upper directory is the whole tree (an empty image, or a copy).
        let whole = root.base.join(&root.upper);
        return kernel_mount(Some(&whole), target, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .map_err(|error| refused(target, "bind".to_owned(), error.into()));
    }
    // What an image or a container left in xattrs of its own must never redirect into another layer.
    let options = format!(
        "lowerdir={},upperdir={},workdir={},index=off,redirect_dir=off,metacopy=off",
        root.lower.join(":"),
        root.upper,
        root.work
    );
    let before = open_directory(Path::new("."))?;
    chdir(&root.base).map_err(|error| RootfsError::file("enter", &root.base, error.into()))?;
    let mounted = kernel_mount(Some("overlay"), target, Some("overlay"), MsFlags::empty(), Some(options.as_str()));
    fchdir(before.as_fd().as_raw_fd()).map_err(|error| RootfsError::file("enter", ".", error.into()))?;
    mounted.map_err(|error| refused(target, options, error.into()))
}

/// Whether overlays with an upper layer below `dir` work, tried in a mount namespace that ends with the thread. `Err` says
/// why not. `dir` must be empty and is left with leftovers.
pub(super) fn trial(dir: &Path) -> std::result::Result<(), String> {
    std::thread::scope(|scope| {
        let tried = scope.spawn(|| try_overlay(dir).map_err(|error| cove_base::error::chain(&error))).join();
        tried.unwrap_or_else(|_| Err("the trial panicked".to_owned()))
    })
}

fn try_overlay(dir: &Path) -> Result<()> {
    let failed = |error: nix::Error| RootfsError::file("make a mount namespace for", dir, error.into());
    unshare(CloneFlags::CLONE_NEWNS).map_err(failed)?;
    kernel_mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .map_err(failed)?;
    for name in ["l", "u", "w", "m"] {
        std::fs::create_dir_all(dir.join(name)).map_err(|error| RootfsError::file("create", dir, error))?;
    }
    let file = dir.join("l/file");
    std::fs::write(&file, "x").map_err(|error| RootfsError::file("write", file, error))?;
    let root = RootFilesystem {
        base: dir.to_owned(),
        lower: vec!["l".to_owned()],
        upper: "u".to_owned(),
        work: "w".to_owned(),
    };
    let target = dir.join("m");
    mount(&root, &target)?;
    // Some file systems mount and then cannot hold a whiteout.
    let gone = target.join("file");
    std::fs::remove_file(&gone).map_err(|error| RootfsError::file("remove", gone, error))
}

fn refused(target: &Path, options: String, source: io::Error) -> RootfsError {
    RootfsError::Mount { target: target.to_owned(), options, source }
}
