//! How a service comes from one revision to the next.
//!
//! ```text
//! PENDING ▶ IN_PROGRESS ▶ SUCCESSFUL
//!              ├──────────▶ STOPPED                                     the circuit breaker, without rollback
//!              ├─ ROLLBACK_REQUESTED ─┐
//!              └──────────────────────┴▶ ROLLBACK_IN_PROGRESS ▶ ROLLBACK_SUCCESSFUL | ROLLBACK_FAILED
//! ```

use cove_base::Timestamp;
use serde::{Deserialize, Serialize};

use super::configuration::{DeploymentConfiguration, HookAction, HookStage};
use crate::arn::Tenant;

/// ECS shape `Deployment`, as far as it is kept; counts are taken from the tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    /// As in `ecs-svc/1234567890123456789`; `startedBy` of its tasks.
    pub id: String,
    /// The service revision that it runs.
    pub revision: String,
    /// The service deployment that it belongs to.
    pub service_deployment: String,
    pub failed_tasks: u32,
    pub rollout: RolloutState,
    pub rollout_reason: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// ECS's rollout state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RolloutState {
    InProgress,
    Completed,
    /// It starts no more tasks.
    Failed,
}

/// A service deployment: the history of one change of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceDeployment {
    pub tenant: Tenant,
    pub cluster: String,
    pub service: String,
    /// Digits and letters.
    pub id: String,
    /// Revisions that ran when it began.
    pub source_revisions: Vec<String>,
    pub target_revision: String,
    pub configuration: DeploymentConfiguration,
    pub status: ServiceDeploymentStatus,
    pub status_reason: Option<String>,
    /// Of strategies that shift traffic.
    pub stage: Option<LifecycleStage>,
    /// When the stage began.
    pub stage_since: Option<Timestamp>,
    /// When the new revision first got traffic, after the hooks of that stage.
    #[serde(default)]
    pub shift_since: Option<Timestamp>,
    /// The share of production traffic that the new revision has, in percent.
    pub production_percent: f64,
    pub hooks: Vec<HookState>,
    pub rollback: Option<Rollback>,
    pub triggered_alarms: Vec<String>,
    /// Of one that failed: what its circuit breaker saw by then.
    #[serde(default)]
    pub failed_at: Option<BreakerCount>,
    /// Of a rolling update that alarms watch: since when the new revision runs alone and whole.
    #[serde(default)]
    pub baking_since: Option<Timestamp>,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub stopped_at: Option<Timestamp>,
    pub updated_at: Timestamp,
}

impl ServiceDeployment {
    /// The service deployment's ARN.
    #[must_use]
    pub fn arn(&self) -> String {
        self.tenant.arn("ecs", format_args!("service-deployment/{}/{}/{}", self.cluster, self.service, self.id))
    }

    /// Hooks that nobody waits for any more.
    pub fn give_hooks_up(&mut self) {
        let waits = |hook: &&mut HookState| matches!(hook.status, HookStatus::AwaitingAction | HookStatus::InProgress);
        self.hooks.iter_mut().filter(waits).for_each(|hook| hook.status = HookStatus::Failed);
    }

    /// Whether it goes on.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        match self.status {
            ServiceDeploymentStatus::Pending
            | ServiceDeploymentStatus::InProgress
            | ServiceDeploymentStatus::StopRequested
            | ServiceDeploymentStatus::RollbackRequested
            | ServiceDeploymentStatus::RollbackInProgress => true,
            ServiceDeploymentStatus::Successful
            | ServiceDeploymentStatus::Stopped
            | ServiceDeploymentStatus::RollbackSuccessful
            | ServiceDeploymentStatus::RollbackFailed => false,
        }
    }
}

/// How many tasks of a deployment had failed, and how many its circuit breaker stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerCount {
    pub failures: u32,
    pub threshold: u32,
}

/// ECS's status of a service deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ServiceDeploymentStatus {
    Pending,
    Successful,
    Stopped,
    StopRequested,
    InProgress,
    RollbackRequested,
    RollbackInProgress,
    RollbackSuccessful,
    RollbackFailed,
}

/// ECS's stages of a deployment that shifts traffic, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LifecycleStage {
    ReconcileService,
    PreScaleUp,
    ScaleUp,
    PostScaleUp,
    TestTrafficShift,
    PostTestTrafficShift,
    ProductionTrafficShift,
    PostProductionTrafficShift,
    BakeTime,
    CleanUp,
}

impl LifecycleStage {
    /// The name that clients see.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReconcileService => "RECONCILE_SERVICE",
            Self::PreScaleUp => "PRE_SCALE_UP",
            Self::ScaleUp => "SCALE_UP",
            Self::PostScaleUp => "POST_SCALE_UP",
            Self::TestTrafficShift => "TEST_TRAFFIC_SHIFT",
            Self::PostTestTrafficShift => "POST_TEST_TRAFFIC_SHIFT",
            Self::ProductionTrafficShift => "PRODUCTION_TRAFFIC_SHIFT",
            Self::PostProductionTrafficShift => "POST_PRODUCTION_TRAFFIC_SHIFT",
            Self::BakeTime => "BAKE_TIME",
            Self::CleanUp => "CLEAN_UP",
        }
    }
}

/// How a service got back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    pub reason: String,
    pub started_at: Timestamp,
    pub revision: String,
}

/// A hook that a deployment has reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookState {
    /// A UUID.
    pub id: String,
    pub stage: HookStage,
    pub status: HookStatus,
    pub since: Timestamp,
    /// When the timeout's action is taken.
    pub expires_at: Option<Timestamp>,
    pub on_timeout: HookAction,
}

/// ECS's status of a lifecycle hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HookStatus {
    AwaitingAction,
    InProgress,
    Succeeded,
    Failed,
    TimedOut,
}
