//! The last steps of a process on its way into a container: from all of our rights to only its own.
//!
//! Holds: nobody in the container can trace the process before it is restricted (it is not dumpable), and the filter is
//! there before the program's first instruction. The order is what the kernel asks: a filter without no-new-privileges
//! needs CAP_SYS_ADMIN, so it comes before the capabilities go.

use std::io;

use crate::capability::{self, Capabilities};
use crate::seccomp::Filter;

/// What a container's processes are left with.
#[derive(Debug, Clone)]
pub struct Restriction {
    /// The bounding set, and what root in the container has.
    pub capabilities: Capabilities,
    pub no_new_privileges: bool,
    /// `None` for privileged containers.
    pub filter: Option<Filter>,
}

impl Restriction {
    /// Applies all of it to the calling, single-threaded process, whose ids are already the final ones.
    pub(crate) fn apply(&self, is_root: bool) -> io::Result<()> {
        set_dumpable_off()?;
        capability::drop_bounding(self.capabilities)?;
        capability::clear_ambient()?;
        let own = if is_root { self.capabilities } else { Capabilities::NONE };
        if self.no_new_privileges {
            set_no_new_privileges()?;
            capability::set(own, own)?;
            self.load_filter()
        } else {
            self.load_filter()?;
            capability::set(own, own)
        }
    }

    fn load_filter(&self) -> io::Result<()> {
        self.filter.as_ref().map_or(Ok(()), Filter::load)
    }
}

pub(crate) fn set_dumpable_off() -> io::Result<()> {
    // SAFETY: prctl with integers only.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) })
}

fn set_no_new_privileges() -> io::Result<()> {
    // SAFETY: prctl with integers only.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Undoes what the Rust runtime and our parents did to signals: an ignored SIGPIPE, a nohup or a blocked signal would be
/// inherited by the container.
pub(crate) fn reset_signals() {
    const LAST: libc::c_int = 64;
    const SET_BYTES: usize = 8;
    // The kernel's own structure, all zero: default action, no flags, no mask.
    let default = [0u64; 4];
    for signal in 1..=LAST {
        // SAFETY: raw, because glibc refuses its own two signals; the structure is live, KILL and STOP merely fail.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), std::ptr::null_mut::<u64>(), SET_BYTES)
        };
    }
    // SAFETY: plain signal calls with a set of our own.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}
