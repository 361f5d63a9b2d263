//! The pair of addresses between the host and a router, leased under a lock that all servers of the machine share.
//!
//! Holds: a pair is free when no route or address of the host touches it, so the kernel is the record and servers with
//! different run directories never collide. A pair that was given back is not leased again before all others were:
//! connections to its last owner may linger.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use cove_model::network::Cidr;

use super::NetworkError;
use super::netlink::route::Destination;

/// One for the whole machine, whatever the run directories are.
const LOCK: &str = "/run/cove-transit.lock";
/// Who can open it can hold it, and with it every server of the host.
const LOCK_MODE: u32 = 0o600;
/// Shorter prefixes are default routes in disguise (VPNs route two halves of everything).
const SHORTEST_REAL_PREFIX: u8 = 8;

/// A leased pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) slot: u16,
    pub(super) host: Ipv4Addr,
    pub(super) router: Ipv4Addr,
}

impl Lease {
    pub(super) fn of(range: Cidr, slot: u16) -> Self {
        let first = u32::from(slot) * 2;
        Self { slot, host: range.nth(first), router: range.nth(first + 1) }
    }
}

/// How many pairs a range holds. The last address is never leased: see [`nowhere`].
fn slots(range: Cidr) -> u32 {
    u32::try_from((range.size() / 2).saturating_sub(1)).unwrap_or(u32::MAX).min(1 << 16)
}

/// An address that is configured nowhere: the source of connections from one router to another by way of the host.
pub(super) fn nowhere(range: Cidr) -> Ipv4Addr {
    range.nth(u32::try_from(range.size() - 1).unwrap_or(u32::MAX))
}

/// Held while the host's common state changes: leases, forwarding.
#[derive(Debug)]
pub(super) struct HostLock(File);

impl HostLock {
    pub(super) fn take() -> Result<Self, NetworkError> {
        let failed = |source| NetworkError::File { attempt: "lock", path: LOCK.into(), source };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(LOCK_MODE)
            .open(Path::new(LOCK))
            .map_err(failed)?;
        // One of an earlier version can be opened, and so held, by anybody.
        file.set_permissions(Permissions::from_mode(LOCK_MODE)).map_err(failed)?;
        loop {
            // SAFETY: the descriptor is open; closing it gives the lock back.
            if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) } == 0 {
                return Ok(Self(file));
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(failed(error));
            }
        }
    }

    /// The next free pair after the one leased last.
    pub(super) fn lease(&mut self, range: Cidr, taken: &[Destination]) -> Result<Lease, NetworkError> {
        let lease = next_free(range, self.cursor(), taken)
            .ok_or_else(|| NetworkError::TransitRangeFull { range: range.to_string() })?;
        self.remember(u32::from(lease.slot) + 1).map_err(|source| NetworkError::File {
            attempt: "write",
            path: LOCK.into(),
            source,
        })?;
        Ok(lease)
    }

    /// Where the search goes on; anything unreadable starts over.
    fn cursor(&mut self) -> u32 {
        let mut text = String::new();
        let read = self.0.seek(SeekFrom::Start(0)).and_then(|_| (&mut self.0).take(16).read_to_string(&mut text));
        read.ok().and_then(|_| text.trim().parse().ok()).unwrap_or(0)
    }

    fn remember(&mut self, cursor: u32) -> io::Result<()> {
        self.0.set_len(0)?;
        self.0.seek(SeekFrom::Start(0))?;
        writeln!(self.0, "{cursor}")
    }
}

fn next_free(range: Cidr, cursor: u32, taken: &[Destination]) -> Option<Lease> {
    let real: Vec<Cidr> = taken
        .iter()
        .filter(|one| one.prefix >= SHORTEST_REAL_PREFIX)
        .map(|one| {
            let bare = Cidr { address: one.address, prefix: one.prefix };
            Cidr { address: Ipv4Addr::from(u32::from(one.address) & bare.mask()), ..bare }
        })
        .filter(|one| one.overlaps(range))
        .collect();
    let count = slots(range);
    (0..count).map(|step| (u64::from(cursor) + u64::from(step)) % u64::from(count)).find_map(|slot| {
        let lease = Lease::of(range, u16::try_from(slot).ok()?);
        let pair = Cidr { address: lease.host, prefix: 31 };
        (!real.iter().any(|one| one.overlaps(pair))).then_some(lease)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(address: [u8; 4], prefix: u8) -> Destination {
        Destination { address: address.into(), prefix, index: 1 }
    }

    #[test]
    fn pairs_go_round_and_skip_what_is_routed() {
        let range = Cidr::parse("198.19.0.0/28").unwrap();
        let slot = |cursor, taken: &[Destination]| next_free(range, cursor, taken).map(|lease| lease.slot);
        assert_eq!(slot(0, &[]), Some(0));
        assert_eq!(slot(6, &[taken([198, 19, 0, 12], 31)]), Some(0));
        assert_eq!(slot(7, &[]), Some(0));
        assert_eq!(slot(0, &[taken([198, 19, 0, 0], 29)]), Some(4));
        assert_eq!(slot(0, &[taken([198, 19, 0, 3], 29)]), Some(4));
        assert_eq!(slot(0, &[taken([0, 0, 0, 0], 0), taken([128, 0, 0, 0], 1)]), Some(0));
    }

    #[test]
    fn a_range_that_is_routed_elsewhere_has_no_pair() {
        assert_eq!(next_free(Cidr::parse("198.19.0.0/16").unwrap(), 5, &[taken([198, 18, 0, 0], 15)]), None);
    }

    #[test]
    fn the_address_that_is_nowhere_is_never_leased() {
        let range = Cidr::parse("198.19.0.0/16").unwrap();
        let last = Lease::of(range, u16::try_from(slots(range) - 1).unwrap());
        assert!(last.router < nowhere(range) && last.host < nowhere(range));
    }
}
