//! RunTask and StartTask.

use cove_model::cluster::CapacityProviderStrategyItem;
use cove_model::tag::Tag;
use cove_model::task::LaunchType;
use cove_model::task_override::{NetworkConfiguration, TaskOverride};
use cove_model::task_template::{PlacementConstraint, PlacementStrategy};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Failure, Task};

/// Serialised again to tell whether a client token comes with the same request.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RunTaskIn {
    pub(crate) capacity_provider_strategy: Vec<CapacityProviderStrategyItem>,
    pub(crate) cluster: Option<String>,
    pub(crate) count: Option<i32>,
    #[serde(rename = "enableECSManagedTags")]
    pub(crate) enable_ecs_managed_tags: bool,
    pub(crate) enable_execute_command: bool,
    pub(crate) group: Option<String>,
    pub(crate) launch_type: Option<LaunchType>,
    pub(crate) network_configuration: Option<NetworkConfiguration>,
    pub(crate) overrides: TaskOverride,
    pub(crate) placement_constraints: Vec<PlacementConstraint>,
    pub(crate) placement_strategy: Vec<PlacementStrategy>,
    pub(crate) platform_version: Option<String>,
    pub(crate) propagate_tags: Option<PropagateTags>,
    pub(crate) reference_id: Option<String>,
    pub(crate) started_by: Option<String>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) task_definition: String,
    #[serde(skip_serializing)]
    pub(crate) client_token: Option<String>,
    pub(crate) volume_configurations: Vec<Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct StartTaskIn {
    pub(crate) cluster: Option<String>,
    pub(crate) container_instances: Vec<String>,
    #[serde(rename = "enableECSManagedTags")]
    pub(crate) enable_ecs_managed_tags: bool,
    pub(crate) enable_execute_command: bool,
    pub(crate) group: Option<String>,
    pub(crate) network_configuration: Option<NetworkConfiguration>,
    pub(crate) overrides: TaskOverride,
    pub(crate) propagate_tags: Option<PropagateTags>,
    pub(crate) reference_id: Option<String>,
    pub(crate) started_by: Option<String>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) task_definition: String,
    pub(crate) volume_configurations: Vec<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum PropagateTags {
    TaskDefinition,
    Service,
    None,
}

/// RunTask, StartTask and DescribeTasks answer alike.
#[derive(Debug, Serialize)]
pub(crate) struct TasksOut {
    pub(crate) tasks: Vec<Task>,
    pub(crate) failures: Vec<Failure>,
}
