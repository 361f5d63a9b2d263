//! Copies a stack of layers into one tree, for file systems on which overlays cannot be written. Shares blocks where the
//! file system can.
//!
//! Holds: only real directories are walked, in source and target; whatever stands in the way is replaced, so a link in a
//! lower layer never leads a write elsewhere.

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use super::error::{Result, RootfsError};
use super::sys;

/// `layers` bottom first; `target` is an empty directory.
pub(super) fn copy_stack(layers: &[PathBuf], target: &Path) -> Result<()> {
    for layer in layers {
        let mut links = HashMap::new();
        copy_layer(layer, target, &mut links)?;
    }
    Ok(())
}

fn copy_layer(layer: &Path, target: &Path, links: &mut HashMap<u64, PathBuf>) -> Result<()> {
    // Not recursive: an archive decides how deep it is.
    let mut waiting = vec![PathBuf::new()];
    while let Some(relative) = waiting.pop() {
        let (from, to) = (layer.join(&relative), target.join(&relative));
        let failed = |error| RootfsError::file("copy", &from, error);
        if is_opaque(&from) {
            clear(&to).map_err(failed)?;
        }
        for entry in fs::read_dir(&from).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let about = entry.metadata().map_err(failed)?;
            let to = to.join(entry.file_name());
            copy_entry(&entry.path(), &to, &about, links)
                .map_err(|error| RootfsError::file("copy", entry.path(), error))?;
            if about.is_dir() {
                waiting.push(relative.join(entry.file_name()));
            }
        }
        describe(&from, &to, &fs::symlink_metadata(&from).map_err(failed)?).map_err(failed)?;
    }
    Ok(())
}

fn copy_entry(from: &Path, to: &Path, about: &Metadata, links: &mut HashMap<u64, PathBuf>) -> io::Result<()> {
    let there = fs::symlink_metadata(to).ok();
    let merges = about.is_dir() && there.as_ref().is_some_and(Metadata::is_dir);
    if there.is_some() && !merges {
        remove(to)?;
    }
    let kind = about.file_type();
    if kind.is_char_device() && about.rdev() == 0 {
        return Ok(());
    }
    if kind.is_dir() {
        return if merges { Ok(()) } else { fs::create_dir(to) };
    }
    if about.nlink() > 1 {
        if let Some(first) = links.get(&about.ino()) {
            return fs::hard_link(first, to);
        }
        links.insert(about.ino(), to.to_owned());
    }
    if kind.is_symlink() {
        std::os::unix::fs::symlink(fs::read_link(from)?, to)?;
    } else if kind.is_file() {
        copy_file(from, to)?;
    } else {
        let directory = File::open(to.parent().unwrap_or(to))?;
        let leaf = to.file_name().unwrap_or_default().as_bytes();
        let device = (libc::major(about.rdev()), libc::minor(about.rdev()));
        sys::make_node(directory.as_fd(), leaf, about.mode(), device)?;
    }
    describe(from, to, about)
}

fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let source = File::open(from)?;
    let target = File::options().write(true).create_new(true).open(to)?;
    // SAFETY: two open files; the request copies nothing from or to our memory.
    let shared = unsafe { libc::ioctl(target.as_raw_fd(), libc::FICLONE, source.as_raw_fd()) };
    if shared == 0 {
        return Ok(());
    }
    let (mut source, mut target) = (source, target);
    io::copy(&mut source, &mut target).map(|_| ())
}

/// Makes a directory look as another.
pub(super) fn describe_directory(from: &Path, to: &Path) -> io::Result<()> {
    describe(from, to, &fs::symlink_metadata(from)?)
}

/// Owner, mode, xattrs and time.
fn describe(from: &Path, to: &Path, about: &Metadata) -> io::Result<()> {
    lchown(to, Some(about.uid()), Some(about.gid()))?;
    if !about.is_symlink() {
        fs::set_permissions(to, fs::Permissions::from_mode(about.mode() & 0o7777))?;
        for key in xattr::list(from)?.filter(|key| !key.as_bytes().starts_with(b"trusted.overlay.")) {
            if let Some(value) = xattr::get(from, &key)? {
                // A file system without them takes none.
                let _ = xattr::set(to, &key, &value);
            }
        }
    }
    let root = File::open("/")?;
    let path = CString::new(to.as_os_str().as_bytes())?;
    sys::set_time(root.as_fd(), path.as_bytes(), (about.mtime(), about.mtime_nsec() as u32))
}

/// Whether nothing of the layers below shows in this directory of a layer.
pub(super) fn is_opaque(dir: &Path) -> bool {
    xattr::get(dir, "trusted.overlay.opaque").is_ok_and(|value| value.as_deref() == Some(b"y"))
}

fn clear(dir: &Path) -> io::Result<()> {
    match fs::read_dir(dir) {
        Ok(entries) => entries.into_iter().try_for_each(|entry| remove(&entry?.path())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}
