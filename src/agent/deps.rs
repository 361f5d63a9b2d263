//! What drivers work with.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cove_base::Clock;
use cove_base::paths::{DataDir, NodeName, RunDir};
use cove_model::container_instance::ContainerInstance;
use cove_model::task::Task;
use cove_registry::Registry;
use cove_runtime::cgroup::NodeCgroups;
use cove_runtime::network::{NetworkId, Networks, RouterListeners};
use cove_runtime::rootfs::Snapshots;
use cove_store::{Read, Store, Vault, keys};
use tokio::sync::mpsc;

use crate::resolve::{Endpoint, HostLimits, HostModeAccess};

/// What the agent is given. It owns none of it alone.
pub struct Deps {
    pub store: Store,
    pub registry: Registry,
    pub networks: Arc<Networks>,
    pub snapshots: Arc<Snapshots>,
    pub cgroups: Arc<NodeCgroups>,
    pub clock: Clock,
    pub data: DataDir,
    pub run: RunDir,
    pub node: NodeName,
    /// The binary that shims run from.
    pub shim_binary: PathBuf,
    pub boot_id: String,
    pub host: HostLimits,
    pub endpoint: Endpoint,
    pub host_mode: HostMode,
    /// Opens the secrets that containers are given.
    pub vault: Vault,
    pub settings: Settings,
    /// Told the sockets of each router that comes up.
    pub routers: mpsc::UnboundedSender<(NetworkId, RouterListeners)>,
}

/// Gives a task in host mode, by its id, its access to the API's endpoint for tasks; `None` when it could not reach one.
pub type HostMode = Arc<dyn Fn(&str) -> Option<HostModeAccess> + Send + Sync>;

/// Sizes and times that the operator may set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Oldest segments of a container's stream are dropped above this.
    pub log_stream_max_bytes: u64,
    /// Oldest segments of all streams are dropped above this.
    pub log_node_max_bytes: u64,
    /// What a task that asks for no storage of its own may write; 0 is no limit.
    pub task_storage_gib: u32,
    /// What a shared Docker volume may hold while tasks have it; 0 is no limit.
    pub shared_volume_gib: u32,
    /// How long a stopped task stays visible.
    pub stopped_keep_millis: i64,
    /// How often leftovers are looked for, old records forgotten and logs trimmed.
    pub housekeeping_interval: Duration,
    /// How often blobs and unpacked layers that nobody needs are looked for.
    pub collect_interval: Duration,
}

impl Deps {
    /// The task's container instance, if it is known.
    pub(crate) fn instance_of(&self, task: &Task) -> Option<Arc<ContainerInstance>> {
        self.store.read(|view| instance_in(view, task))
    }
}

/// The same, as a transaction sees it.
pub(crate) fn instance_in(state: &impl Read, task: &Task) -> Option<Arc<ContainerInstance>> {
    let id = task.placement.container_instance.as_ref()?;
    state.get::<ContainerInstance>(&keys::container_instance(&task.tenant, &task.cluster, id))
}

/// Runs work that blocks on a thread that may block. A panic there is an error here.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, tokio::task::JoinError> {
    tokio::task::spawn_blocking(work).await
}
