//! Capacity providers: names for the capacity that tasks of a strategy are divided among.
//!
//! FARGATE and FARGATE_SPOT exist without having been made and have no record. All others stand for container instances:
//! those that were declared or added with the name of an Auto Scaling group, or those that were made for the provider
//! ([`crate::managed_instances`]).

use cove_base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::arn::Tenant;
use crate::container_instance::ContainerInstance;
use crate::managed_instances::ManagedInstances;
use crate::tag::Tag;

/// The provider of Fargate's on-demand capacity.
pub const FARGATE: &str = "FARGATE";
/// The provider of Fargate's Spot capacity.
pub const FARGATE_SPOT: &str = "FARGATE_SPOT";
/// What managed scaling has when nobody says so: AWS's defaults.
const TARGET_CAPACITY_PERCENT: i32 = 100;
const STEP_MIN: i32 = 1;
const STEP_MAX: i32 = 10_000;
const WARMUP_SECS: i32 = 300;

/// Whether the provider exists without having been made.
#[must_use]
pub fn is_fargate(name: &str) -> bool {
    matches!(name, FARGATE | FARGATE_SPOT)
}

/// A provider that somebody made. Deleted ones stay describable as INACTIVE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CapacityProvider {
    pub tenant: Tenant,
    pub name: String,
    pub status: CapacityProviderStatus,
    pub update_status: UpdateStatus,
    /// Of one that could not be deleted.
    #[serde(default)]
    pub update_status_reason: Option<String>,
    /// The name of its Auto Scaling group; empty for managed instances.
    pub asg: String,
    pub managed_scaling: ManagedScaling,
    pub managed_termination_protection: Switch,
    pub managed_draining: Switch,
    pub tags: Vec<Tag>,
    pub created_at: Timestamp,
    /// In place of a group, and of everything that is said of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedInstances>,
}

impl CapacityProvider {
    /// A new one with what ECS fills in. It stands for nothing yet: give it a group, or instances that are managed.
    #[must_use]
    pub fn new(tenant: Tenant, name: &str, now: Timestamp) -> Self {
        Self {
            tenant,
            name: name.to_owned(),
            status: CapacityProviderStatus::Active,
            update_status: UpdateStatus::CreateComplete,
            update_status_reason: None,
            asg: String::new(),
            managed_scaling: ManagedScaling::default(),
            managed_termination_protection: Switch::Disabled,
            managed_draining: Switch::Enabled,
            tags: Vec::new(),
            created_at: now,
            managed: None,
        }
    }

    /// The provider's ARN.
    #[must_use]
    pub fn arn(&self) -> String {
        capacity_provider_arn(&self.tenant, &self.name)
    }

    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status == CapacityProviderStatus::Active
    }

    /// The instances that it stands for.
    #[must_use]
    pub fn pool(&self) -> Pool {
        match &self.managed {
            None => Pool::Group(self.asg.clone()),
            Some(_) => Pool::Managed(self.name.clone()),
        }
    }
}

/// The container instances behind a capacity provider.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pool {
    /// Of the Auto Scaling group of that name.
    Group(String),
    /// Made for the capacity provider of that name.
    Managed(String),
}

impl Pool {
    /// Whether the instance is one of them.
    #[must_use]
    pub fn has(&self, instance: &ContainerInstance) -> bool {
        match self {
            Self::Group(name) => instance.asg.as_ref() == Some(name),
            Self::Managed(name) => instance.managed_by.as_ref() == Some(name),
        }
    }
}

/// The ARN of a capacity provider of that name.
#[must_use]
pub fn capacity_provider_arn(tenant: &Tenant, name: &str) -> String {
    tenant.arn("ecs", format_args!("capacity-provider/{name}"))
}

/// ECS shape `CapacityProviderStatus`: what is made here is there at once. DEPROVISIONING is shown, never kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CapacityProviderStatus {
    Active,
    /// Deleted, and some of its instances are still leaving.
    Deprovisioning,
    Inactive,
}

/// ECS shape `CapacityProviderUpdateStatus`, as far as changes are done when they are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UpdateStatus {
    CreateComplete,
    UpdateComplete,
    /// Shown, never kept.
    DeleteInProgress,
    DeleteFailed,
    DeleteComplete,
}

/// ECS's ENABLED and DISABLED.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Switch {
    Enabled,
    Disabled,
}

/// ECS shape `ManagedScaling`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ManagedScaling {
    pub status: Switch,
    pub target_capacity: i32,
    pub minimum_scaling_step_size: i32,
    pub maximum_scaling_step_size: i32,
    pub instance_warmup_period: i32,
}

impl Default for ManagedScaling {
    fn default() -> Self {
        Self {
            status: Switch::Disabled,
            target_capacity: TARGET_CAPACITY_PERCENT,
            minimum_scaling_step_size: STEP_MIN,
            maximum_scaling_step_size: STEP_MAX,
            instance_warmup_period: WARMUP_SECS,
        }
    }
}
