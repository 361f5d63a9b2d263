//! Host ports: those that a task publishes, held so that nobody else on the host takes them, and free ones to publish.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::protocol::HeldPort;

/// A port that cannot be held.
#[derive(Debug, thiserror::Error)]
#[error("host port {}/{} is taken", .port.port, if .port.udp { "udp" } else { "tcp" })]
pub struct PortError {
    pub port: HeldPort,
    source: io::Error,
}

/// One bound socket per port, on every address of both families. No SO_REUSEADDR: it would let others in.
pub(crate) fn hold(ports: &[HeldPort]) -> Result<Vec<OwnedFd>, PortError> {
    ports.iter().map(|port| hold_both(port).map_err(|source| PortError { port: *port, source })).collect()
}

/// Whether a shim could hold the port now.
#[must_use]
pub fn is_free(port: HeldPort) -> bool {
    hold_both(&port).is_ok()
}

/// Up to so many different ports that are free now, of the kernel's choice from its range for dynamic ports.
#[must_use]
pub fn free(udp: bool, count: usize) -> Vec<u16> {
    // All held until the last is found, or the kernel might give the same again.
    let held: Vec<OwnedFd> = (0..count).map_while(|_| hold_both(&HeldPort { port: 0, udp }).ok()).collect();
    held.iter().filter_map(|fd| number(fd).ok()).collect()
}

fn number(fd: &OwnedFd) -> io::Result<u16> {
    // SAFETY: an all-zero address is to be filled in; one of IPv4 is shorter and has its port at the same place.
    let mut address: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
    let mut size = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `size` bytes.
    check(unsafe { libc::getsockname(fd.as_raw_fd(), (&raw mut address).cast(), &raw mut size) })?;
    Ok(u16::from_be(address.sin6_port))
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
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = other.local_addr().unwrap().port();
        assert!(hold(&[HeldPort { port, udp: false }]).is_err() && !is_free(HeldPort { port, udp: false }));
        drop(other);
        let held = hold(&[HeldPort { port, udp: false }, HeldPort { port, udp: true }]).unwrap();
        assert_eq!(held.len(), 2);
        assert!(std::net::TcpListener::bind(("127.0.0.1", port)).is_err());
        assert!(std::net::TcpListener::bind(("0.0.0.0", port)).is_err());
        assert!(std::net::UdpSocket::bind(("127.0.0.1", port)).is_err());
        let mut others = free(false, 8);
        assert!(!others.contains(&port) && others.iter().all(|port| is_free(HeldPort { port: *port, udp: false })));
        others.sort_unstable();
        others.dedup();
        assert_eq!(others.len(), 8);
    }
}
