//! What can go wrong with a control group.

use std::io;
use std::path::PathBuf;

/// Each variant is one thing that was tried.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    #[error("cannot read the list of cgroup hierarchies from /proc/self/mountinfo")]
    Layout(#[source] io::Error),
    #[error("no cgroup hierarchy is mounted")]
    NoHierarchy,
    #[error("cgroup path `{0}` is not absolute and plain")]
    BadPath(String),
    #[error("cannot create cgroup {}", path.display())]
    Create { path: PathBuf, source: io::Error },
    #[error("cannot write `{value}` to {}", path.display())]
    Write { path: PathBuf, value: String, source: io::Error },
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot remove cgroup {}", path.display())]
    Remove { path: PathBuf, source: io::Error },
    #[error("processes of cgroup `{path}` are still there {waited_millis} ms after SIGKILL")]
    StillBusy { path: String, waited_millis: u64 },
}
