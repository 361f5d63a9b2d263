//! Capabilities: names, sets, and what Docker gives by default.

use std::io;

/// A set of capabilities as the kernel's bit mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities(pub u64);

/// By number.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What a container has unless its definition says otherwise.
pub const DEFAULT: Capabilities = Capabilities(0xa804_25fb);

pub(crate) const SYS_PTRACE: u8 = 19;
pub(crate) const MKNOD: u8 = 27;

impl Capabilities {
    /// None.
    pub const NONE: Self = Self(0);
    /// All that exist.
    pub const ALL: Self = Self((1 << NAMES.len()) - 1);

    /// The set of these names, with or without `CAP_`; `None` when one does not exist.
    #[must_use]
    pub fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut set = Self::NONE;
        for name in names {
            set.0 |= 1 << number(name)?;
        }
        Some(set)
    }

    /// Whether the set holds this number.
    #[must_use]
    pub const fn has(self, number: u8) -> bool {
        self.0 >> number & 1 == 1
    }

    /// Those in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The set less one.
    #[must_use]
    pub const fn without(self, number: u8) -> Self {
        Self(self.0 & !(1 << number))
    }
}

/// What the kernel must let us do for a task to start: mounts and namespaces, links and tables, files of any owner,
/// other users' processes and devices.
const NEEDED: [&str; 12] = [
    "SYS_ADMIN",
    "NET_ADMIN",
    "SYS_CHROOT",
    "SETUID",
    "SETGID",
    "SETPCAP",
    "SETFCAP",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "KILL",
    "MKNOD",
];

/// Names of what this process would need to run containers and does not hold.
#[must_use]
pub fn missing() -> Vec<&'static str> {
    let held = permitted();
    NEEDED.into_iter().filter(|name| number(name).is_none_or(|number| !held.has(number))).collect()
}

/// The number of a capability, with or without `CAP_` in front.
#[must_use]
pub fn number(name: &str) -> Option<u8> {
    let plain = name.strip_prefix("CAP_").unwrap_or(name);
    NAMES.iter().position(|one| *one == plain).and_then(|at| u8::try_from(at).ok())
}

/// What this process may hand on at most.
#[must_use]
pub fn bounding() -> Capabilities {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap_or_default();
    Capabilities(u64::from_str_radix(mask.trim(), 16).unwrap_or(0))
}

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Two data blocks of 32 bits each.
const VERSION_3: u32 = 0x2008_0522;

/// The permitted set of the calling thread, without `/proc`: inside a container that is the container's.
pub(crate) fn permitted() -> Capabilities {
    let header = Header { version: VERSION_3, pid: 0 };
    let mut data = [Data::default(), Data::default()];
    // SAFETY: version 3 fills in two data blocks, which is what these are.
    unsafe { libc::syscall(libc::SYS_capget, &raw const header, data.as_mut_ptr()) };
    Capabilities(u64::from(data[1].permitted) << 32 | u64::from(data[0].permitted))
}

/// Takes everything outside `keep` out of the bounding set of the calling thread. Does not allocate.
pub(crate) fn drop_bounding(keep: Capabilities) -> io::Result<()> {
    for number in 0..64 {
        // SAFETY: prctl with integers only.
        let held = unsafe { libc::prctl(libc::PR_CAPBSET_READ, libc::c_ulong::from(number), 0, 0, 0) };
        if held < 0 {
            return Ok(());
        }
        if held == 0 || keep.has(number) {
            continue;
        }
        // SAFETY: as above.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0, 0, 0) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Empties the ambient set of the calling thread.
pub(crate) fn clear_ambient() -> io::Result<()> {
    // SAFETY: prctl with integers only.
    let done = unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sets the calling thread's effective and permitted sets; nothing is inheritable. Does not allocate.
pub(crate) fn set(effective: Capabilities, permitted: Capabilities) -> io::Result<()> {
    #[allow(clippy::cast_possible_truncation, reason = "the two halves of a mask")]
    let halves = |mask: u64| (mask as u32, (mask >> 32) as u32);
    let ((effective_low, effective_high), (low, high)) = (halves(effective.0), halves(permitted.0));
    let header = Header { version: VERSION_3, pid: 0 };
    let data = [
        Data { effective: effective_low, permitted: low, inheritable: 0 },
        Data { effective: effective_high, permitted: high, inheritable: 0 },
    ];
    // SAFETY: version 3 reads a header and two data blocks, which is what these are.
    let done = unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_default_set_has_its_known_mask() {
        let names = [
            "CAP_CHOWN",
            "DAC_OVERRIDE",
            "FSETID",
            "FOWNER",
            "MKNOD",
            "NET_RAW",
            "SETGID",
            "SETUID",
            "SETFCAP",
            "SETPCAP",
            "NET_BIND_SERVICE",
            "SYS_CHROOT",
            "KILL",
            "AUDIT_WRITE",
        ];
        assert_eq!(Capabilities::named(names), Some(DEFAULT));
        assert_eq!(Capabilities::named(["NO_SUCH"]), None);
    }

    #[test]
    fn this_process_has_a_bounding_set() {
        assert!(bounding().has(number("CAP_CHOWN").unwrap()));
    }
}
