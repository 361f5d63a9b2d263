//! Processes by descriptor, not by number, and the identity of this boot.
//!
//! Holds: a signal sent through a [`PidFd`] reaches the process that was meant or nobody, never a later owner of the
//! same number.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;

/// Makes a pipe the user's; what is no pipe, such as /dev/null, is not the container's to own.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn give_pipe(stream: BorrowedFd<'_>, uid: u32) -> io::Result<()> {
    let kind = nix::sys::stat::fstat(stream.as_raw_fd())?.st_mode & libc::S_IFMT;
    if uid == 0 || kind != libc::S_IFIFO {
        return Ok(());
    }
    // SAFETY: an open descriptor and two integers; the group stays.
    let done = unsafe { libc::fchown(stream.as_raw_fd(), uid, libc::gid_t::MAX) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A process held by descriptor. Readable (in the sense of poll) once the process has ended.
#[derive(Debug)]
pub struct PidFd(OwnedFd);

impl PidFd {
    /// Opens the process that has this number now.
    ///
    /// # Errors
    /// `ESRCH` when there is none.
    pub fn open(pid: i32) -> io::Result<Self> {
        // SAFETY: the call takes two integers and touches no memory of ours.
        let raw = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        let raw = RawFd::try_from(raw).map_err(|_| io::Error::other("descriptor number out of range"))?;
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just made this descriptor for us and nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(raw) }))
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// `ESRCH` when the process has ended and was reaped.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        // SAFETY: a null siginfo is allowed and means the same as kill(2).
        let done = unsafe {
            libc::syscall(libc::SYS_pidfd_send_signal, self.0.as_raw_fd(), signal, std::ptr::null::<u8>(), 0)
        };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Whether the process has ended (it may not be reaped yet).
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let mut poll = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid pollfd, no waiting.
        unsafe { libc::poll(&raw mut poll, 1, 0) == 1 }
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The kernel's inode number of the first pid namespace (`PROC_PID_INIT_INO`).
const FIRST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// The identity of this boot: when it differs from a remembered one, every process of then is gone. The kernel's; in a
/// container, whose processes all die with its first one, also that one's start.
///
/// # Errors
/// When `/proc` is not there.
pub fn boot_id() -> io::Result<String> {
    let kernel = fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
    if fs::metadata("/proc/self/ns/pid")?.ino() == FIRST_PID_NAMESPACE {
        return Ok(kernel);
    }
    Ok(format!("{kernel}-{}", start_ticks(1)?))
}

/// When a process began, in clock ticks since boot: with the number it names a process for this boot.
///
/// # Errors
/// When there is no such process.
pub fn start_ticks(pid: i32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the program's name in brackets and may itself hold brackets and spaces.
    let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let field = rest.split(' ').nth(19).and_then(|text| text.parse().ok());
    field.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_signalled_and_seen_to_end() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let handle = PidFd::open(i32::try_from(child.id()).unwrap()).unwrap();
        assert!(!handle.has_ended());
        handle.signal(libc::SIGKILL).unwrap();
        child.wait().unwrap();
        assert!(handle.has_ended());
        assert_eq!(handle.signal(libc::SIGKILL).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    }

    #[test]
    fn this_process_has_a_start_time_and_this_boot_an_id() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(start_ticks(own).unwrap() > 0);
        let boot = boot_id().unwrap();
        assert!(boot.len() >= 36 && boot == boot_id().unwrap(), "{boot}");
    }
}
