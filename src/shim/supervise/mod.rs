//! `cove shim TASK_DIR`: one poll loop over pidfds, pipes and sockets.
//!
//! ```text
//! Waiting ── Start ──▶ Running ── pidfd readable ──▶ draining (≤ 50 ms) ──▶ recording ── durable ──▶ Exited, told, removed
//!    └── cannot start ─────────────────────────────────────────────────────────┘
//! ```
//!
//! Holds: nobody is told of an exit before its record is on disk, however long that takes. No thread, no runtime, no signal handler, so that
//! libcontainer may fork at any time and no mask leaks into containers. A dead server changes nothing here.

mod connection;
mod container;
mod health;
mod holder;
mod place;
mod probe;
mod pump;
mod recording;
mod task;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use cove_runtime::cgroup::CgroupError;

use crate::frame::FrameError;

/// What keeps a shim from starting or going on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SuperviseError {
    #[error("usage: cove shim TASK_DIR")]
    Usage,
    #[error("cannot {what} {}", path.display())]
    File { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("cannot {what}")]
    Kernel { what: &'static str, source: std::io::Error },
    #[error("the spec cannot be read")]
    Spec(#[source] serde_json::Error),
    #[error("the spec is of version {0}, which this build does not speak")]
    Version(u32),
    #[error(transparent)]
    Port(#[from] crate::host_port::PortError),
    #[error("control group")]
    Cgroup(#[from] CgroupError),
    #[error("cannot encode an event")]
    Frame(#[from] FrameError),
}

/// The whole life of a shim. Must be called before any thread exists.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter();
    let directory = args.next();
    // Only tests give a second word.
    if let Some(Err(error)) = args.next().map(|point| cove_base::crash::arm(&point.to_string_lossy())) {
        note(&cove_base::error::chain(&error));
    }
    let ended = match directory {
        None => Err(SuperviseError::Usage),
        Some(directory) => place::prepare(&PathBuf::from(directory)).and_then(task::Task::run),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(&cove_base::error::chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// A line in the shim's own log, which is its stderr.
fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
