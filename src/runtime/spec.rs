//! What a container and its task are made of, resolved by the agent and carried out here: no names to look up outside
//! the image, no units but bytes and seconds. These documents are part of the shim protocol, so fields are only added,
//! with a default.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Limits of the whole task. `None` is no limit of its own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskLimits {
    /// Hundredths of a core: quota over a period of 100 ms.
    pub cpu_quota_percent: Option<u64>,
    /// Shares for all containers together.
    pub cpu_shares: Option<u64>,
    pub memory_bytes: Option<u64>,
    pub pids: Option<i64>,
}

/// Where the containers' network namespace comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum NetworkNamespace {
    /// The host's own.
    Host,
    /// A pinned one.
    Path(PathBuf),
}

/// How containers of a task share a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SharedNamespace {
    /// Each container its own.
    Private,
    /// One for the task.
    Task,
    /// The host's.
    Host,
}

/// A container, resolved: image and task definition are already merged, variables already substituted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    pub name: String,
    /// Counts from 0 with each restart; names the exit record.
    pub attempt: u32,
    pub args: Vec<String>,
    /// In order, `NAME=value`.
    pub env: Vec<String>,
    pub cwd: String,
    /// As in the image or the definition: `uid`, `name`, `uid:gid`, `name:group`; empty is root. Looked up in the
    /// image's own files.
    pub user: String,
    pub hostname: Option<String>,
    pub rootfs: RootFilesystem,
    pub read_only_root: bool,
    pub mounts: Vec<BindMount>,
    pub tmpfs: Vec<TmpfsMount>,
    /// Size of /dev/shm in bytes.
    pub shm_bytes: u64,
    pub capabilities: Vec<String>,
    pub privileged: bool,
    pub no_new_privileges: bool,
    pub devices: Vec<DeviceSpec>,
    pub sysctls: BTreeMap<String, String>,
    pub rlimits: Vec<Rlimit>,
    pub resources: ContainerResources,
    /// An init of ours as PID 1 that reaps and forwards signals (`initProcessEnabled`).
    pub init: bool,
    /// `None` discards stdout and stderr.
    pub log: Option<LogTarget>,
    /// Keep stdin open (`interactive`).
    pub stdin_open: bool,
    /// The signal that asks it to stop, as a number; 15 unless the image says otherwise.
    pub stop_signal: i32,
    pub stop_timeout_secs: u32,
    /// Specs of version 1 of the protocol have none.
    #[serde(default)]
    pub health: Option<HealthCheck>,
    /// A terminal of its own instead of three pipes (`pseudoTerminal`).
    #[serde(default)]
    pub terminal: bool,
    /// A network namespace of its own with nothing but loopback (`disableNetworking`).
    #[serde(default)]
    pub offline: bool,
}

/// A program that tells whether the container is well: it ends with 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HealthCheck {
    pub args: Vec<String>,
    /// From the end of one probe to the start of the next.
    pub interval_millis: u64,
    /// A probe is killed after this.
    pub timeout_millis: u64,
    /// Failures in a row that make the container unhealthy.
    pub retries: u32,
    /// Failures count only after this, or after the first success.
    pub start_period_millis: u64,
}

/// The layers under a container, as `cove_runtime::rootfs` prepared them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RootFilesystem {
    /// Directory that the other paths are relative to, so that a hundred layers fit into the mount options.
    pub base: PathBuf,
    /// Topmost first.
    pub lower: Vec<String>,
    pub upper: String,
    pub work: String,
}

impl RootFilesystem {
    /// A place beside the writable layer: not in the root, measured with it and gone with it.
    #[must_use]
    pub fn beside(&self, name: &str) -> PathBuf {
        self.base.join(&self.upper).with_file_name(name)
    }
}

/// A host path seen inside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BindMount {
    pub source: PathBuf,
    pub destination: String,
    pub read_only: bool,
    /// `rslave`, `rprivate`, …; `None` is `rprivate`.
    pub propagation: Option<String>,
}

/// A tmpfs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TmpfsMount {
    pub destination: String,
    pub size_bytes: u64,
    pub options: Vec<String>,
}

/// A host device seen inside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceSpec {
    pub host_path: PathBuf,
    pub container_path: PathBuf,
    /// Some of `rwm`.
    pub permissions: String,
}

/// A resource limit of processes, by its `RLIMIT_` name without the prefix, lowercase, as ECS names ulimits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rlimit {
    pub name: String,
    pub soft: u64,
    pub hard: u64,
}

/// Limits of one container.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ContainerResources {
    pub cpu_shares: Option<u64>,
    pub memory_bytes: Option<u64>,
    pub memory_reservation_bytes: Option<u64>,
    /// Memory and swap together; equal to `memory_bytes` for no swap.
    pub memory_swap_bytes: Option<u64>,
    pub swappiness: Option<u64>,
    pub pids: Option<i64>,
    pub oom_score_adj: i32,
}

/// Where stdout and stderr go: a stream of `cove_logs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogTarget {
    pub directory: PathBuf,
    /// Oldest segments are dropped above this size.
    pub max_bytes: u64,
    /// An event begins with a line that this regular expression matches; without one every line is an event.
    #[serde(default)]
    pub event_start: Option<String>,
}
