//! Express services.

use cove_model::service::{ScalingMetric, ScalingTarget, ServiceStatus};
use cove_model::tag::Tag;
use cove_model::task_definition::{KeyValue, RepositoryCredentials, Secret};
use serde::{Deserialize, Serialize};

use super::TagsField;

/// Serialised again to tell whether the same request comes again.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct CreateExpressIn {
    pub(crate) cluster: Option<String>,
    pub(crate) service_name: Option<String>,
    pub(crate) infrastructure_role_arn: String,
    pub(crate) tags: Vec<Tag>,
    #[serde(flatten)]
    pub(crate) wish: ExpressWish,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct UpdateExpressIn {
    pub(crate) service_arn: String,
    #[serde(flatten)]
    pub(crate) wish: ExpressWish,
}

/// What both may say about the tasks. When a service is updated, what is absent stays as it was.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ExpressWish {
    pub(crate) primary_container: Option<ExpressContainer>,
    pub(crate) execution_role_arn: Option<String>,
    pub(crate) task_role_arn: Option<String>,
    pub(crate) cpu: Option<String>,
    pub(crate) memory: Option<String>,
    pub(crate) network_configuration: Option<ExpressNetwork>,
    pub(crate) health_check_path: Option<String>,
    pub(crate) scaling_target: Option<ExpressScaling>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DescribeExpressIn {
    pub(crate) service_arn: String,
    pub(crate) include: Vec<TagsField>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DeleteExpressIn {
    pub(crate) service_arn: String,
}

/// ECS shape `ExpressGatewayContainer`.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ExpressContainer {
    pub(crate) image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) container_port: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) aws_logs_configuration: Option<ExpressLogs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) repository_credentials: Option<RepositoryCredentials>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) command: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) environment: Option<Vec<KeyValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secrets: Option<Vec<Secret>>,
}

/// ECS shape `ExpressGatewayServiceAwsLogsConfiguration`.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ExpressLogs {
    pub(crate) log_group: String,
    pub(crate) log_stream_prefix: String,
}

/// ECS shape `ExpressGatewayServiceNetworkConfiguration`.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ExpressNetwork {
    pub(crate) security_groups: Vec<String>,
    pub(crate) subnets: Vec<String>,
}

/// ECS shape `ExpressGatewayScalingTarget`, as a request has it.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ExpressScaling {
    pub(crate) min_task_count: Option<i32>,
    pub(crate) max_task_count: Option<i32>,
    pub(crate) auto_scaling_metric: Option<ScalingMetric>,
    pub(crate) auto_scaling_target_value: Option<i32>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ExpressOut {
    pub(crate) service: ExpressService,
}

/// ECS shape `ECSExpressGatewayService`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExpressService {
    pub(crate) cluster: String,
    pub(crate) service_name: String,
    pub(crate) service_arn: String,
    pub(crate) infrastructure_role_arn: String,
    pub(crate) status: ExpressStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current_deployment: Option<String>,
    pub(crate) active_configurations: Vec<ExpressConfiguration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tags: Option<Vec<Tag>>,
    pub(crate) created_at: f64,
    pub(crate) updated_at: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct UpdatedExpressOut {
    pub(crate) service: UpdatedExpressService,
}

/// ECS shape `UpdatedExpressGatewayService`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdatedExpressService {
    pub(crate) cluster: String,
    pub(crate) service_name: String,
    pub(crate) service_arn: String,
    pub(crate) status: ExpressStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target_configuration: Option<ExpressConfiguration>,
    pub(crate) created_at: f64,
    pub(crate) updated_at: f64,
}

/// ECS shape `ExpressGatewayServiceStatus`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExpressStatus {
    pub(crate) status_code: ServiceStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status_reason: Option<&'static str>,
}

/// ECS shape `ExpressGatewayServiceConfiguration`, without `ingressPaths`: nothing leads in.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExpressConfiguration {
    pub(crate) service_revision_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) execution_role_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) task_role_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) network_configuration: Option<ExpressNetwork>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) health_check_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) primary_container: Option<ExpressContainer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scaling_target: Option<ScalingTarget>,
    pub(crate) created_at: f64,
}
