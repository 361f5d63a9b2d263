//! The agent: carries out what the store wishes, and is the only writer of observed state.
//!
//! In: live tasks, as the store publishes them. Out: containers that run, and records that say so.
//!
//! ```text
//! store ──signal──▶ agent (one loop) ──wakes──▶ driver (one per task): next_step ▶ one effect ▶ one transaction
//!                                                                 │
//!                                                  shim ◀─socket──┘ registry, snapshots, networks, cgroups
//! ```
//!
//! Holds: a driver takes no hint what changed; it compares record and kernel and takes the next step. A `kill -9` between
//! any two steps leaves only what the next start takes over, finishes or removes.

mod agent;
mod deps;
mod driver;
mod elsewhere;
mod exec;
mod forget;
mod keep_house;
mod machines;
mod observe;
mod order;
mod resolve;
mod routers;
mod secrets;
mod step;
mod storage;
mod usage;
mod volumes;

pub use agent::{AgentHandle, DownError, Stopping, start};
pub use deps::{Deps, HostMode, Settings};
pub use driver::unmount_volumes;
pub use exec::{ExecCommand, ExecEnd, ExecError, Execution, TerminalExecution};
pub use resolve::{Endpoint, HostLimits, HostModeAccess};
pub use usage::Reading;
pub use volumes::{SharedVolume, VolumeError};
