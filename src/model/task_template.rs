//! What is started when a task is started: a task definition, and everything that a request or a service adds to it.
//!
//! Holds: it is complete: roles, subnets and sizes were looked up and checked when it was made, so that whoever starts
//! a task from it needs the definition's containers and nothing else.

use serde::{Deserialize, Serialize};

use crate::arn::Tenant;
use crate::cluster::CapacityProviderStrategyItem;
use crate::daemon::definition_arn;
use crate::service::PinnedImage;
use crate::tag::Tag;
use crate::task::{Keeper, LaunchType};
use crate::task_definition::NetworkMode;
use crate::task_override::TaskOverride;

/// All that equal tasks have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskTemplate {
    pub tenant: Tenant,
    pub cluster: String,
    pub family: String,
    pub revision: u32,
    pub placing: Placing,
    pub network_mode: NetworkMode,
    /// awsvpc only.
    pub interface: Option<InterfaceWish>,
    pub size: TaskSize,
    /// Of the request or service and of the task definition.
    pub constraints: Vec<PlacementConstraint>,
    pub strategies: Vec<PlacementStrategy>,
    pub overrides: TaskOverride,
    /// As in `family:web` or `service:web`: what distinctInstance and spread look at.
    pub group: String,
    pub started_by: Option<String>,
    pub keeper: Option<Keeper>,
    pub tags: Vec<Tag>,
    pub enable_execute_command: bool,
    /// Images that all tasks run, whatever their tags mean by now.
    #[serde(default)]
    pub pinned: Vec<PinnedImage>,
    /// ARNs.
    pub task_role: Option<String>,
    pub execution_role: Option<String>,
}

impl TaskTemplate {
    /// The task definition's ARN.
    #[must_use]
    pub fn definition_arn(&self) -> String {
        definition_arn(&self.tenant, &self.family, self.revision)
    }
}

/// Where the tasks run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placing {
    pub launch_type: LaunchType,
    /// Capacity providers, among which tasks are divided; empty when the launch type alone decides.
    pub strategy: Vec<CapacityProviderStrategyItem>,
    /// Fargate's, when the request named one other than LATEST.
    pub platform_version: Option<String>,
}

/// Where the interface of an awsvpc task may be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceWish {
    /// All of one VPC.
    pub subnets: Vec<String>,
    pub security_groups: Vec<String>,
    pub assign_public_ip: bool,
}

/// What one task takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSize {
    /// Task-level members, as numbers in text; absent when neither definition nor override has them.
    pub task_cpu: Option<String>,
    pub task_memory: Option<String>,
    /// What placement reserves: the task's own size, else the sum of its containers. In 1/1024 of a core.
    pub cpu: i64,
    pub memory_mib: i64,
    pub ephemeral_storage_gib: Option<u32>,
}

/// ECS shape `PlacementConstraint`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementConstraint {
    #[serde(rename = "type")]
    pub kind: Option<PlacementConstraintType>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
}

/// ECS shape `PlacementConstraintType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PlacementConstraintType {
    DistinctInstance,
    MemberOf,
}

/// ECS shape `PlacementStrategy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementStrategy {
    #[serde(rename = "type")]
    pub kind: Option<PlacementStrategyType>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

/// ECS shape `PlacementStrategyType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PlacementStrategyType {
    Random,
    Spread,
    Binpack,
}

impl PlacementStrategyType {
    /// The name that clients see.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Spread => "spread",
            Self::Binpack => "binpack",
        }
    }
}
