//! Container instances and attributes.

use cove_model::tag::Tag;
use cove_model::task_definition::{Attribute, TargetType};
use serde::{Deserialize, Serialize};

use super::{Failure, PageIn};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ListContainerInstancesIn {
    pub(crate) cluster: Option<String>,
    pub(crate) filter: Option<String>,
    pub(crate) status: Option<InstanceStatus>,
    #[serde(flatten)]
    pub(crate) page: PageIn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum InstanceStatus {
    Active,
    Draining,
    Registering,
    Deregistering,
    RegistrationFailed,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListContainerInstancesOut {
    pub(crate) container_instance_arns: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribeContainerInstancesIn {
    pub(crate) cluster: Option<String>,
    pub(crate) container_instances: Vec<String>,
    #[serde(default)]
    pub(crate) include: Vec<InstanceField>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum InstanceField {
    Tags,
    ContainerInstanceHealth,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateContainerInstancesStateIn {
    pub(crate) cluster: Option<String>,
    pub(crate) container_instances: Vec<String>,
    pub(crate) status: InstanceStatus,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeregisterContainerInstanceIn {
    pub(crate) cluster: Option<String>,
    pub(crate) container_instance: String,
    #[serde(default)]
    pub(crate) force: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeregisterContainerInstanceOut {
    pub(crate) container_instance: ContainerInstance,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContainerInstancesOut {
    pub(crate) container_instances: Vec<ContainerInstance>,
    pub(crate) failures: Vec<Failure>,
}

/// ECS shape `ContainerInstance`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContainerInstance {
    pub(crate) container_instance_arn: String,
    pub(crate) ec2_instance_id: String,
    pub(crate) version: u64,
    pub(crate) version_info: VersionInfo,
    pub(crate) remaining_resources: Vec<Resource>,
    pub(crate) registered_resources: Vec<Resource>,
    pub(crate) status: &'static str,
    pub(crate) agent_connected: bool,
    pub(crate) running_tasks_count: usize,
    pub(crate) pending_tasks_count: usize,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) registered_at: f64,
    pub(crate) attachments: Vec<super::Attachment>,
    pub(crate) tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) capacity_provider_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) health_status: Option<InstanceHealth>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VersionInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) agent_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) agent_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) docker_version: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InstanceHealth {
    pub(crate) overall_status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) details: Vec<HealthCheckResult>,
}

/// ECS shape `InstanceHealthCheckResult`.
#[derive(Debug, Serialize)]
pub(crate) struct HealthCheckResult {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) status: &'static str,
}

/// ECS shape `Resource`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Resource {
    pub(crate) name: &'static str,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) double_value: f64,
    pub(crate) long_value: i64,
    pub(crate) integer_value: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) string_set_value: Option<Vec<String>>,
}

/// PutAttributes and DeleteAttributes.
#[derive(Debug, Deserialize)]
pub(crate) struct AttributesIn {
    pub(crate) cluster: Option<String>,
    pub(crate) attributes: Vec<Attribute>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AttributesOut {
    pub(crate) attributes: Vec<Attribute>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListAttributesIn {
    pub(crate) cluster: Option<String>,
    pub(crate) target_type: TargetType,
    pub(crate) attribute_name: Option<String>,
    pub(crate) attribute_value: Option<String>,
    #[serde(flatten)]
    pub(crate) page: PageIn,
}
