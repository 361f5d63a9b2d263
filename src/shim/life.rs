//! Whether a process lives, told by its pidfd without a thread.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use cove_runtime::process::PidFd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A process that is watched.
#[derive(Debug)]
pub(crate) struct Life {
    process: PidFd,
    ready: AsyncFd<OwnedFd>,
}

impl Life {
    /// Watches the process that has this number now.
    ///
    /// # Errors
    /// `ESRCH` when there is none.
    pub(crate) fn of(pid: i32) -> io::Result<Self> {
        let process = PidFd::open(pid)?;
        let copy = process.as_fd().try_clone_to_owned()?;
        // SAFETY: the registration owns its copy of the descriptor and ends before it is closed.
        let ready = unsafe { AsyncFd::register_with_interest(copy, Interest::READABLE) }?;
        Ok(Self { process, ready })
    }

    /// Waits for its end. Safe to drop while it waits.
    pub(crate) async fn ended(&self) {
        // The descriptor is readable once and for ever.
        let _ = self.ready.readable().await;
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.process.has_ended()
    }
}
