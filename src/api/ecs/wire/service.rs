//! Services, their deployments and revisions.

use cove_model::cluster::CapacityProviderStrategyItem;
use cove_model::service::{
    DeploymentConfiguration, DeploymentController, HookAction, HookStatus, LifecycleStage, PropagateTags, RolloutState,
    SchedulingStrategy, ServiceDeploymentStatus, ServiceStatus,
};
use cove_model::tag::Tag;
use cove_model::task::LaunchType;
use cove_model::task_override::NetworkConfiguration;
use cove_model::task_template::{PlacementConstraint, PlacementStrategy};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Failure, PageIn, TagsField, TaskSet};

/// Serialised again to tell whether a client token comes with the same request.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct CreateServiceIn {
    pub(crate) cluster: Option<String>,
    pub(crate) service_name: String,
    pub(crate) task_definition: Option<String>,
    pub(crate) availability_zone_rebalancing: Option<Switch>,
    pub(crate) desired_count: Option<i32>,
    #[serde(skip_serializing)]
    pub(crate) client_token: Option<String>,
    pub(crate) launch_type: Option<LaunchType>,
    pub(crate) capacity_provider_strategy: Vec<CapacityProviderStrategyItem>,
    pub(crate) platform_version: Option<String>,
    pub(crate) deployment_configuration: Option<DeploymentConfiguration>,
    pub(crate) placement_constraints: Vec<PlacementConstraint>,
    pub(crate) placement_strategy: Vec<PlacementStrategy>,
    pub(crate) network_configuration: Option<NetworkConfiguration>,
    pub(crate) health_check_grace_period_seconds: Option<i32>,
    pub(crate) scheduling_strategy: Option<SchedulingStrategy>,
    pub(crate) deployment_controller: Option<Controller>,
    pub(crate) tags: Vec<Tag>,
    #[serde(rename = "enableECSManagedTags")]
    pub(crate) enable_ecs_managed_tags: bool,
    pub(crate) propagate_tags: Option<PropagateTags>,
    pub(crate) enable_execute_command: bool,
    #[serde(flatten)]
    pub(crate) to_come: ServiceMembersToCome,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct UpdateServiceIn {
    pub(crate) cluster: Option<String>,
    pub(crate) service: String,
    pub(crate) desired_count: Option<i32>,
    pub(crate) task_definition: Option<String>,
    pub(crate) capacity_provider_strategy: Option<Vec<CapacityProviderStrategyItem>>,
    pub(crate) deployment_configuration: Option<DeploymentConfiguration>,
    pub(crate) availability_zone_rebalancing: Option<Switch>,
    pub(crate) network_configuration: Option<NetworkConfiguration>,
    pub(crate) placement_constraints: Option<Vec<PlacementConstraint>>,
    pub(crate) placement_strategy: Option<Vec<PlacementStrategy>>,
    pub(crate) platform_version: Option<String>,
    pub(crate) force_new_deployment: bool,
    pub(crate) health_check_grace_period_seconds: Option<i32>,
    pub(crate) deployment_controller: Option<Controller>,
    pub(crate) enable_execute_command: Option<bool>,
    #[serde(rename = "enableECSManagedTags")]
    pub(crate) enable_ecs_managed_tags: Option<bool>,
    pub(crate) propagate_tags: Option<PropagateTags>,
    #[serde(flatten)]
    pub(crate) to_come: ServiceMembersToCome,
}

/// What this version refuses, so that it can be named.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ServiceMembersToCome {
    pub(crate) load_balancers: Vec<Value>,
    pub(crate) service_registries: Vec<Value>,
    pub(crate) service_connect_configuration: Option<ServiceConnect>,
    pub(crate) volume_configurations: Vec<Value>,
    pub(crate) vpc_lattice_configurations: Vec<Value>,
    pub(crate) role: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct ServiceConnect {
    pub(crate) enabled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Switch {
    Enabled,
    Disabled,
}

/// ECS shape `DeploymentController`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Controller {
    #[serde(rename = "type")]
    pub(crate) kind: DeploymentController,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct DeleteServiceIn {
    pub(crate) cluster: Option<String>,
    pub(crate) service: String,
    pub(crate) force: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct DescribeServicesIn {
    pub(crate) cluster: Option<String>,
    pub(crate) services: Vec<String>,
    pub(crate) include: Vec<TagsField>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ListServicesIn {
    pub(crate) cluster: Option<String>,
    pub(crate) launch_type: Option<LaunchType>,
    pub(crate) scheduling_strategy: Option<SchedulingStrategy>,
    pub(crate) resource_management_type: Option<String>,
    #[serde(flatten)]
    pub(crate) page: PageIn,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ListServicesByNamespaceIn {
    pub(crate) namespace: String,
    #[serde(flatten)]
    pub(crate) page: PageIn,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListServicesOut {
    pub(crate) service_arns: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_token: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ServiceOut {
    pub(crate) service: Service,
}

#[derive(Debug, Serialize)]
pub(crate) struct DescribeServicesOut {
    pub(crate) services: Vec<Service>,
    pub(crate) failures: Vec<Failure>,
}

/// ECS shape `Service`. Times are seconds since the epoch.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Service {
    pub(crate) service_arn: String,
    pub(crate) service_name: String,
    pub(crate) cluster_arn: String,
    pub(crate) load_balancers: Vec<Value>,
    pub(crate) service_registries: Vec<Value>,
    pub(crate) status: ServiceStatus,
    pub(crate) desired_count: u32,
    pub(crate) running_count: usize,
    pub(crate) pending_count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) launch_type: Option<LaunchType>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) capacity_provider_strategy: Vec<CapacityProviderStrategyItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) platform_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) platform_family: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) task_definition: Option<String>,
    pub(crate) deployment_configuration: DeploymentConfiguration,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) task_sets: Vec<TaskSet>,
    pub(crate) deployments: Vec<Deployment>,
    pub(crate) events: Vec<ServiceEvent>,
    pub(crate) created_at: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current_service_deployment: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) current_service_revisions: Vec<CurrentRevision>,
    pub(crate) placement_constraints: Vec<PlacementConstraint>,
    pub(crate) placement_strategy: Vec<PlacementStrategy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) network_configuration: Option<NetworkConfiguration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) health_check_grace_period_seconds: Option<u32>,
    pub(crate) scheduling_strategy: SchedulingStrategy,
    pub(crate) deployment_controller: Controller,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<Tag>,
    pub(crate) created_by: String,
    #[serde(rename = "enableECSManagedTags")]
    pub(crate) enable_ecs_managed_tags: bool,
    pub(crate) propagate_tags: PropagateTags,
    pub(crate) enable_execute_command: bool,
    pub(crate) availability_zone_rebalancing: Switch,
    pub(crate) resource_management_type: &'static str,
}

/// ECS shape `ServiceCurrentRevisionSummary`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CurrentRevision {
    pub(crate) arn: String,
    pub(crate) requested_task_count: usize,
    pub(crate) running_task_count: usize,
    pub(crate) pending_task_count: usize,
}

/// ECS shape `Deployment`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Deployment {
    pub(crate) id: String,
    pub(crate) status: &'static str,
    pub(crate) task_definition: String,
    pub(crate) desired_count: usize,
    pub(crate) pending_count: usize,
    pub(crate) running_count: usize,
    pub(crate) failed_tasks: u32,
    pub(crate) created_at: f64,
    pub(crate) updated_at: f64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) capacity_provider_strategy: Vec<CapacityProviderStrategyItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) launch_type: Option<LaunchType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) platform_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) platform_family: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) network_configuration: Option<NetworkConfiguration>,
    pub(crate) rollout_state: RolloutState,
    pub(crate) rollout_state_reason: String,
}

/// ECS shape `ServiceEvent`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServiceEvent {
    pub(crate) id: String,
    pub(crate) created_at: f64,
    pub(crate) message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DescribeServiceRevisionsIn {
    pub(crate) service_revision_arns: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribeServiceRevisionsOut {
    pub(crate) service_revisions: Vec<ServiceRevision>,
    pub(crate) failures: Vec<Failure>,
}

/// ECS shape `ServiceRevision`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServiceRevision {
    pub(crate) service_revision_arn: String,
    pub(crate) service_arn: String,
    pub(crate) cluster_arn: String,
    pub(crate) task_definition: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) capacity_provider_strategy: Vec<CapacityProviderStrategyItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) launch_type: Option<LaunchType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) platform_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) platform_family: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) network_configuration: Option<NetworkConfiguration>,
    pub(crate) container_images: Vec<ContainerImage>,
    pub(crate) guard_duty_enabled: bool,
    pub(crate) created_at: f64,
}

/// ECS shape `ContainerImage`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContainerImage {
    pub(crate) container_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) image_digest: Option<String>,
    pub(crate) image: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DescribeServiceDeploymentsIn {
    pub(crate) service_deployment_arns: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribeServiceDeploymentsOut {
    pub(crate) service_deployments: Vec<ServiceDeployment>,
    pub(crate) failures: Vec<Failure>,
}

/// ECS shape `ServiceDeployment`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServiceDeployment {
    pub(crate) service_deployment_arn: String,
    pub(crate) service_arn: String,
    pub(crate) cluster_arn: String,
    pub(crate) created_at: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started_at: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) finished_at: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stopped_at: Option<f64>,
    pub(crate) updated_at: f64,
    pub(crate) source_service_revisions: Vec<RevisionSummary>,
    pub(crate) target_service_revision: RevisionSummary,
    pub(crate) status: ServiceDeploymentStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lifecycle_stage: Option<LifecycleStage>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) lifecycle_hook_details: Vec<HookDetail>,
    pub(crate) deployment_configuration: DeploymentConfiguration,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rollback: Option<Rollback>,
    pub(crate) deployment_circuit_breaker: Breaker,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) alarms: Option<AlarmsSeen>,
}

/// ECS shape `ServiceRevisionSummary`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RevisionSummary {
    pub(crate) arn: String,
    pub(crate) requested_task_count: usize,
    pub(crate) running_task_count: usize,
    pub(crate) pending_task_count: usize,
    pub(crate) requested_production_traffic_weight: f64,
}

/// ECS shape `DeploymentLifecycleHookDetail`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HookDetail {
    pub(crate) hook_id: String,
    pub(crate) target_type: &'static str,
    pub(crate) status: HookStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<f64>,
    pub(crate) timeout_action: HookAction,
}

/// ECS shape `Rollback`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Rollback {
    pub(crate) reason: String,
    pub(crate) started_at: f64,
    pub(crate) service_revision_arn: String,
}

/// ECS shape `ServiceDeploymentCircuitBreaker`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Breaker {
    pub(crate) status: &'static str,
    pub(crate) failure_count: u32,
    pub(crate) threshold: u32,
}

/// ECS shape `ServiceDeploymentAlarms`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AlarmsSeen {
    pub(crate) status: &'static str,
    pub(crate) alarm_names: Vec<String>,
    pub(crate) triggered_alarm_names: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ListServiceDeploymentsIn {
    pub(crate) service: String,
    pub(crate) cluster: Option<String>,
    pub(crate) status: Vec<ServiceDeploymentStatus>,
    pub(crate) created_at: Option<Between>,
    #[serde(flatten)]
    pub(crate) page: PageIn,
}

/// ECS shape `CreatedAt`, in seconds since the epoch.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Between {
    pub(crate) before: Option<f64>,
    pub(crate) after: Option<f64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListServiceDeploymentsOut {
    pub(crate) service_deployments: Vec<DeploymentBrief>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_token: Option<String>,
}

/// ECS shape `ServiceDeploymentBrief`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeploymentBrief {
    pub(crate) service_deployment_arn: String,
    pub(crate) service_arn: String,
    pub(crate) cluster_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started_at: Option<f64>,
    pub(crate) created_at: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) finished_at: Option<f64>,
    pub(crate) target_service_revision_arn: String,
    pub(crate) status: ServiceDeploymentStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StopServiceDeploymentIn {
    pub(crate) service_deployment_arn: String,
    pub(crate) stop_type: Option<StopType>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum StopType {
    Abort,
    Rollback,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContinueServiceDeploymentIn {
    pub(crate) service_deployment_arn: String,
    pub(crate) hook_id: String,
    pub(crate) action: Option<HookAction>,
}

/// What both answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServiceDeploymentArnOut {
    pub(crate) service_deployment_arn: String,
}
