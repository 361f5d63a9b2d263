//! Network namespaces: making, entering on a thread of its own, pinning to a file.
//!
//! Holds: no thread but the short-lived ones made here ever changes its namespace.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use super::system::{bind_mount, unmount};

/// What the threads run is shallow; small stacks are quick to map.
const STACK_BYTES: usize = 128 * 1024;
const OWN: &str = "/proc/thread-self/ns/net";
/// The file system that namespace files belong to.
const NSFS_MAGIC: i64 = 0x6e73_6673;

/// A namespace that is kept alive by holding it open.
#[derive(Debug, Clone)]
pub(super) struct Namespace(Arc<File>);

impl Namespace {
    /// The calling thread's.
    pub(super) fn current() -> io::Result<Self> {
        Ok(Self(Arc::new(File::open(OWN)?)))
    }

    /// One that is pinned to a file; an error when the file is no namespace.
    pub(super) fn pinned(pin: &Path) -> io::Result<Self> {
        let file = File::open(pin)?;
        // SAFETY: all zero is a valid buffer to be filled.
        let mut stats: libc::statfs = unsafe { std::mem::zeroed() };
        // SAFETY: the descriptor is open and the buffer writable.
        if unsafe { libc::fstatfs(file.as_raw_fd(), &raw mut stats) } != 0 {
            return Err(io::Error::last_os_error());
        }
        if stats.f_type != NSFS_MAGIC {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the file pins no namespace"));
        }
        Ok(Self(Arc::new(file)))
    }

    /// Makes one, pins it to a file that must not exist, and runs `inside` in it. On failure nothing is left.
    pub(super) fn create<T: Send>(pin: &Path, inside: impl FnOnce() -> io::Result<T> + Send) -> io::Result<(Self, T)> {
        on_thread(|| {
            // SAFETY: only this thread is concerned.
            if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
                return Err(io::Error::last_os_error());
            }
            OpenOptions::new().write(true).create_new(true).open(pin)?;
            let made = bind_mount(Path::new(OWN), pin).and_then(|()| Ok((Self(Arc::new(File::open(pin)?)), inside()?)));
            if made.is_err() {
                let _ = unpin(pin);
            }
            made
        })
    }

    /// Runs something inside.
    pub(super) fn run<T: Send>(&self, inside: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        let fd = self.fd();
        on_thread(move || {
            // SAFETY: the descriptor is a namespace's; only this thread is concerned.
            if unsafe { libc::setns(fd, libc::CLONE_NEWNET) } != 0 {
                return Err(io::Error::last_os_error());
            }
            inside()
        })
    }

    /// One that nothing pins: it lives as long as its descriptor, or a process in it.
    pub(super) fn unpinned<T: Send>(inside: impl FnOnce() -> io::Result<T> + Send) -> io::Result<(Self, T)> {
        on_thread(|| {
            // SAFETY: only this thread is concerned.
            if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
                return Err(io::Error::last_os_error());
            }
            let made = inside()?;
            Ok((Self(Arc::new(File::open(OWN)?)), made))
        })
    }

    pub(super) fn descriptor(&self) -> io::Result<OwnedFd> {
        self.0.as_fd().try_clone_to_owned()
    }

    pub(super) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

fn on_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let worker =
            thread::Builder::new().name("cove-netns".into()).stack_size(STACK_BYTES).spawn_scoped(scope, work)?;
        worker.join().unwrap_or_else(|_| Err(io::Error::other("the namespace's thread panicked")))
    })
}

/// Removes a pin: unmounted here, then unlinked, which frees the copies in other mount namespaces too. Absent is fine.
pub(super) fn unpin(pin: &Path) -> io::Result<()> {
    match unmount(pin) {
        Ok(()) => {}
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOENT)) => {}
        Err(error) => return Err(error),
    }
    match fs::remove_file(pin) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
