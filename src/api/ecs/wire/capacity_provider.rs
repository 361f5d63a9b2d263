//! Capacity providers.

use cove_model::capacity_provider::{CapacityProviderStatus, ManagedScaling, Switch, UpdateStatus};
use cove_model::cluster::CapacityProviderStrategyItem;
use cove_model::managed_instances::ManagedInstancesProvider;
use cove_model::tag::Tag;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Failure, PageIn, TagsField};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct CreateCapacityProviderIn {
    pub(crate) name: String,
    pub(crate) cluster: Option<String>,
    pub(crate) auto_scaling_group_provider: Option<AutoScalingGroupProviderIn>,
    pub(crate) managed_instances_provider: Option<Value>,
    pub(crate) tags: Vec<Tag>,
}

/// ECS shapes `AutoScalingGroupProvider` and `AutoScalingGroupProviderUpdate`, which has no ARN.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct AutoScalingGroupProviderIn {
    pub(crate) auto_scaling_group_arn: Option<String>,
    pub(crate) managed_scaling: Option<ManagedScalingIn>,
    pub(crate) managed_termination_protection: Option<Switch>,
    pub(crate) managed_draining: Option<Switch>,
}

/// ECS shape `ManagedScaling` on the way in: the model has checked the ranges.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ManagedScalingIn {
    pub(crate) status: Option<Switch>,
    pub(crate) target_capacity: Option<i32>,
    pub(crate) minimum_scaling_step_size: Option<i32>,
    pub(crate) maximum_scaling_step_size: Option<i32>,
    pub(crate) instance_warmup_period: Option<i32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct UpdateCapacityProviderIn {
    pub(crate) name: String,
    pub(crate) cluster: Option<String>,
    pub(crate) auto_scaling_group_provider: Option<AutoScalingGroupProviderIn>,
    pub(crate) managed_instances_provider: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DeleteCapacityProviderIn {
    pub(crate) capacity_provider: String,
    pub(crate) cluster: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DescribeCapacityProvidersIn {
    pub(crate) capacity_providers: Vec<String>,
    pub(crate) cluster: Option<String>,
    pub(crate) include: Vec<TagsField>,
    #[serde(flatten)]
    pub(crate) page: PageIn,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PutClusterCapacityProvidersIn {
    pub(crate) cluster: String,
    pub(crate) capacity_providers: Vec<String>,
    pub(crate) default_capacity_provider_strategy: Vec<CapacityProviderStrategyItem>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CapacityProviderOut {
    pub(crate) capacity_provider: CapacityProvider,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CapacityProvidersOut {
    pub(crate) capacity_providers: Vec<CapacityProvider>,
    pub(crate) failures: Vec<Failure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_token: Option<String>,
}

/// ECS shape `CapacityProvider`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CapacityProvider {
    pub(crate) capacity_provider_arn: String,
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cluster: Option<String>,
    pub(crate) status: CapacityProviderStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) auto_scaling_group_provider: Option<AutoScalingGroupProvider>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) managed_instances_provider: Option<ManagedInstancesProvider>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) update_status: Option<UpdateStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) update_status_reason: Option<String>,
    pub(crate) tags: Vec<Tag>,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
}

/// ECS shape `AutoScalingGroupProvider`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AutoScalingGroupProvider {
    pub(crate) auto_scaling_group_arn: String,
    pub(crate) managed_scaling: ManagedScaling,
    pub(crate) managed_termination_protection: Switch,
    pub(crate) managed_draining: Switch,
}
