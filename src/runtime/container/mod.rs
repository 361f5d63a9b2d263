//! Starts a container through libcontainer, and takes away what it left.
//!
//! In: a [`Plan`]: the resolved spec, directories, namespaces, the task's cgroup. Out: a running process by pidfd, or a
//! refusal in the words that ECS shows.
//!
//! ```text
//! mount the root → look up the user → config.json → libcontainer create (our executor checks the program)
//!   → device rules → start → the executor restricts itself and executes → error pipe closes: it runs
//! ```
//!
//! Holds: no `linux.seccomp`, no `process.capabilities`, no `noNewPrivileges` in the document: libcontainer would apply
//! them wrongly or too early; [`executor`] does it. Everything made here is below the bundle directory and the
//! container's cgroup, so [`remove`] finds it after any crash.
//! For a single-threaded process only: libcontainer forks and changes the working directory.

mod console;
mod cwd;
mod device;
mod document;
mod executor;
mod start;

pub use start::{Namespace, Plan, Running, StartError, Streams, remove, start};
