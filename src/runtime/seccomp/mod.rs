//! The system call filter of containers: Docker's default profile as data, made into one small program.
//!
//! In: the capabilities of a container. Out: bytes for `seccomp(2)`.
//!
//! Holds: what the profile does not name answers EPERM; numbers newer than the profile answer ENOSYS, also `clone3`, so
//! that programs fall back to what they can do; x32 calls answer ENOSYS; 32-bit programs have their own table.
//! Why our own generator: libcontainer's path through libseccomp mistranslates masked conditions (clone with new user
//! namespaces would be allowed), costs 10 to 16 ms of CPU per start, and links a C library.
//! Why a tree: a sorted tree over numbers loads in 0.15 ms, a list takes three times as long.

mod profile;
mod program;

use std::io;

use libc::sock_filter;

use crate::capability::Capabilities;

/// A filter that is ready to be loaded. Made before a process is cloned, loaded after, without allocation.
#[derive(Debug, Clone)]
pub struct Filter {
    instructions: Vec<sock_filter>,
}

impl Filter {
    /// The filter for a container with these capabilities.
    #[must_use]
    pub fn for_capabilities(held: Capabilities) -> Self {
        let instructions = program::assemble(&[
            (program::AUDIT_ARCH_X86_64, profile::actions(held, profile::Architecture::X86_64)),
            (program::AUDIT_ARCH_I386, profile::actions(held, profile::Architecture::I386)),
        ]);
        Self { instructions }
    }

    /// Puts the calling thread under the filter, for good. Needs CAP_SYS_ADMIN or no-new-privileges.
    ///
    /// # Errors
    /// What the kernel says. Does not allocate.
    pub fn load(&self) -> io::Result<()> {
        const SECCOMP_SET_MODE_FILTER: libc::c_long = 1;
        let program = libc::sock_fprog {
            // The program is a few hundred instructions; the kernel's limit is 4096.
            len: u16::try_from(self.instructions.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?,
            filter: self.instructions.as_ptr().cast_mut(),
        };
        // SAFETY: the kernel reads `len` instructions from a live vector and keeps a copy.
        let done = unsafe { libc::syscall(libc::SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

#[cfg(test)]
mod tests;
