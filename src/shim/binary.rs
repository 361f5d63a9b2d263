//! The binary that shims run from: a read-only mount of this very program, one per build, so that nothing in a
//! container can write to the host's file through `/proc/self/exe`, and so that an upgrade on disk does not touch it.
//!
//! Holds: the returned path is on a mount of its own that is read-only and allows execution. Publishing again is
//! harmless. Why a bind mount: a sealed memfd would cost one unreclaimable copy of the binary per server.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

/// What could not be done.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error("cannot look at the running program")]
    Program(#[source] io::Error),
    #[error("cannot prepare {}", path.display())]
    Prepare { path: PathBuf, source: io::Error },
    #[error("cannot mount the program read-only at {}", path.display())]
    Mount { path: PathBuf, source: io::Error },
}

/// Makes the running program available below `run_dir` and says where.
///
/// # Errors
/// When the mount fails, mostly for want of root.
pub fn publish(run_dir: &Path) -> Result<PathBuf, PublishError> {
    let meta = fs::metadata("/proc/self/exe").map_err(PublishError::Program)?;
    // A build is a file: another build has another inode, size or time.
    let key = format!("cove-{:x}-{:x}-{:x}-{:x}", meta.dev(), meta.ino(), meta.size(), meta.mtime());
    let directory = run_dir.join("bin");
    let target = directory.join(key);
    let prepare = |source| PublishError::Prepare { path: target.clone(), source };
    fs::create_dir_all(&directory).map_err(prepare)?;
    if is_read_only_mount(&target) {
        return Ok(target);
    }
    fs::OpenOptions::new().append(true).create(true).open(&target).map_err(prepare)?;
    let mount_error = |error: nix::Error| PublishError::Mount { path: target.clone(), source: error.into() };
    // The name may be gone or replaced by an upgrade; the link still leads to the file that runs.
    let source = Path::new("/proc/self/exe");
    let none = None::<&str>;
    mount(Some(source), &target, none, MsFlags::MS_BIND, none).map_err(mount_error)?;
    mount(none, &target, none, MsFlags::MS_PRIVATE, none).map_err(mount_error)?;
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(none, &target, none, flags, none).map_err(mount_error)?;
    Ok(target)
}

/// Takes away the mounts of all builds; running shims keep theirs.
pub fn withdraw(run_dir: &Path) {
    let Ok(entries) = fs::read_dir(run_dir.join("bin")) else { return };
    for entry in entries.flatten() {
        while nix::mount::umount2(&entry.path(), nix::mount::MntFlags::MNT_DETACH).is_ok() {}
        let _ = fs::remove_file(entry.path());
    }
}

fn is_read_only_mount(target: &Path) -> bool {
    let read_only = nix::sys::statvfs::statvfs(target)
        .is_ok_and(|stat| stat.flags().contains(nix::sys::statvfs::FsFlags::ST_RDONLY));
    read_only && fs::metadata(target).is_ok_and(|meta| meta.len() > 0)
}
