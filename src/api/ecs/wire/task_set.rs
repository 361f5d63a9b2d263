//! Task sets.

use cove_model::cluster::CapacityProviderStrategyItem;
use cove_model::service::TaskSetStatus;
use cove_model::tag::Tag;
use cove_model::task::LaunchType;
use cove_model::task_override::NetworkConfiguration;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Failure, TagsField};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct CreateTaskSetIn {
    pub(crate) service: String,
    pub(crate) cluster: String,
    pub(crate) external_id: Option<String>,
    pub(crate) task_definition: String,
    pub(crate) network_configuration: Option<NetworkConfiguration>,
    pub(crate) load_balancers: Vec<Value>,
    pub(crate) service_registries: Vec<Value>,
    pub(crate) launch_type: Option<LaunchType>,
    pub(crate) capacity_provider_strategy: Vec<CapacityProviderStrategyItem>,
    pub(crate) platform_version: Option<String>,
    pub(crate) scale: Option<Scale>,
    pub(crate) client_token: Option<String>,
    pub(crate) tags: Vec<Tag>,
}

/// ECS shape `Scale`.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Scale {
    pub(crate) value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateTaskSetIn {
    pub(crate) cluster: String,
    pub(crate) service: String,
    pub(crate) task_set: String,
    pub(crate) scale: Scale,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeleteTaskSetIn {
    pub(crate) cluster: String,
    pub(crate) service: String,
    pub(crate) task_set: String,
    #[serde(default)]
    pub(crate) force: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdatePrimaryTaskSetIn {
    pub(crate) cluster: String,
    pub(crate) service: String,
    pub(crate) primary_task_set: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribeTaskSetsIn {
    pub(crate) cluster: String,
    pub(crate) service: String,
    #[serde(default)]
    pub(crate) task_sets: Vec<String>,
    #[serde(default)]
    pub(crate) include: Vec<TagsField>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskSetOut {
    pub(crate) task_set: TaskSet,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribeTaskSetsOut {
    pub(crate) task_sets: Vec<TaskSet>,
    pub(crate) failures: Vec<Failure>,
}

/// ECS shape `TaskSet`. Times are seconds since the epoch.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskSet {
    pub(crate) id: String,
    pub(crate) task_set_arn: String,
    pub(crate) service_arn: String,
    pub(crate) cluster_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) external_id: Option<String>,
    pub(crate) status: TaskSetStatus,
    pub(crate) task_definition: String,
    pub(crate) computed_desired_count: u32,
    pub(crate) pending_count: usize,
    pub(crate) running_count: usize,
    pub(crate) created_at: f64,
    pub(crate) updated_at: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) launch_type: Option<LaunchType>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) capacity_provider_strategy: Vec<CapacityProviderStrategyItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) platform_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) platform_family: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) network_configuration: Option<NetworkConfiguration>,
    pub(crate) load_balancers: Vec<Value>,
    pub(crate) service_registries: Vec<Value>,
    pub(crate) scale: Scale,
    pub(crate) stability_status: &'static str,
    pub(crate) stability_status_at: f64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<Tag>,
}
