//! What the server and a shim say to each other. Tasks outlive an upgrade with the shim that they have, so a server speaks
//! with shims of every version from [`OLDEST`] to its own.
//!
//! How to change it:
//! - A field is added with `#[serde(default)]` and a default that means what its absence meant; the other side, if it is
//!   older, ignores it. [`VERSION`] stays, and so do the recordings.
//! - Anything else raises [`VERSION`]: a new request or event, a field that must not be ignored, another meaning. What
//!   the server then says to an older shim depends on the version that the shim's [`Event::State`] names. The build that
//!   raises it records it (`recorded/`), which every later build is tested against; the files are never changed.
//! - [`OLDEST`] follows two releases behind. A task of a shim below it has to be stopped before the upgrade, and the
//!   release notes say so.
//! - Other things that outlive a server have the same rule: `TaskSpec` and what is in it, exit records, the records of the
//!   network (`cove_runtime::network`). A change that an older server would misread raises the number of the run
//!   directory (`src/serve/directories.rs`), which a server looks at before it touches anything.
//!
//! A newer shim, or a newer run directory, is what a downgrade meets: the server refuses, and leaves the tasks alone.
//!
//! Framing: a little-endian `u32` length, then that many bytes of JSON, both ways, over a unix stream socket. File
//! descriptors of an exec travel beside its request frame (SCM_RIGHTS). Any number of servers may connect one after
//! the other; a connection that sends [`Request::Subscribe`] first gets the present state of every container and then
//! each change.

use std::path::PathBuf;

use cove_base::Timestamp;
use cove_model::task::Health;
use cove_runtime::spec::{ContainerSpec, NetworkNamespace, SharedNamespace, TaskLimits};
use serde::{Deserialize, Serialize};

/// The version that this build speaks.
///
/// 2: [`ContainerSpec::health`](cove_runtime::spec::ContainerSpec) is carried out and told of; starts and stops come one by
/// one in the order that the task asks for, which a server of version 1 does not know.
pub const VERSION: u32 = 2;

/// The oldest version of a shim that this build can still drive.
pub const OLDEST: u32 = 1;

/// The longest frame that either side accepts, in bytes.
pub const FRAME_MAX: usize = 4 << 20;

/// Everything a shim needs to run a task, written by the agent to `RUN_DIR/tasks/ID/spec.json` before the shim starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskSpec {
    pub version: u32,
    pub node: String,
    pub task_id: String,
    /// `RUN_DIR/tasks/ID`: socket `shim.sock`, bundles, mount points.
    pub directory: PathBuf,
    /// `DATA_DIR/exits/ID`: exit records.
    pub exits: PathBuf,
    /// Absolute cgroup path of the task below each hierarchy: `NodeCgroups::task_path`.
    pub cgroup: String,
    pub limits: TaskLimits,
    pub network: NetworkNamespace,
    /// Whether containers share one pid namespace, as pidMode says.
    pub pid: SharedNamespace,
    pub ipc: SharedNamespace,
    /// Ports of the host that nobody else may take while the task lives: the shim holds a bound socket for each.
    pub held_ports: Vec<HeldPort>,
    pub containers: Vec<ContainerSpec>,
}

/// A host port that the task publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldPort {
    pub port: u16,
    pub udp: bool,
}

/// From the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Answered with [`Event::State`], then every change.
    Subscribe,
    /// Start a container of the spec. Starting one that runs or ran (same attempt) changes nothing.
    Start { container: String, attempt: u32 },
    /// Stop signal now, SIGKILL after the container's stop timeout.
    Stop { container: String },
    /// SIGKILL now.
    Kill { container: String },
    /// Stop all at once, in reverse order of their list, each with its own timeout.
    StopAll,
    /// Run a command in a running container. Three descriptors travel with it: stdin, stdout, stderr.
    Exec {
        exec_id: String,
        container: String,
        args: Vec<String>,
        env: Vec<String>,
        user: Option<String>,
        cwd: Option<String>,
    },
    /// Send a signal to an exec's process.
    SignalExec { exec_id: String, signal: i32 },
    /// Every container has stopped and is recorded: clean up and end. Refused while one runs.
    Finish,
}

/// From the shim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// First answer to [`Request::Subscribe`].
    State {
        version: u32,
        shim_pid: i32,
        containers: Vec<ContainerState>,
    },
    /// One container changed.
    Changed(ContainerState),
    ExecStarted {
        exec_id: String,
        pid: i32,
    },
    ExecExited {
        exec_id: String,
        exit_code: i32,
    },
    /// A request that could not be carried out.
    Refused {
        what: String,
        why: String,
    },
}

/// What the shim knows of a container. The last attempt only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerState {
    pub name: String,
    pub attempt: u32,
    pub phase: Phase,
    /// It has ended, or could not start, and the record of that is not on disk yet: the phase follows once it is.
    #[serde(default)]
    pub recording: bool,
    /// What its health check says; absent where it has none, and from shims of version 1.
    #[serde(default)]
    pub health: Option<Health>,
    /// Since when it says so. Told when it changes, not at every probe.
    #[serde(default)]
    pub health_since: Option<Timestamp>,
}

/// Where a container is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Phase {
    Waiting,
    Running { pid: i32, started_at: Timestamp },
    Exited(ExitRecord),
}

/// How a container ended. On disk as `EXITS/NAME.ATTEMPT.json` before anybody is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExitRecord {
    pub container: String,
    pub attempt: u32,
    pub started_at: Option<Timestamp>,
    pub stopped_at: Timestamp,
    /// Status, or 128 + signal; absent when it never started.
    pub exit_code: Option<i32>,
    /// The kernel killed a process of the container for want of memory.
    pub oom_killed: bool,
    /// ECS's words when it could not be created or started, as in `CannotStartContainerError: …`.
    pub error: Option<String>,
}
