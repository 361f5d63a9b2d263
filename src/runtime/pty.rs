//! A pseudo terminal of the host's, for commands that people type into.
//!
//! Why the host's and not one of the container's own: opening `/dev/ptmx` of a container would follow links that the
//! container made. The other end is opened through the first one, so that no path is followed at all. The price: inside,
//! `tty` finds no name for it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

/// Both ends.
#[derive(Debug)]
pub struct Pty {
    /// What is typed goes in, what the command says comes out. Does not block.
    pub keyboard: File,
    /// The command's stdin, stdout and stderr.
    pub terminal: OwnedFd,
}

/// Makes one.
///
/// # Errors
/// When the kernel has none left.
pub fn open() -> io::Result<Pty> {
    let flags = libc::O_NOCTTY | libc::O_CLOEXEC | libc::O_NONBLOCK;
    let keyboard = OpenOptions::new().read(true).write(true).custom_flags(flags).open("/dev/ptmx")?;
    let locked: libc::c_int = 0;
    // SAFETY: the kernel reads one integer, which lives.
    check(unsafe { libc::ioctl(keyboard.as_raw_fd(), libc::TIOCSPTLCK, &raw const locked) })?;
    let terminal = peer(&keyboard)?;
    Ok(Pty { keyboard, terminal })
}

/// The terminal that belongs to a keyboard.
pub(crate) fn peer(keyboard: &impl AsRawFd) -> io::Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: takes flags by value and makes a new descriptor.
    let terminal = check(unsafe { libc::ioctl(keyboard.as_raw_fd(), libc::TIOCGPTPEER, flags) })?;
    // SAFETY: the kernel has just made it for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(terminal) })
}

/// Tells the programs on the terminal how large it is.
///
/// # Errors
/// When it is no terminal.
pub fn resize(keyboard: &File, columns: u16, rows: u16) -> io::Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel reads one structure, which lives.
    check(unsafe { libc::ioctl(keyboard.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) }).map(drop)
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn what_is_typed_is_read_and_the_size_is_known() {
        let Pty { mut keyboard, terminal } = open().expect("a pseudo terminal");
        resize(&keyboard, 100, 30).expect("resized");
        let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the kernel writes one structure, which lives.
        check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) }).expect("a size");
        assert_eq!((size.ws_col, size.ws_row), (100, 30));
        keyboard.write_all(b"hello\n").expect("typed");
        let mut line = [0; 6];
        File::from(terminal).read_exact(&mut line).expect("read");
        assert_eq!(&line, b"hello\n");
    }
}
