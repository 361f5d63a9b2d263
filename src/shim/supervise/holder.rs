//! The process that keeps a shared pid or ipc namespace alive, so that no container of the task is special.
//!
//! Holds: it has no rights, no descriptors, and cannot be traced; it ends with the shim.

use std::io;

use cove_runtime::cgroup::Group;
use cove_runtime::process::PidFd;

/// Nobody.
const UID: libc::uid_t = 65534;

/// A running holder; killed when dropped.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) pid: i32,
    handle: PidFd,
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.handle.signal(libc::SIGKILL);
        let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(self.pid), None);
    }
}

/// Starts it in new namespaces.
pub(super) fn start(own_pid: bool, own_ipc: bool, group: &Group) -> io::Result<Holder> {
    let pid = if own_pid { libc::CLONE_NEWPID } else { 0 };
    let ipc = if own_ipc { libc::CLONE_NEWIPC } else { 0 };
    // SAFETY: without CLONE_VM this is a fork of a single-threaded process.
    let pid = unsafe { libc::syscall(libc::SYS_clone, pid | ipc | libc::SIGCHLD, 0, 0, 0, 0) };
    if pid == 0 {
        hold();
    }
    let pid = i32::try_from(pid).map_err(|_| io::Error::other("process number out of range"))?;
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    let handle = PidFd::open(pid)?;
    if let Err(error) = group.add(pid) {
        super::note(&cove_base::error::chain(&error));
    }
    Ok(Holder { pid, handle })
}

/// As PID 1 of a shared namespace it reaps for all containers.
fn hold() -> ! {
    erase_arguments();
    // SAFETY: plain calls with integers in a single-threaded process that never returns to Rust's destructors.
    unsafe {
        libc::syscall(libc::SYS_close_range, 0, libc::c_uint::MAX, 0);
        libc::chdir(c"/".as_ptr());
        libc::prctl(libc::PR_SET_NAME, c"cove-holder".as_ptr());
        libc::syscall(libc::SYS_setgroups, 0, 0);
        let failed = libc::syscall(libc::SYS_setresgid, UID, UID, UID) != 0
            || libc::syscall(libc::SYS_setresuid, UID, UID, UID) != 0
            || libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) != 0
            // After the change of ids, which clears it.
            || libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) != 0;
        if failed {
            libc::_exit(1);
        }
        loop {
            // With children: until one ends. Without: until a signal.
            if libc::waitpid(-1, std::ptr::null_mut(), 0) < 0 {
                libc::usleep(HOLD_MICROS);
            }
        }
    }
}

/// Orphans that end meanwhile wait this long to be reaped.
const HOLD_MICROS: libc::c_uint = 1_000_000;

/// The command line shows a path of the host to everybody in the namespace.
fn erase_arguments() {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit_once(") ").map_or(Vec::new(), |(_, rest)| rest.split(' ').collect());
    // Fields 48 and 49 of proc(5); the split begins with field 3.
    let address = |at: usize| fields.get(at - 3).and_then(|text| text.trim().parse::<usize>().ok());
    if let (Some(from), Some(to)) = (address(48), address(49))
        && from != 0
        && to > from
        && to - from < 1 << 20
    {
        // SAFETY: the kernel put the arguments of this very process there, writable; nobody reads them any more.
        unsafe { std::ptr::write_bytes(from as *mut u8, 0, to - from) };
    }
}
