//! The terminal of a container.
//!
//! libcontainer makes it inside the container, where it is `/dev/console` and has a name, and hands its other end over by
//! a socket.
//!
//! Holds: the terminal belongs to the container's user before the program begins, so that it may open it again.

use std::fs::{self, File};
use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

/// The socket's name in the container's directory.
const SOCKET: &str = "console.sock";

/// Where the terminal is awaited; the socket goes with it.
pub(super) struct Console {
    listener: UnixListener,
    path: PathBuf,
}

impl Console {
    pub(super) fn listen(bundle: &Path) -> io::Result<Self> {
        remove(bundle);
        // A socket's address is short: the directory's descriptor stands for its path.
        let directory = File::open(bundle)?;
        let listener = UnixListener::bind(format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd()))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, path: bundle.join(SOCKET) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What the container's process has sent by the time that it is ready to begin. Never waits.
    pub(super) fn take(self, uid: u32) -> io::Result<OwnedFd> {
        let (stream, _) = self.listener.accept()?;
        stream.set_nonblocking(true)?;
        let mut name = [0; 64];
        let mut control = nix::cmsg_space!([i32; 1]);
        let mut parts = [IoSliceMut::new(&mut name)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
        let mut number = None;
        for part in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(numbers) = part {
                number = numbers.first().copied();
            }
        }
        let number = number.ok_or(io::ErrorKind::InvalidData)?;
        // SAFETY: the kernel just made this descriptor for us, and room was for one.
        let keyboard = unsafe { OwnedFd::from_raw_fd(number) };
        give_to(&keyboard, uid)?;
        Ok(keyboard)
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// What a start that was cut short left.
pub(super) fn remove(bundle: &Path) {
    let _ = fs::remove_file(bundle.join(SOCKET));
}

/// Through the other end: no path of the container's is followed. The group stays the one that terminals have.
fn give_to(keyboard: &OwnedFd, uid: u32) -> io::Result<()> {
    let terminal = crate::pty::peer(keyboard)?;
    // SAFETY: integers only; the descriptor is open.
    if unsafe { libc::fchown(terminal.as_raw_fd(), uid, libc::gid_t::MAX) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
