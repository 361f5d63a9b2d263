//! Host ports that the task publishes, held so that nobody else on the host takes them.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::SuperviseError;
use crate::protocol::HeldPort;

/// One bound socket per port, on every address of both families. No SO_REUSEADDR: it would let others in.
pub(super) fn hold(ports: &[HeldPort]) -> Result<Vec<OwnedFd>, SuperviseError> {
    let hold_one = |held: &HeldPort| {
        hold_both(held).map_err(|source| SuperviseError::Port {
            port: held.port,
            protocol: if held.udp { "udp" } else { "tcp" },
            source,
        })
    };
    ports.iter().map(hold_one).collect()
}

fn hold_both(held: &HeldPort) -> io::Result<OwnedFd> {
    let kind = if held.udp { libc::SOCK_DGRAM } else { libc::SOCK_STREAM };
    let Ok(fd) = socket(libc::AF_INET6, kind) else {
        // A host without IPv6.
        let fd = socket(libc::AF_INET, kind)?;
        // SAFETY: an all-zero address is the wildcard of its family.
        let mut any: libc::sockaddr_in = unsafe { std::mem::zeroed() };
        any.sin_family = libc::AF_INET as libc::sa_family_t;
        any.sin_port = held.port.to_be();
        bind(&fd, &any)?;
        return Ok(fd);
    };
    let off: libc::c_int = 0;
    // SAFETY: an option of the size that is passed.
    check(unsafe {
        let size = size_of::<libc::c_int>() as libc::socklen_t;
        libc::setsockopt(fd.as_raw_fd(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, (&raw const off).cast(), size)
    })?;
    // SAFETY: as above.
    let mut any: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
    any.sin6_family = libc::AF_INET6 as libc::sa_family_t;
    any.sin6_port = held.port.to_be();
    bind(&fd, &any)?;
    Ok(fd)
}

fn socket(family: libc::c_int, kind: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: integers in, a descriptor out.
    let raw = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, 0) };
    check(raw.min(0))?;
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// `A` is one of the socket address structures.
fn bind<A>(fd: &OwnedFd, address: &A) -> io::Result<()> {
    let size = libc::socklen_t::try_from(size_of::<A>()).unwrap_or(0);
    // SAFETY: the kernel reads `size` bytes of a live structure and checks its family.
    check(unsafe { libc::bind(fd.as_raw_fd(), std::ptr::from_ref(address).cast(), size) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_port_cannot_be_taken_on_any_address() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        assert!(matches!(hold(&[HeldPort { port, udp: false }]), Err(SuperviseError::Port { .. })));
        drop(free);
        let held = hold(&[HeldPort { port, udp: false }, HeldPort { port, udp: true }]).unwrap();
        assert_eq!(held.len(), 2);
        assert!(std::net::TcpListener::bind(("127.0.0.1", port)).is_err());
        assert!(std::net::TcpListener::bind(("0.0.0.0", port)).is_err());
        assert!(std::net::UdpSocket::bind(("127.0.0.1", port)).is_err());
    }
}
