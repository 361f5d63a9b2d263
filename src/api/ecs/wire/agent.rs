//! What agents of other hosts send.

use cove_model::tag::Tag;
use cove_model::task_definition::{Attribute, TransportProtocol};
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

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DiscoverPollEndpointOut {
    pub(crate) endpoint: String,
    pub(crate) telemetry_endpoint: String,
}

/// SubmitTaskStateChange.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SubmitTaskStateChangeIn {
    pub(crate) cluster: Option<String>,
    pub(crate) task: Option<String>,
    pub(crate) status: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) containers: Vec<ContainerStateChange>,
    pub(crate) attachments: Vec<Value>,
    pub(crate) managed_agents: Vec<Value>,
    pub(crate) pull_started_at: Option<f64>,
    pub(crate) pull_stopped_at: Option<f64>,
    pub(crate) execution_stopped_at: Option<f64>,
}

/// ECS shape `ContainerStateChange`; with cluster and task SubmitContainerStateChange.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ContainerStateChange {
    pub(crate) cluster: Option<String>,
    pub(crate) task: Option<String>,
    pub(crate) container_name: Option<String>,
    pub(crate) status: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) exit_code: Option<i32>,
    pub(crate) image_digest: Option<String>,
    pub(crate) runtime_id: Option<String>,
    pub(crate) network_bindings: Vec<NetworkBindingIn>,
}

/// ECS shape `NetworkBinding` on the way in.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct NetworkBindingIn {
    pub(crate) container_port: Option<i32>,
    pub(crate) host_port: Option<i32>,
    pub(crate) protocol: Option<TransportProtocol>,
    pub(crate) container_port_range: Option<String>,
    pub(crate) host_port_range: Option<String>,
}

/// What reports are answered with.
#[derive(Debug, Serialize)]
pub(crate) struct AcknowledgmentOut {
    pub(crate) acknowledgment: &'static str,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SubmitAttachmentStateChangesIn {
    pub(crate) cluster: Option<String>,
    pub(crate) attachments: Vec<Value>,
}
