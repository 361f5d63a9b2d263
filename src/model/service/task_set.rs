//! Task sets: what a service runs whose deployments somebody else controls (EXTERNAL).
//!
//! ```text
//! ACTIVE ◀──UpdateServicePrimaryTaskSet──▶ PRIMARY        either ──DeleteTaskSet──▶ DRAINING ──no tasks──▶ gone
//! ```

use cove_base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::arn::Tenant;
use crate::tag::Tag;

/// A task set. Its key is tenant, cluster, service and id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskSet {
    pub tenant: Tenant,
    pub cluster: String,
    pub service: String,
    /// As in `ecs-svc/1234567890123456789`; `startedBy` of its tasks.
    pub id: String,
    pub external_id: Option<String>,
    pub status: TaskSetStatus,
    /// The service revision that holds what its tasks are.
    pub revision: String,
    /// Of the service's desired count.
    pub scale_percent: f64,
    pub is_steady: bool,
    /// When `is_steady` last changed.
    pub stability_at: Timestamp,
    pub tags: Vec<Tag>,
    pub client_token: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// ECS's status of a task set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TaskSetStatus {
    Primary,
    Active,
    Draining,
}

impl TaskSet {
    /// The task set's ARN.
    #[must_use]
    pub fn arn(&self) -> String {
        self.tenant.arn("ecs", format_args!("task-set/{}/{}/{}", self.cluster, self.service, self.id))
    }

    /// Tasks that it should have: always rounded up, as ECS does.
    #[must_use]
    pub fn computed_desired_count(&self, service_desired: u32) -> u32 {
        if self.status == TaskSetStatus::Draining {
            return 0;
        }
        // Counts are below 2^32 and percentages at most 100, so that neither loses anything.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let count = (f64::from(service_desired) * self.scale_percent / 100.0).ceil() as u32;
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_desired_count_is_rounded_up() {
        let set = |scale_percent: f64, status| TaskSet {
            tenant: Tenant::new("000000000000", "us-east-1"),
            cluster: "c".into(),
            service: "s".into(),
            id: "ecs-svc/1".into(),
            external_id: None,
            status,
            revision: "1".into(),
            scale_percent,
            is_steady: false,
            stability_at: Timestamp(0),
            tags: Vec::new(),
            client_token: None,
            created_at: Timestamp(0),
            updated_at: Timestamp(0),
        };
        assert_eq!(set(40.0, TaskSetStatus::Active).computed_desired_count(3), 2);
        assert_eq!(set(100.0, TaskSetStatus::Primary).computed_desired_count(3), 3);
        assert_eq!(set(0.0, TaskSetStatus::Primary).computed_desired_count(3), 0);
        assert_eq!(set(100.0, TaskSetStatus::Draining).computed_desired_count(3), 0);
    }
}
