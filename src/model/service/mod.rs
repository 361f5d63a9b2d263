//! Services: a number of equal tasks, kept for ever.
//!
//! ```text
//! ACTIVE ──DeleteService──▶ DRAINING ──the last task has stopped──▶ INACTIVE
//! ```
//!
//! Holds: what a service runs is a [`ServiceRevision`], which never changes; a [`ServiceDeployment`] brings a service
//! from one revision to another. The deployments of a service are in order, the PRIMARY one first.
//! Why events are records of their own: a hundred of them would make a service many times its size.

mod configuration;
mod deployment;
mod event;
mod express;
mod revision;
mod task_set;

use std::collections::BTreeMap;

use cove_base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::arn::Tenant;
use crate::cluster::cluster_arn;
use crate::tag::Tag;
use crate::task_template::{PlacementConstraint, PlacementStrategy};

pub use configuration::{
    Alarms, BadConfiguration, Canary, CircuitBreaker, DeploymentConfiguration, DeploymentStrategy, HookAction,
    HookStage, HookTarget, HookTimeout, LifecycleHook, Linear,
};
pub use deployment::{
    BreakerCount, Deployment, HookState, HookStatus, LifecycleStage, Rollback, RolloutState, ServiceDeployment,
    ServiceDeploymentStatus,
};
pub use event::{Departed, EVENTS_MAX, ServiceEvent};
pub use express::{Express, ExpressRevision, ScalingMetric, ScalingTarget};
pub use revision::{PinnedImage, ServiceRevision, revision_arn};
pub use task_set::{TaskSet, TaskSetStatus};

/// A service. Its key is tenant, cluster and name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    pub tenant: Tenant,
    pub cluster: String,
    pub name: String,
    pub status: ServiceStatus,
    pub controller: DeploymentController,
    pub scheduling: SchedulingStrategy,
    /// Of a DAEMON service it is counted, not wished.
    pub desired_count: u32,
    pub configuration: DeploymentConfiguration,
    pub rebalances_zones: bool,
    /// Set while tasks are moved between zones.
    #[serde(default)]
    pub rebalancing: Option<Rebalancing>,
    pub health_check_grace_secs: Option<u32>,
    /// The service's own; those of the task definition come on top.
    pub constraints: Vec<PlacementConstraint>,
    pub strategies: Vec<PlacementStrategy>,
    pub propagates: PropagateTags,
    pub managed_tags: bool,
    pub enable_execute_command: bool,
    pub tags: Vec<Tag>,
    pub created_at: Timestamp,
    /// The ARN of who made it.
    pub created_by: String,
    /// PRIMARY first; the others are on their way out.
    pub deployments: Vec<Deployment>,
    /// By deployment or task set, of those whose tasks did not stay: what one of them starts is not held up by another.
    #[serde(default)]
    pub pacing_of: BTreeMap<String, Pacing>,
    /// Set while a task that is wanted has no place.
    pub trouble: Option<Trouble>,
    /// What runs when a deployment is rolled back.
    pub completed_revision: Option<String>,
    /// Whether the last thing said about it was that it has reached a steady state.
    pub is_steady: bool,
    /// The number of its next event.
    pub next_event: u64,
    /// What CreateService was asked, so that it may be asked again.
    pub client_token: Option<ServiceToken>,
    /// Since when it is INACTIVE.
    pub gone_at: Option<Timestamp>,
    /// Set on the services that ECS manages.
    #[serde(default)]
    pub express: Option<Express>,
}

/// That tasks are being moved between zones: it ends when one of these is another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebalancing {
    pub desired_count: u32,
    /// The id of the primary deployment.
    pub deployment: String,
}

impl Service {
    /// The service's ARN, in the long form.
    #[must_use]
    pub fn arn(&self) -> String {
        service_arn(&self.tenant, &self.cluster, &self.name)
    }

    /// The cluster's ARN.
    #[must_use]
    pub fn cluster_arn(&self) -> String {
        cluster_arn(&self.tenant, &self.cluster)
    }

    /// Tasks that did not stay, in the rows that go on.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.pacing_of.values().map(|pacing| pacing.failures).sum()
    }

    /// Whether tasks are started more slowly because others did not stay.
    #[must_use]
    pub fn is_throttled(&self) -> bool {
        self.pacing_of.values().any(|pacing| pacing.not_before.is_some())
    }

    /// The group of its tasks.
    #[must_use]
    pub fn group(&self) -> String {
        format!("service:{}", self.name)
    }

    /// The newest deployment. Services that an external controller deploys have none.
    #[must_use]
    pub fn primary(&self) -> Option<&Deployment> {
        self.deployments.first()
    }
}

/// The ARN of a service.
#[must_use]
pub fn service_arn(tenant: &Tenant, cluster: &str, name: &str) -> String {
    tenant.arn("ecs", format_args!("service/{cluster}/{name}"))
}

/// A client token of CreateService, and what it stood for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceToken {
    pub token: String,
    /// SHA-256 of the request without the token, in hex.
    pub request_digest: String,
}

/// ECS's status of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ServiceStatus {
    Active,
    Draining,
    Inactive,
}

/// Who deploys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeploymentController {
    Ecs,
    CodeDeploy,
    External,
}

/// ECS's scheduling strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SchedulingStrategy {
    Replica,
    Daemon,
}

/// Whose tags a task of a service gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PropagateTags {
    TaskDefinition,
    Service,
    None,
}

/// Why a task that is wanted is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    pub since: Timestamp,
    /// In the words of the service's event.
    pub reason: String,
    /// `None`: no place would help, what the task is made from is wrong.
    #[serde(default)]
    pub refused: Option<Refused>,
}

/// What the place lacked that was nearest to taking the task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// As in `RESOURCE:MEMORY`; absent where there is no place at all.
    pub code: Option<String>,
    /// The container instance's ARN, if it was one.
    pub instance: Option<String>,
}

/// How fast tasks are started again that keep failing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pacing {
    /// Tasks in a row that did not stay.
    pub failures: u32,
    pub last_failure_at: Option<Timestamp>,
    /// No task is started before.
    pub not_before: Option<Timestamp>,
}
