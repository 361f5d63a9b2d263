//! A task as the metadata endpoint shows it.

use cove_base::Timestamp;
use cove_model::daemon::family_name;
use cove_model::task::{LaunchType, Task, TaskNetwork, TaskStatus};
use cove_store::Store;
use serde_json::{Map, Value, json};

use super::container;

/// 1024 of ECS's units are one core.
const CPU_PER_CORE: f64 = 1024.0;

/// Which version of the endpoint asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V2,
    V3,
    V4,
}

/// The task's document, with all its containers.
pub(super) fn document(store: &Store, task: &Task, version: Version) -> Value {
    let of_containers = match version {
        Version::V2 | Version::V3 => container::Version::V3,
        Version::V4 => container::Version::V4,
    };
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            body.insert(name.to_owned(), value);
        }
    };
    let observed = &task.observed;
    put("Cluster", task.cluster_arn().into());
    put("TaskARN", task.arn().into());
    put("Family", family_name(&task.family).into());
    put("Revision", task.revision.to_string().into());
    put("DesiredStatus", if task.desired.is_stopped() { "STOPPED" } else { "RUNNING" }.into());
    put("KnownStatus", known_status(observed.status).into());
    let containers = task.containers.iter().map(|one| container::document(store, task, one, of_containers));
    put("Containers", containers.collect());
    put("Limits", limits(task));
    put("PullStartedAt", observed.pull_started_at.map(Timestamp::rfc3339).into());
    put("PullStoppedAt", observed.pull_stopped_at.map(Timestamp::rfc3339).into());
    put("ExecutionStoppedAt", observed.execution_stopped_at.map(Timestamp::rfc3339).into());
    put("AvailabilityZone", task.placement.availability_zone.as_str().into());
    if version == Version::V4 {
        put("LaunchType", launch_type(task.placement.launch_type).into());
        if let TaskNetwork::Awsvpc(eni) = &task.network {
            put("VPCID", eni.vpc_id.as_str().into());
        }
        put("ServiceName", task.group.strip_prefix("service:").into());
        put("Group", task.group.as_str().into());
        let definition = container::definition(store, task);
        let injects = definition.is_some_and(|it| it.document.enable_fault_injection == Some(true));
        put("FaultInjectionEnabled", injects.into());
    }
    Value::Object(body)
}

/// Absent members mean no limit of the task as a whole.
fn limits(task: &Task) -> Value {
    let number = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<f64>().ok());
    let mut limits = Map::new();
    if let Some(cpu) = number(&task.cpu) {
        limits.insert("CPU".to_owned(), json!(cpu / CPU_PER_CORE));
    }
    if let Some(memory) = task.memory.as_deref().and_then(|text| text.parse::<i64>().ok()) {
        limits.insert("Memory".to_owned(), memory.into());
    }
    if limits.is_empty() { Value::Null } else { Value::Object(limits) }
}

/// The agent's inner names of states.
fn known_status(status: TaskStatus) -> &'static str {
    match status {
        TaskStatus::Provisioning | TaskStatus::Pending => "NONE",
        TaskStatus::Activating => "CREATED",
        TaskStatus::Running | TaskStatus::Deactivating | TaskStatus::Stopping => "RUNNING",
        TaskStatus::Deprovisioning | TaskStatus::Stopped => "STOPPED",
    }
}

fn launch_type(kind: LaunchType) -> &'static str {
    match kind {
        LaunchType::Ec2 => "EC2",
        LaunchType::Fargate => "FARGATE",
        LaunchType::External => "EXTERNAL",
        LaunchType::ManagedInstances => "MANAGED_INSTANCES",
    }
}
