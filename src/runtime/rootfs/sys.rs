//! The few system calls that std lacks, each relative to an open directory.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::{c_int, mode_t};

/// How a path is looked up below a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resolve {
    /// As if the directory were `/`: links, absolute ones too, end inside.
    InRoot,
    /// No link at all, no `..` out.
    NoLinks,
}

pub(super) fn name(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::ErrorKind::InvalidInput.into())
}

fn done(result: c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// openat2. An empty path is the directory itself.
pub(super) fn open_beneath(
    dir: BorrowedFd<'_>,
    path: &[u8],
    flags: c_int,
    mode: mode_t,
    resolve: Resolve,
) -> io::Result<OwnedFd> {
    let path = name(if path.is_empty() { b"." } else { path })?;
    // SAFETY: all fields are plain integers, for which zero is a value.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (flags | libc::O_CLOEXEC) as u64;
    how.mode = u64::from(mode);
    how.resolve = libc::RESOLVE_NO_MAGICLINKS
        | match resolve {
            Resolve::InRoot => libc::RESOLVE_IN_ROOT,
            Resolve::NoLinks => libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS,
        };
    // The kernel answers EAGAIN when a rename elsewhere raced with a `..`; a few tries are enough.
    for _ in 0..64 {
        // SAFETY: path and how live through the call, and the size is that of how.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_openat2,
                dir.as_raw_fd(),
                path.as_ptr(),
                &raw const how,
                size_of::<libc::open_how>(),
            )
        };
        if fd >= 0 {
            // SAFETY: a descriptor that the kernel just made for us.
            return Ok(unsafe { OwnedFd::from_raw_fd(fd as c_int) });
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::EAGAIN) {
            return Err(error);
        }
    }
    Err(io::Error::from_raw_os_error(libc::EAGAIN))
}

/// Creates a file that must not exist.
pub(super) fn create(dir: BorrowedFd<'_>, leaf: &[u8], mode: mode_t) -> io::Result<OwnedFd> {
    let leaf = name(leaf)?;
    let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: leaf lives through the call.
    let fd = unsafe { libc::openat(dir.as_raw_fd(), leaf.as_ptr(), flags, mode) };
    done(fd)?;
    // SAFETY: a descriptor that the kernel just made for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(super) fn make_directory(dir: BorrowedFd<'_>, leaf: &[u8], mode: mode_t) -> io::Result<()> {
    let leaf = name(leaf)?;
    // SAFETY: leaf lives through the call.
    done(unsafe { libc::mkdirat(dir.as_raw_fd(), leaf.as_ptr(), mode) })
}

pub(super) fn make_node(dir: BorrowedFd<'_>, leaf: &[u8], mode: mode_t, device: (u32, u32)) -> io::Result<()> {
    let leaf = name(leaf)?;
    let device = libc::makedev(device.0, device.1);
    // SAFETY: leaf lives through the call.
    done(unsafe { libc::mknodat(dir.as_raw_fd(), leaf.as_ptr(), mode, device) })
}

pub(super) fn symlink(target: &[u8], dir: BorrowedFd<'_>, leaf: &[u8]) -> io::Result<()> {
    let (target, leaf) = (name(target)?, name(leaf)?);
    // SAFETY: both names live through the call.
    done(unsafe { libc::symlinkat(target.as_ptr(), dir.as_raw_fd(), leaf.as_ptr()) })
}

/// A link at `from` itself is linked, not followed.
pub(super) fn link(from_dir: BorrowedFd<'_>, from: &[u8], dir: BorrowedFd<'_>, leaf: &[u8]) -> io::Result<()> {
    let (from, leaf) = (name(from)?, name(leaf)?);
    // SAFETY: both names live through the call.
    done(unsafe { libc::linkat(from_dir.as_raw_fd(), from.as_ptr(), dir.as_raw_fd(), leaf.as_ptr(), 0) })
}

pub(super) fn unlink(dir: BorrowedFd<'_>, leaf: &[u8]) -> io::Result<()> {
    let leaf = name(leaf)?;
    // SAFETY: leaf lives through the call.
    done(unsafe { libc::unlinkat(dir.as_raw_fd(), leaf.as_ptr(), 0) })
}

pub(super) fn remove_directory(dir: BorrowedFd<'_>, leaf: &[u8]) -> io::Result<()> {
    let leaf = name(leaf)?;
    // SAFETY: leaf lives through the call.
    done(unsafe { libc::unlinkat(dir.as_raw_fd(), leaf.as_ptr(), libc::AT_REMOVEDIR) })
}

pub(super) fn rename(from_dir: BorrowedFd<'_>, from: &[u8], dir: BorrowedFd<'_>, to: &[u8]) -> io::Result<()> {
    let (from, to) = (name(from)?, name(to)?);
    // SAFETY: both names live through the call.
    done(unsafe { libc::renameat(from_dir.as_raw_fd(), from.as_ptr(), dir.as_raw_fd(), to.as_ptr()) })
}

/// What is there, a link itself included.
pub(super) fn status(dir: BorrowedFd<'_>, leaf: &[u8]) -> io::Result<libc::stat> {
    let leaf = name(leaf)?;
    // SAFETY: all fields are plain integers.
    let mut status: libc::stat = unsafe { std::mem::zeroed() };
    let flags = libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH;
    // SAFETY: leaf and status live through the call.
    done(unsafe { libc::fstatat(dir.as_raw_fd(), leaf.as_ptr(), &raw mut status, flags) })?;
    Ok(status)
}

/// Of a directory's entry, links not followed.
pub(super) fn change_owner(dir: BorrowedFd<'_>, leaf: &[u8], uid: u32, gid: u32) -> io::Result<()> {
    let leaf = name(leaf)?;
    let flags = libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH;
    // SAFETY: leaf lives through the call.
    done(unsafe { libc::fchownat(dir.as_raw_fd(), leaf.as_ptr(), uid, gid, flags) })
}

/// Of an open file or directory.
pub(super) fn change_mode(file: BorrowedFd<'_>, mode: mode_t) -> io::Result<()> {
    // SAFETY: plain integers.
    done(unsafe { libc::fchmod(file.as_raw_fd(), mode) })
}

/// Access and modification time; an empty leaf is the open file itself, links are not followed.
pub(super) fn set_time(dir: BorrowedFd<'_>, leaf: &[u8], time: (i64, u32)) -> io::Result<()> {
    let stamp = libc::timespec { tv_sec: time.0, tv_nsec: i64::from(time.1) };
    let stamps = [stamp, stamp];
    if leaf.is_empty() {
        // SAFETY: the stamps live through the call.
        return done(unsafe { libc::futimens(dir.as_raw_fd(), stamps.as_ptr()) });
    }
    let leaf = name(leaf)?;
    // SAFETY: the name and the stamps live through the call.
    done(unsafe { libc::utimensat(dir.as_raw_fd(), leaf.as_ptr(), stamps.as_ptr(), libc::AT_SYMLINK_NOFOLLOW) })
}

pub(super) fn set_xattr(file: BorrowedFd<'_>, key: &[u8], value: &[u8]) -> io::Result<()> {
    let key = name(key)?;
    // SAFETY: key and value live through the call, and the length is value's.
    done(unsafe { libc::fsetxattr(file.as_raw_fd(), key.as_ptr(), value.as_ptr().cast(), value.len(), 0) })
}

/// Everything of the file system that holds `dir` goes to disk.
pub(super) fn sync_file_system(dir: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: a plain integer.
    done(unsafe { libc::syncfs(dir.as_raw_fd()) })
}

/// Gives the calling thread its own umask (and working directory), and sets it to nothing: modes are then as asked.
pub(super) fn own_umask() -> io::Result<()> {
    // SAFETY: changes this thread's own file system context only.
    done(unsafe { libc::unshare(libc::CLONE_FS) })?;
    // SAFETY: cannot fail; the context is this thread's own by now.
    unsafe { libc::umask(0) };
    Ok(())
}

/// Takes the immutable and append-only flags away, so that a file can be removed.
pub(super) fn clear_flags(file: BorrowedFd<'_>) -> io::Result<()> {
    let mut flags: libc::c_long = 0;
    // SAFETY: the kernel writes an int (32 bits) into flags, which is larger.
    done(unsafe { libc::ioctl(file.as_raw_fd(), libc::FS_IOC_GETFLAGS, &raw mut flags) })?;
    let wanted = flags & !(IMMUTABLE | APPEND_ONLY);
    // SAFETY: the kernel reads an int from wanted, which is larger.
    done(unsafe { libc::ioctl(file.as_raw_fd(), libc::FS_IOC_SETFLAGS, &raw const wanted) })
}

const IMMUTABLE: libc::c_long = 0x10;
const APPEND_ONLY: libc::c_long = 0x20;
