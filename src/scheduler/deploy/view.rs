//! A task as the service scheduler sees it.

use std::collections::HashSet;
use std::sync::Arc;

use cove_base::Timestamp;
use cove_model::task::{Health, Task, TaskStatus};

/// What a decision needs to know of a task.
///
/// Why so much beside the task: a decision passes over ten thousand of them many times, and following each to its record
/// costs more than the rule itself.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskView {
    /// Shared, not copied.
    pub task: Arc<Task>,
    /// `startedBy`: the id of its deployment, the same text for all of them.
    pub deployment: Arc<str>,
    /// It waits for an instance.
    pub is_waiting: bool,
    /// Nobody asked it to stop and it is not ending by itself.
    pub is_wanted: bool,
    /// What maximumPercent counts: it has not begun to end.
    pub is_running_or_pending: bool,
    pub condition: Condition,
    /// Its instance hands its tasks over.
    pub is_on_draining: bool,
    /// Protected from scaling in and from deployments until then.
    pub protected_until: Option<Timestamp>,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
}

/// How a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Not RUNNING yet, or RUNNING and its health is not known yet.
    Starting {
        /// When it counts as healthy if nothing happens; only for tasks without a health check.
        settles_at: Option<Timestamp>,
    },
    Healthy,
    Unhealthy,
}

impl TaskView {
    /// Looks at tasks. `grace_millis`: how long after its start failing checks are overlooked.
    #[must_use]
    pub fn of_all(
        tasks: &[Arc<Task>],
        is_draining: impl Fn(&Task) -> bool,
        now: Timestamp,
        settle_millis: i64,
        grace_millis: i64,
    ) -> Vec<Self> {
        let mut deployments = Deployments::default();
        let view = |task: &Arc<Task>| {
            let is_running_or_pending = task.observed.status <= TaskStatus::Running;
            Self {
                task: Arc::clone(task),
                deployment: deployments.of(task),
                is_waiting: task.is_waiting(),
                is_wanted: is_running_or_pending && !task.desired.is_stopped(),
                is_running_or_pending,
                condition: condition(task, now, settle_millis, grace_millis),
                is_on_draining: is_draining(task),
                protected_until: task.protected_until,
                created_at: task.created_at,
                started_at: task.observed.started_at,
            }
        };
        tasks.iter().map(view).collect()
    }

    #[must_use]
    pub fn id(&self) -> &str {
        &self.task.id
    }

    #[must_use]
    pub fn zone(&self) -> &str {
        &self.task.placement.availability_zone
    }

    /// Absent on Fargate.
    #[must_use]
    pub fn instance(&self) -> Option<&str> {
        self.task.placement.container_instance.as_deref()
    }

    /// Whether scaling in and deployments leave it alone.
    #[must_use]
    pub fn is_protected(&self, now: Timestamp) -> bool {
        self.protected_until.is_some_and(|until| until > now)
    }

    /// Whether it counts towards minimumHealthyPercent.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.is_wanted && self.condition == Condition::Healthy
    }
}

/// The deployments that tasks are of, one text for each.
#[derive(Default)]
struct Deployments(HashSet<Arc<str>>);

impl Deployments {
    fn of(&mut self, task: &Task) -> Arc<str> {
        let id = task.started_by.as_deref().unwrap_or_default();
        if let Some(known) = self.0.get(id) {
            return Arc::clone(known);
        }
        let new: Arc<str> = id.into();
        self.0.insert(Arc::clone(&new));
        new
    }
}

/// AWS's rule: with health checks the task is healthy when they say so; without, some time after it began to run.
fn condition(task: &Task, now: Timestamp, settle_millis: i64, grace_millis: i64) -> Condition {
    let (TaskStatus::Running, Some(started_at)) = (task.observed.status, task.observed.started_at) else {
        return Condition::Starting { settles_at: None };
    };
    match task.health() {
        Health::Healthy => Condition::Healthy,
        Health::Unhealthy if started_at.plus_millis(grace_millis) > now => {
            Condition::Starting { settles_at: Some(started_at.plus_millis(grace_millis)) }
        }
        Health::Unhealthy => Condition::Unhealthy,
        Health::Unknown if task.is_checked() => Condition::Starting { settles_at: None },
        Health::Unknown if started_at.plus_millis(settle_millis) <= now => Condition::Healthy,
        Health::Unknown => Condition::Starting { settles_at: Some(started_at.plus_millis(settle_millis)) },
    }
}
