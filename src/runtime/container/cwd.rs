//! The working directory inside a container, made when the image lacks it.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Component, Path};

/// Makes every missing directory of `path` beneath `rootfs`; links are followed as the container would see them.
pub(super) fn ensure(rootfs: &Path, path: &str) -> io::Result<()> {
    let root = File::open(rootfs)?;
    let mut known = String::from(".");
    for part in Path::new(path).components() {
        let Component::Normal(name) = part else { continue };
        let name = name.to_str().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let parent = open_in_root(&root, &known)?;
        known = format!("{known}/{name}");
        match open_in_root(&root, &known) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                nix::sys::stat::mkdirat(
                    Some(parent.as_raw_fd()),
                    name,
                    nix::sys::stat::Mode::from_bits_truncate(0o755),
                )?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn open_in_root(root: &File, path: &str) -> io::Result<OwnedFd> {
    const RESOLVE_NO_MAGICLINKS: u64 = 0x02;
    const RESOLVE_IN_ROOT: u64 = 0x10;
    let path = std::ffi::CString::new(path)?;
    // SAFETY: an all-zero open_how is a valid one.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC) as u64;
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    // SAFETY: the path is terminated and `how` has the size that is passed.
    let raw = unsafe {
        libc::syscall(libc::SYS_openat2, root.as_raw_fd(), path.as_ptr(), &raw const how, size_of::<libc::open_how>())
    };
    let raw = i32::try_from(raw).map_err(|_| io::Error::other("descriptor number out of range"))?;
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_directory_is_made_and_a_link_stays_inside() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("data")).unwrap();
        std::os::unix::fs::symlink("/data", root.path().join("link")).unwrap();
        std::os::unix::fs::symlink(outside.path(), root.path().join("escape")).unwrap();
        ensure(root.path(), "/a/b").unwrap();
        ensure(root.path(), "/link/c").unwrap();
        assert!(root.path().join("a/b").is_dir() && root.path().join("data/c").is_dir());
        // The link leads to a place that the container does not have.
        assert!(ensure(root.path(), "/escape/d").is_err());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
