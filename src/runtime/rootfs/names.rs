//! Files inside a container's root, reached without ever leaving it.
//!
//! Holds: links are resolved as the container would, with its root as `/`; nothing but regular files is read.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use super::error::{Result, RootfsError};
use super::sys::{self, Resolve};

/// Opens a directory of the host.
pub(super) fn open_directory(path: &Path) -> Result<OwnedFd> {
    use std::os::unix::fs::OpenOptionsExt;
    let opened = File::options().read(true).custom_flags(libc::O_DIRECTORY | libc::O_CLOEXEC).open(path);
    opened.map(OwnedFd::from).map_err(|error| RootfsError::file("open", path, error))
}

/// Reads a regular file of at most `limit` bytes; `None` when it is not there. Links are resolved inside the root.
///
/// # Errors
/// When it is longer, not a regular file, or cannot be read.
pub fn read_in_root(rootfs: &Path, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
    let root = open_directory(rootfs)?;
    let full = || rootfs.join(path.trim_start_matches('/'));
    let read = |error| RootfsError::file("read", full(), error);
    let Some(found) = find(root.as_fd(), path).map_err(|error| RootfsError::file("open", full(), error))? else {
        return Ok(None);
    };
    let about = found.metadata().map_err(read)?;
    let mut content = Vec::new();
    if about.is_file() && about.len() <= limit {
        // The same file, this time to read it.
        File::open(format!("/proc/self/fd/{}", found.as_raw_fd()))
            .map_err(read)?
            .take(limit + 1)
            .read_to_end(&mut content)
            .map_err(read)?;
    }
    if !about.is_file() || about.len() > limit || content.len() as u64 > limit {
        return Err(RootfsError::NotReadable { path: full(), limit });
    }
    Ok(Some(content))
}

/// What is there, without opening it: to open a device does something to it, and a container may have put one there.
fn find(root: BorrowedFd<'_>, path: &str) -> io::Result<Option<File>> {
    match sys::open_beneath(root, path.as_bytes(), libc::O_PATH, 0, Resolve::InRoot) {
        Ok(found) => Ok(Some(File::from(found))),
        Err(error) if missing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes the directories of a path, links resolved in the root; `made` hears of each new one. Returns the last.
pub(super) fn make_directories(root: BorrowedFd<'_>, path: &[u8], mut made: impl FnMut(&[u8])) -> io::Result<OwnedFd> {
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    let mut dir = sys::open_beneath(root, b"", flags, 0, Resolve::InRoot)?;
    let mut end = 0;
    for part in path.split(|byte| *byte == b'/') {
        let start = end;
        end += part.len();
        let so_far = &path[..end];
        end += 1;
        if part.is_empty() {
            continue;
        }
        dir = match sys::open_beneath(root, so_far, flags, 0, Resolve::InRoot) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                sys::make_directory(dir.as_fd(), &path[start..start + part.len()], 0o755)?;
                made(so_far);
                sys::open_beneath(root, so_far, flags, 0, Resolve::InRoot)?
            }
            other => other?,
        };
    }
    Ok(dir)
}

fn missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_end_inside_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(dir.path().join("secret"), "outside").unwrap();
        symlink("../../../secret", root.join("etc/a")).unwrap();
        symlink("/secret", root.join("etc/b")).unwrap();
        symlink("/proc/self/root/etc/passwd", root.join("etc/c")).unwrap();
        for name in ["etc/a", "/etc/b", "etc/c", "../secret"] {
            assert_eq!(read_in_root(&root, name, 100).unwrap(), None, "{name}");
        }
        std::fs::write(root.join("secret"), "inside").unwrap();
        for name in ["etc/a", "/etc/b"] {
            assert_eq!(read_in_root(&root, name, 100).unwrap().as_deref(), Some(&b"inside"[..]), "{name}");
        }
        assert!(read_in_root(&root, "etc", 10).is_err());
        assert!(read_in_root(&root, "secret", 3).is_err());
        nix::unistd::mkfifo(&root.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(read_in_root(&root, "fifo", 10).is_err());
        // Nobody drives this device: to open it would fail in another way.
        let (kind, device) = (nix::sys::stat::SFlag::S_IFCHR, nix::sys::stat::makedev(511, 4095));
        nix::sys::stat::mknod(&root.join("device"), kind, nix::sys::stat::Mode::S_IRWXU, device).unwrap();
        let refused = read_in_root(&root, "device", 10);
        assert!(matches!(refused, Err(RootfsError::NotReadable { .. })), "{refused:?}");
    }
}
