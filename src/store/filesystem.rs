//! What kind of file system a directory lies on, and how to make it fit for a database.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use nix::sys::statfs::{BTRFS_SUPER_MAGIC, statfs};

use crate::error::StoreError;

/// Those whose fsync and locks depend on another machine or on a host that may not pass them on.
const NETWORK: [(i64, &str); 9] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x0102_1997, "9p"),
    (0x5346_414f, "AFS"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
    (0x7461_636f, "OCFS2"),
];
/// `FS_NOCOW_FL` of `linux/fs.h`.
const NO_COPY_ON_WRITE: libc::c_long = 0x0080_0000;

/// Refuses network file systems.
pub(crate) fn check(path: &Path) -> Result<(), StoreError> {
    let kind = kind_of(path).map_err(StoreError::file("look at the file system of", path))?;
    match network(kind) {
        Some(kind) => Err(StoreError::NetworkFileSystem { path: path.to_owned(), kind }),
        None => Ok(()),
    }
}

/// The name of a network file system; `None` for the others, FUSE included: most of it is local.
fn network(kind: i64) -> Option<&'static str> {
    NETWORK.iter().find(|(magic, _)| *magic == kind).map(|(_, name)| *name)
}

/// On btrfs, makes files that will be made in this empty directory be overwritten in place: a database that is written
/// a page at a time would fragment otherwise. Only speed depends on it, so that a failure is no more than logged.
pub(crate) fn avoid_copy_on_write(path: &Path) {
    if kind_of(path).is_ok_and(|kind| kind == BTRFS_SUPER_MAGIC.0)
        && let Err(error) = set_flag(path, NO_COPY_ON_WRITE)
    {
        tracing::warn!(path = %path.display(), %error, "cannot turn copy-on-write off");
    }
}

fn kind_of(path: &Path) -> io::Result<i64> {
    // The kernel's numbers have 32 bits; some C libraries keep them signed.
    Ok(statfs(path)?.filesystem_type().0 & 0xffff_ffff)
}

/// The only system call of this crate that std and nix do not wrap, hence `unsafe` outside runtime and shim.
fn set_flag(path: &Path, flag: libc::c_long) -> io::Result<()> {
    let directory = File::open(path)?;
    let mut flags: libc::c_long = 0;
    // SAFETY: the descriptor is open, and the kernel writes one int into the long that `flags` is.
    let got = unsafe { libc::ioctl(directory.as_raw_fd(), libc::FS_IOC_GETFLAGS, &raw mut flags) };
    if got != 0 {
        return Err(io::Error::last_os_error());
    }
    flags |= flag;
    // SAFETY: as above; the kernel reads the int.
    let set = unsafe { libc::ioctl(directory.as_raw_fd(), libc::FS_IOC_SETFLAGS, &raw const flags) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_directory_is_taken_and_proc_is_no_network() {
        check(Path::new("/tmp")).unwrap();
        check(Path::new("/proc")).unwrap();
        assert!(check(Path::new("/no/such/place")).is_err());
    }

    #[test]
    fn network_file_systems_are_known_by_the_kernels_numbers() {
        // From linux/magic.h: NFS, CIFS, 9p; then ext4, tmpfs, btrfs, xfs, overlayfs.
        assert_eq!([0x6969, 0xff53_4d42, 0x0102_1997].map(network), [Some("NFS"), Some("CIFS"), Some("9p")]);
        assert_eq!([0xef53, 0x0102_1994, 0x9123_683e, 0x5846_5342, 0x794c_7630].map(network), [None; 5]);
    }

    #[test]
    fn a_file_system_without_flags_is_left_alone() {
        avoid_copy_on_write(Path::new("/tmp"));
        assert!(set_flag(Path::new("/proc"), NO_COPY_ON_WRITE).is_err());
    }
}
