//! What agents of other hosts send.

use cove_model::tag::Tag;
use cove_model::task_definition::Attribute;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ContainerInstance;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RegisterContainerInstanceIn {
    pub(crate) cluster: Option<String>,
    pub(crate) instance_identity_document: Option<String>,
    pub(crate) total_resources: Vec<ResourceIn>,
    pub(crate) version_info: Option<VersionInfoIn>,
    pub(crate) container_instance_arn: Option<String>,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) platform_devices: Vec<PlatformDevice>,
    pub(crate) tags: Vec<Tag>,
}

/// ECS shape `Resource` on the way in.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ResourceIn {
    pub(crate) name: Option<String>,
    pub(crate) integer_value: Option<i64>,
    pub(crate) string_set_value: Vec<String>,
}

/// ECS shape `VersionInfo` on the way in.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct VersionInfoIn {
    pub(crate) agent_version: Option<String>,
    pub(crate) agent_hash: Option<String>,
    pub(crate) docker_version: Option<String>,
}

/// ECS shape `PlatformDevice`; GPU is the one type.
#[derive(Debug, Deserialize)]
pub(crate) struct PlatformDevice {
    pub(crate) id: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContainerInstanceOut {
    pub(crate) container_instance: ContainerInstance,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DiscoverPollEndpointIn {
    pub(crate) container_instance: Option<String>,
    pub(crate) cluster: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateContainerAgentIn {
    pub(crate) cluster: Option<String>,
    pub(crate) container_instance: String,
}

/// SubmitTaskStateChange and SubmitContainerStateChange, as far as it matters whose task it is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SubmitStateChangeIn {
    pub(crate) cluster: Option<String>,
    pub(crate) task: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SubmitAttachmentStateChangesIn {
    pub(crate) cluster: Option<String>,
    pub(crate) attachments: Vec<Value>,
}
