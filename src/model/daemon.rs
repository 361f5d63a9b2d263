//! Daemons: one task on each container instance that their capacity providers cover.
//!
//! ```text
//! daemon       ACTIVE ──DeleteDaemon──▶ DELETE_IN_PROGRESS ──the last task has stopped──▶ gone
//! deployment   PENDING ▶ IN_PROGRESS ▶ SUCCESSFUL
//!                            ├──────▶ STOPPED                 replaced by a newer one, or failed with nothing to go back to
//!                            └──────▶ ROLLBACK_IN_PROGRESS ▶ ROLLBACK_SUCCESSFUL | ROLLBACK_FAILED
//! ```
//!
//! Holds: what a daemon runs is a [`DaemonRevision`], which never changes; a [`DaemonDeployment`] brings it from one to
//! another. A daemon has at most one deployment that is open, its newest.

use cove_base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::arn::Tenant;
use crate::cluster::cluster_arn;
use crate::service::{Pacing, PinnedImage, Rollback, ServiceToken, Trouble};
use crate::tag::Tag;
use crate::task_template::TaskTemplate;

/// ECS's default share of instances that are without their daemon at the same time.
pub const DRAIN_PERCENT: f64 = 25.0;
/// ECS's longest time to bake.
const BAKE_MAX_MINUTES: i32 = 1440;
/// What a daemon's definition family begins with in the store: `/` is in no family's name, so that the families of
/// daemons and of other tasks never meet.
const FAMILY_PREFIX: &str = "daemon/";

/// The family of a daemon task definition, as it is kept.
#[must_use]
pub fn kept_family(family: &str) -> String {
    format!("{FAMILY_PREFIX}{family}")
}

/// The family's name as clients know it, if it is one of daemons.
#[must_use]
pub fn daemon_family(kept: &str) -> Option<&str> {
    kept.strip_prefix(FAMILY_PREFIX)
}

/// The family's name as clients know it, of daemons or not.
#[must_use]
pub fn family_name(kept: &str) -> &str {
    daemon_family(kept).unwrap_or(kept)
}

/// The ARN of a task definition, of a daemon or not.
#[must_use]
pub fn definition_arn(tenant: &Tenant, kept_family: &str, revision: u32) -> String {
    match daemon_family(kept_family) {
        Some(family) => tenant.arn("ecs", format_args!("daemon-task-definition/{family}:{revision}")),
        None => tenant.arn("ecs", format_args!("task-definition/{kept_family}:{revision}")),
    }
}

/// The parent of what belongs to a daemon, within its cluster; no service has such a name.
#[must_use]
pub fn daemon_owner(name: &str) -> String {
    format!("daemon/{name}")
}

/// A daemon. Its key is tenant, cluster and name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Daemon {
    pub tenant: Tenant,
    pub cluster: String,
    pub name: String,
    pub status: DaemonStatus,
    /// What its instances shall run.
    pub revision: String,
    /// The newest deployment.
    pub deployment: String,
    /// The revision of the last deployment that succeeded: what is gone back to.
    pub completed_revision: Option<String>,
    pub configuration: DaemonConfiguration,
    pub tags: Vec<Tag>,
    pub pacing: Pacing,
    /// Set while an instance has no room for its task.
    pub trouble: Option<Trouble>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// What CreateDaemon was asked, so that it may be asked again.
    pub client_token: Option<ServiceToken>,
}

impl Daemon {
    /// A new one that runs nothing yet.
    #[must_use]
    pub fn new(tenant: Tenant, cluster: &str, name: &str, configuration: DaemonConfiguration, now: Timestamp) -> Self {
        Self {
            tenant,
            cluster: cluster.to_owned(),
            name: name.to_owned(),
            status: DaemonStatus::Active,
            revision: String::new(),
            deployment: String::new(),
            completed_revision: None,
            configuration,
            tags: Vec::new(),
            pacing: Pacing::default(),
            trouble: None,
            created_at: now,
            updated_at: now,
            client_token: None,
        }
    }

    #[must_use]
    pub fn arn(&self) -> String {
        daemon_arn(&self.tenant, &self.cluster, &self.name)
    }

    #[must_use]
    pub fn cluster_arn(&self) -> String {
        cluster_arn(&self.tenant, &self.cluster)
    }

    /// The group of its tasks.
    #[must_use]
    pub fn group(&self) -> String {
        format!("daemon:{}", self.name)
    }

    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status == DaemonStatus::Active
    }
}

/// The ARN of a daemon.
#[must_use]
pub fn daemon_arn(tenant: &Tenant, cluster: &str, name: &str) -> String {
    tenant.arn("ecs", format_args!("daemon/{cluster}/{name}"))
}

/// The ARN of a revision of a daemon.
#[must_use]
pub fn daemon_revision_arn(tenant: &Tenant, cluster: &str, daemon: &str, id: &str) -> String {
    tenant.arn("ecs", format_args!("daemon-revision/{cluster}/{daemon}/{id}"))
}

/// ECS shape `DaemonStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DaemonStatus {
    Active,
    DeleteInProgress,
}

/// ECS shape `DaemonDeploymentConfiguration`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DaemonConfiguration {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_percent: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alarms: Option<DaemonAlarms>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bake_time_in_minutes: Option<i32>,
}

/// ECS shape `DaemonAlarmConfiguration`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DaemonAlarms {
    pub alarm_names: Vec<String>,
    pub enable: bool,
}

/// A configuration that ECS refuses.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDaemonConfiguration {
    #[error("drainPercent must be between 0.0 and 100.0.")]
    DrainPercent,
    #[error("bakeTimeInMinutes must be between 0 and {BAKE_MAX_MINUTES}.")]
    BakeTime,
    #[error("alarmNames cannot be empty when alarms are enabled.")]
    Alarms,
}

impl DaemonConfiguration {
    /// # Errors
    /// When ECS has no such configuration.
    pub fn check(&self) -> Result<(), BadDaemonConfiguration> {
        if self.drain_percent.is_some_and(|percent| !(0.0..=100.0).contains(&percent)) {
            return Err(BadDaemonConfiguration::DrainPercent);
        }
        if self.bake_time_in_minutes.is_some_and(|minutes| !(0..=BAKE_MAX_MINUTES).contains(&minutes)) {
            return Err(BadDaemonConfiguration::BakeTime);
        }
        if self.watched_alarms().is_some_and(<[String]>::is_empty) {
            return Err(BadDaemonConfiguration::Alarms);
        }
        Ok(())
    }

    /// With what ECS fills in.
    #[must_use]
    pub fn filled(mut self) -> Self {
        self.drain_percent.get_or_insert(DRAIN_PERCENT);
        self.bake_time_in_minutes.get_or_insert(0);
        self
    }

    /// The alarms that a deployment goes by; `None` when it goes by none.
    #[must_use]
    pub fn watched_alarms(&self) -> Option<&[String]> {
        self.alarms.as_ref().filter(|alarms| alarms.enable).map(|alarms| &*alarms.alarm_names)
    }

    /// How many of so many instances may be without their daemon at once. One at least: else nothing would ever change.
    #[must_use]
    pub fn batch(&self, instances: usize) -> usize {
        let percent = self.drain_percent.unwrap_or(DRAIN_PERCENT);
        // Percents between 0 and 100 of a few instances: neither sign nor size can be lost.
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "see above"
        )]
        let share = (instances as f64 * percent / 100.0).floor() as usize;
        share.max(1)
    }

    #[must_use]
    pub fn bake_millis(&self) -> i64 {
        i64::from(self.bake_time_in_minutes.unwrap_or(0)) * 60_000
    }
}

/// What a daemon runs, at one time. Never changed, but for the digests that its tags turned out to mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DaemonRevision {
    pub tenant: Tenant,
    pub cluster: String,
    pub daemon: String,
    /// Digits.
    pub id: String,
    pub template: TaskTemplate,
    /// Names.
    pub capacity_providers: Vec<String>,
    pub propagates_tags: bool,
    pub managed_tags: bool,
    pub images: Vec<PinnedImage>,
    pub created_at: Timestamp,
}

impl DaemonRevision {
    /// A new one of the daemon, which adds no tags to its tasks.
    #[must_use]
    pub fn new(daemon: &Daemon, id: &str, template: TaskTemplate, providers: Vec<String>, now: Timestamp) -> Self {
        Self {
            tenant: daemon.tenant.clone(),
            cluster: daemon.cluster.clone(),
            daemon: daemon.name.clone(),
            id: id.to_owned(),
            template,
            capacity_providers: providers,
            propagates_tags: false,
            managed_tags: false,
            images: Vec::new(),
            created_at: now,
        }
    }

    #[must_use]
    pub fn arn(&self) -> String {
        daemon_revision_arn(&self.tenant, &self.cluster, &self.daemon, &self.id)
    }

    /// What its tasks say in `startedBy`.
    #[must_use]
    pub fn started_by(&self) -> String {
        daemon_started_by(&self.id)
    }
}

/// What the tasks of a revision say in `startedBy`.
#[must_use]
pub fn daemon_started_by(revision: &str) -> String {
    format!("ecs-daemon/{revision}")
}

/// ECS shape `DaemonDeployment`, as far as it is kept; counts are taken from the tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DaemonDeployment {
    pub tenant: Tenant,
    pub cluster: String,
    pub daemon: String,
    /// Digits.
    pub id: String,
    pub source_revisions: Vec<String>,
    /// Absent when the daemon is deleted.
    pub target_revision: Option<String>,
    pub configuration: DaemonConfiguration,
    pub status: DaemonDeploymentStatus,
    pub status_reason: Option<String>,
    pub failed_tasks: u32,
    /// The failures at which the circuit breaker sent it back; those of the way back are counted anew.
    #[serde(default)]
    pub tripped_at: Option<u32>,
    /// How many instances there were when it was last decided about.
    pub instances: u32,
    pub triggered_alarms: Vec<String>,
    pub rollback: Option<Rollback>,
    /// Since when all instances run the target.
    pub baking_since: Option<Timestamp>,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub stopped_at: Option<Timestamp>,
}

impl DaemonDeployment {
    /// A new one that brings the daemon to its revision, or to nothing when it is deleted.
    #[must_use]
    pub fn new(daemon: &Daemon, id: &str, source_revisions: Vec<String>, now: Timestamp) -> Self {
        Self {
            tenant: daemon.tenant.clone(),
            cluster: daemon.cluster.clone(),
            daemon: daemon.name.clone(),
            id: id.to_owned(),
            source_revisions,
            target_revision: daemon.is_active().then(|| daemon.revision.clone()),
            configuration: daemon.configuration.clone(),
            status: DaemonDeploymentStatus::Pending,
            status_reason: None,
            failed_tasks: 0,
            tripped_at: None,
            instances: 0,
            triggered_alarms: Vec::new(),
            rollback: None,
            baking_since: None,
            created_at: now,
            started_at: None,
            finished_at: None,
            stopped_at: None,
        }
    }

    #[must_use]
    pub fn arn(&self) -> String {
        self.tenant.arn("ecs", format_args!("daemon-deployment/{}/{}/{}", self.cluster, self.daemon, self.id))
    }
}

/// ECS shape `DaemonDeploymentStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DaemonDeploymentStatus {
    Pending,
    Successful,
    Stopped,
    StopRequested,
    InProgress,
    RollbackInProgress,
    RollbackSuccessful,
    RollbackFailed,
}

impl DaemonDeploymentStatus {
    /// Whether it goes on.
    #[must_use]
    pub const fn is_open(self) -> bool {
        match self {
            Self::Pending | Self::InProgress | Self::StopRequested | Self::RollbackInProgress => true,
            Self::Successful | Self::Stopped | Self::RollbackSuccessful | Self::RollbackFailed => false,
        }
    }

    /// Whether it gave up: nothing more is started then.
    #[must_use]
    pub const fn has_failed(self) -> bool {
        match self {
            Self::Stopped | Self::RollbackFailed => true,
            Self::Pending
            | Self::InProgress
            | Self::StopRequested
            | Self::RollbackInProgress
            | Self::Successful
            | Self::RollbackSuccessful => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_the_drain_percentage_and_never_nothing() {
        let batch = |percent, instances| {
            DaemonConfiguration { drain_percent: percent, ..DaemonConfiguration::default() }.batch(instances)
        };
        assert_eq!([batch(None, 8), batch(Some(50.0), 5), batch(Some(100.0), 3)], [2, 2, 3]);
        assert_eq!([batch(Some(0.0), 8), batch(None, 1), batch(Some(10.0), 0)], [1, 1, 1]);
    }

    #[test]
    fn families_of_daemons_have_arns_of_their_own() {
        let tenant = Tenant::new("000000000000", "us-east-1");
        let arn = |family: &str| definition_arn(&tenant, family, 3);
        assert_eq!(arn("app"), "arn:aws:ecs:us-east-1:000000000000:task-definition/app:3");
        assert_eq!(arn(&kept_family("app")), "arn:aws:ecs:us-east-1:000000000000:daemon-task-definition/app:3");
    }
}
