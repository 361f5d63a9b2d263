//! What a service tells of itself, and what it is told of its tasks.

use cove_base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::arn::Tenant;
use crate::daemon::daemon_owner;
use crate::task::{Health, Keeper, StopCode, Task};

/// ECS shows the newest hundred.
pub const EVENTS_MAX: u64 = 100;

/// ECS shape `ServiceEvent`: one line, in AWS's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceEvent {
    pub tenant: Tenant,
    pub cluster: String,
    pub service: String,
    /// Counts up within the service.
    pub number: u64,
    /// A UUID.
    pub id: String,
    pub at: Timestamp,
    pub message: String,
}

/// A task of a service or daemon that has stopped. The agent leaves it in the transaction that makes the task STOPPED; the scheduler
/// takes it away in the one that counts it. So every end is counted once, whatever happens between.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departed {
    pub tenant: Tenant,
    pub cluster: String,
    /// A service's name, or [`daemon_owner`].
    pub service: String,
    pub task_id: String,
    /// The id of its deployment.
    pub deployment: String,
    /// The container instance that it was on.
    #[serde(default)]
    pub instance: Option<String>,
    /// When it reached RUNNING, if it did.
    pub started_at: Option<Timestamp>,
    pub stopped_at: Timestamp,
    /// Of a task with health checks: whether it passed them when last seen.
    #[serde(default)]
    pub was_healthy: Option<bool>,
    /// Whether somebody wanted it to stop.
    pub was_ordered: bool,
    pub stop_code: Option<StopCode>,
    pub reason: Option<String>,
}

impl Departed {
    /// What the scheduler needs to know of a task that has stopped; `None` for one that nobody keeps.
    #[must_use]
    pub fn of(task: &Task) -> Option<Self> {
        let service = match task.keeper.as_ref()? {
            Keeper::Service(name) => name.clone(),
            Keeper::Daemon(name) => daemon_owner(name),
        };
        Some(Self {
            tenant: task.tenant.clone(),
            cluster: task.cluster.clone(),
            service,
            task_id: task.id.clone(),
            deployment: task.started_by.clone().unwrap_or_default(),
            instance: task.placement.container_instance.clone(),
            started_at: task.observed.started_at,
            stopped_at: task.observed.stopped_at.unwrap_or_default(),
            was_healthy: task.is_checked().then(|| task.health() == Health::Healthy),
            was_ordered: was_ordered(task.observed.stop_code),
            stop_code: task.observed.stop_code,
            reason: task.observed.stopped_reason.clone(),
        })
    }
}

impl Departed {
    /// Whether it ended by itself, or because a client said so: neither the scheduler nor the machine did it.
    #[must_use]
    pub const fn was_left(&self) -> bool {
        match self.stop_code {
            None | Some(StopCode::TaskFailedToStart | StopCode::EssentialContainerExited | StopCode::UserInitiated) => {
                true
            }
            Some(StopCode::ServiceSchedulerInitiated | StopCode::SpotInterruption | StopCode::TerminationNotice) => {
                false
            }
        }
    }
}

/// Whether somebody wanted the task to stop: its desired status says so of every task that has ended.
const fn was_ordered(code: Option<StopCode>) -> bool {
    match code {
        None | Some(StopCode::TaskFailedToStart | StopCode::EssentialContainerExited) => false,
        Some(
            StopCode::UserInitiated
            | StopCode::ServiceSchedulerInitiated
            | StopCode::SpotInterruption
            | StopCode::TerminationNotice,
        ) => true,
    }
}
