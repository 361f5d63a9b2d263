//! Daemons.

use cove_model::daemon::{DaemonConfiguration, DaemonDeploymentStatus, DaemonStatus};
use cove_model::tag::Tag;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{AlarmsSeen, Between, Breaker, Failure, PageIn, SortOrder};

/// ECS shape `DaemonPropagateTags`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum DaemonPropagateTags {
    Daemon,
    None,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateDaemonIn {
    pub(crate) daemon_name: String,
    pub(crate) cluster_arn: Option<String>,
    #[serde(flatten)]
    pub(crate) workload: DaemonWorkloadIn,
    #[serde(default)]
    pub(crate) tags: Vec<Tag>,
    /// No part of the digest that tells whether a request is the same.
    #[serde(skip_serializing)]
    pub(crate) client_token: Option<String>,
}

/// What CreateDaemon and UpdateDaemon have in common.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DaemonWorkloadIn {
    pub(crate) daemon_task_definition_arn: String,
    pub(crate) capacity_provider_arns: Vec<String>,
    pub(crate) deployment_configuration: Option<DaemonConfiguration>,
    pub(crate) propagate_tags: Option<DaemonPropagateTags>,
    #[serde(rename = "enableECSManagedTags", default)]
    pub(crate) enable_ecs_managed_tags: bool,
    #[serde(default)]
    pub(crate) enable_execute_command: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateDaemonIn {
    pub(crate) daemon_arn: String,
    #[serde(flatten)]
    pub(crate) workload: DaemonWorkloadIn,
}

/// A request that names a daemon and nothing else.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DaemonIn {
    pub(crate) daemon_arn: String,
}

/// What CreateDaemon, UpdateDaemon and DeleteDaemon answer. Times are seconds since the epoch.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DaemonChangedOut {
    pub(crate) daemon_arn: String,
    pub(crate) status: DaemonStatus,
    pub(crate) created_at: f64,
    /// Not of CreateDaemon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) updated_at: Option<f64>,
    pub(crate) deployment_arn: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct DescribeDaemonOut {
    pub(crate) daemon: DaemonDetail,
}

/// ECS shape `DaemonDetail`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DaemonDetail {
    pub(crate) daemon_arn: String,
    pub(crate) cluster_arn: String,
    pub(crate) status: DaemonStatus,
    pub(crate) current_revisions: Vec<DaemonRevisionDetail>,
    pub(crate) deployment_arn: String,
    pub(crate) created_at: f64,
    pub(crate) updated_at: f64,
}

/// ECS shape `DaemonRevisionDetail`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DaemonRevisionDetail {
    pub(crate) arn: String,
    pub(crate) capacity_providers: Vec<DaemonCapacityProvider>,
    pub(crate) total_running_count: usize,
}

/// ECS shape `DaemonCapacityProvider`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DaemonCapacityProvider {
    pub(crate) arn: String,
    pub(crate) running_count: usize,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ListDaemonsIn {
    pub(crate) cluster_arn: Option<String>,
    pub(crate) capacity_provider_arns: Vec<String>,
    #[serde(flatten)]
    pub(crate) page: PageIn,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListDaemonsOut {
    pub(crate) daemon_summaries_list: Vec<DaemonSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_token: Option<String>,
}

/// ECS shape `DaemonSummary`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DaemonSummary {
    pub(crate) daemon_arn: String,
    pub(crate) status: DaemonStatus,
    pub(crate) created_at: f64,
    pub(crate) updated_at: f64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribeDaemonDeploymentsIn {
    pub(crate) daemon_deployment_arns: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribeDaemonDeploymentsOut {
    pub(crate) daemon_deployments: Vec<DaemonDeploymentOut>,
    pub(crate) failures: Vec<Failure>,
}

/// ECS shape `DaemonDeployment`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DaemonDeploymentOut {
    pub(crate) daemon_deployment_arn: String,
    pub(crate) cluster_arn: String,
    pub(crate) status: DaemonDeploymentStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target_daemon_revision: Option<DeployedRevision>,
    pub(crate) source_daemon_revisions: Vec<DeployedRevision>,
    pub(crate) circuit_breaker: Breaker,
    pub(crate) alarms: AlarmsSeen,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rollback: Option<DaemonRollback>,
    pub(crate) deployment_configuration: DaemonConfiguration,
    #[serde(flatten)]
    pub(crate) times: DeploymentTimes,
}

/// When a deployment was made, begun and over.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeploymentTimes {
    pub(crate) created_at: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started_at: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stopped_at: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) finished_at: Option<f64>,
}

/// ECS shape `DaemonDeploymentRevisionDetail`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeployedRevision {
    pub(crate) arn: String,
    pub(crate) capacity_providers: Vec<DeployedProvider>,
    pub(crate) total_running_instance_count: usize,
    pub(crate) total_draining_instance_count: usize,
}

/// ECS shape `DaemonDeploymentCapacityProvider`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeployedProvider {
    pub(crate) arn: String,
    pub(crate) running_instance_count: usize,
    pub(crate) draining_instance_count: usize,
}

/// ECS shape `DaemonRollback`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DaemonRollback {
    pub(crate) reason: String,
    pub(crate) started_at: f64,
    pub(crate) rollback_target_daemon_revision_arn: String,
    pub(crate) rollback_capacity_providers: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListDaemonDeploymentsIn {
    pub(crate) daemon_arn: String,
    #[serde(default)]
    pub(crate) status: Vec<DaemonDeploymentStatus>,
    pub(crate) created_at: Option<Between>,
    #[serde(flatten)]
    pub(crate) page: PageIn,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListDaemonDeploymentsOut {
    pub(crate) daemon_deployments: Vec<DaemonDeploymentSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_token: Option<String>,
}

/// ECS shape `DaemonDeploymentSummary`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DaemonDeploymentSummary {
    pub(crate) daemon_deployment_arn: String,
    pub(crate) daemon_arn: String,
    pub(crate) cluster_arn: String,
    pub(crate) status: DaemonDeploymentStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target_daemon_revision_arn: Option<String>,
    #[serde(flatten)]
    pub(crate) times: DeploymentTimes,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribeDaemonRevisionsIn {
    pub(crate) daemon_revision_arns: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribeDaemonRevisionsOut {
    pub(crate) daemon_revisions: Vec<DaemonRevisionOut>,
    pub(crate) failures: Vec<Failure>,
}

/// ECS shape `DaemonRevision`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DaemonRevisionOut {
    pub(crate) daemon_revision_arn: String,
    pub(crate) cluster_arn: String,
    pub(crate) daemon_arn: String,
    pub(crate) daemon_task_definition_arn: String,
    pub(crate) created_at: f64,
    pub(crate) container_images: Vec<DaemonContainerImage>,
    pub(crate) propagate_tags: DaemonPropagateTags,
    #[serde(rename = "enableECSManagedTags")]
    pub(crate) enable_ecs_managed_tags: bool,
    pub(crate) enable_execute_command: bool,
}

/// ECS shape `DaemonContainerImage`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DaemonContainerImage {
    pub(crate) container_name: String,
    pub(crate) image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) image_digest: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RegisterDaemonDefinitionIn {
    /// Read as a task definition once what a daemon's cannot have is left out.
    #[serde(flatten)]
    pub(crate) document: Map<String, Value>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DaemonDefinitionArnOut {
    pub(crate) daemon_task_definition_arn: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DaemonDefinitionIn {
    pub(crate) daemon_task_definition: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DaemonDefinitionOut {
    pub(crate) daemon_task_definition: Map<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ListDaemonDefinitionsIn {
    pub(crate) family_prefix: Option<String>,
    pub(crate) family: Option<String>,
    pub(crate) revision: Option<RevisionFilter>,
    pub(crate) status: Option<DefinitionFilter>,
    pub(crate) sort: Option<SortOrder>,
    #[serde(flatten)]
    pub(crate) page: PageIn,
}

/// ECS shape `DaemonTaskDefinitionRevisionFilter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum RevisionFilter {
    LastRegistered,
}

/// ECS shape `DaemonTaskDefinitionStatusFilter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum DefinitionFilter {
    Active,
    DeleteInProgress,
    All,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListDaemonDefinitionsOut {
    pub(crate) daemon_task_definitions: Vec<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_token: Option<String>,
}
