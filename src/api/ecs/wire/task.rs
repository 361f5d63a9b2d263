//! Tasks as they are described, listed and stopped.

use cove_base::Timestamp;
use cove_model::tag::Tag;
use cove_model::task::{LaunchType, StopCode};
use cove_model::task_definition::{Attribute, EphemeralStorage, TransportProtocol};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::{PageIn, Pair, TagsField};

#[derive(Debug, Deserialize)]
pub(crate) struct StopTaskIn {
    pub(crate) cluster: Option<String>,
    pub(crate) task: String,
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct StopTaskOut {
    pub(crate) task: Task,
}

#[derive(Debug, Deserialize)]
pub(crate) struct DescribeTasksIn {
    pub(crate) cluster: Option<String>,
    pub(crate) tasks: Vec<String>,
    #[serde(default)]
    pub(crate) include: Vec<TagsField>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ListTasksIn {
    pub(crate) cluster: Option<String>,
    pub(crate) container_instance: Option<String>,
    pub(crate) family: Option<String>,
    pub(crate) started_by: Option<String>,
    pub(crate) service_name: Option<String>,
    pub(crate) daemon_name: Option<String>,
    pub(crate) desired_status: Option<DesiredStatus>,
    pub(crate) launch_type: Option<LaunchType>,
    #[serde(flatten)]
    pub(crate) page: PageIn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum DesiredStatus {
    Running,
    Pending,
    Stopped,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListTasksOut {
    pub(crate) task_arns: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_token: Option<String>,
}

/// ECS shape `Task`. Times are seconds since the epoch.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Task {
    pub(crate) attachments: Vec<Attachment>,
    pub(crate) attributes: Vec<Attribute>,
    /// Empty: it has none yet.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) availability_zone: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) capacity_provider_name: Option<String>,
    pub(crate) cluster_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) connectivity: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) connectivity_at: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) container_instance_arn: Option<String>,
    pub(crate) containers: Vec<Container>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu: Option<String>,
    pub(crate) created_at: f64,
    pub(crate) desired_status: &'static str,
    pub(crate) enable_execute_command: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) execution_stopped_at: Option<f64>,
    pub(crate) group: String,
    pub(crate) health_status: &'static str,
    pub(crate) last_status: &'static str,
    pub(crate) launch_type: LaunchType,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory: Option<String>,
    pub(crate) overrides: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) platform_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) platform_family: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pull_started_at: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pull_stopped_at: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started_at: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stop_code: Option<StopCode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stopped_at: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stopped_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stopping_at: Option<f64>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) task_arn: String,
    pub(crate) task_definition_arn: String,
    pub(crate) version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ephemeral_storage: Option<EphemeralStorage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fargate_ephemeral_storage: Option<EphemeralStorage>,
}

/// ECS shape `Attachment`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Attachment {
    pub(crate) id: String,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) status: &'static str,
    pub(crate) details: Vec<Pair>,
}

/// ECS shape `Container`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Container {
    pub(crate) container_arn: String,
    pub(crate) task_arn: String,
    pub(crate) name: String,
    pub(crate) image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) image_digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) runtime_id: Option<String>,
    pub(crate) last_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) managed_agents: Vec<ManagedAgent>,
    pub(crate) network_bindings: Vec<NetworkBinding>,
    pub(crate) network_interfaces: Vec<NetworkInterface>,
    pub(crate) health_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory_reservation: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) gpu_ids: Vec<String>,
}

/// ECS shape `NetworkBinding`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NetworkBinding {
    #[serde(rename = "bindIP")]
    pub(crate) bind_ip: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) container_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) host_port: Option<u16>,
    pub(crate) protocol: TransportProtocol,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) container_port_range: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) host_port_range: Option<String>,
}

/// ECS shape `NetworkInterface`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NetworkInterface {
    pub(crate) attachment_id: String,
    pub(crate) private_ipv4_address: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct GetTaskProtectionIn {
    pub(crate) cluster: String,
    #[serde(default)]
    pub(crate) tasks: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateTaskProtectionIn {
    pub(crate) cluster: String,
    pub(crate) tasks: Vec<String>,
    pub(crate) protection_enabled: bool,
    pub(crate) expires_in_minutes: Option<i32>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProtectionOut {
    pub(crate) protected_tasks: Vec<ProtectedTask>,
    pub(crate) failures: Vec<super::Failure>,
}

/// ECS shape `ProtectedTask`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProtectedTask {
    pub(crate) task_arn: String,
    pub(crate) protection_enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "epoch_seconds")]
    pub(crate) expiration_date: Option<Timestamp>,
}

/// As the API has times; tasks that ask about themselves read the same one as text.
#[allow(clippy::ref_option, reason = "the form that serde calls")]
fn epoch_seconds<S: Serializer>(at: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    at.map(Timestamp::epoch_seconds).serialize(to)
}

/// ECS shape `ManagedAgent`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ManagedAgent {
    pub(crate) name: &'static str,
    pub(crate) last_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_started_at: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ExecuteCommandIn {
    pub(crate) cluster: Option<String>,
    pub(crate) container: Option<String>,
    pub(crate) command: String,
    pub(crate) interactive: bool,
    pub(crate) task: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExecuteCommandOut {
    pub(crate) cluster_arn: String,
    pub(crate) container_arn: String,
    pub(crate) container_name: String,
    pub(crate) interactive: bool,
    pub(crate) session: Session,
    pub(crate) task_arn: String,
}

/// ECS shape `Session`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Session {
    pub(crate) session_id: String,
    pub(crate) stream_url: String,
    pub(crate) token_value: String,
}
