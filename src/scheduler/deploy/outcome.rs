//! How a deployment ends: completed, failed, rolled back; and whether the service is steady.

use cove_model::service::{
    BreakerCount, Deployment, DeploymentConfiguration, DeploymentStrategy, Rollback, RolloutState, ServiceDeployment,
    ServiceDeploymentStatus as Status,
};

use super::stages::MINUTE_MILLIS;
use super::view::TaskView;
use super::{Condition, Decider, message};

/// What ECS says of a deployment while it goes on.
const IN_PROGRESS: &str = "in progress.";
/// The circuit breaker's reason, in ECS's words.
const TASKS_FAILED: &str = "tasks failed to start";
/// Ids of deployments are 19 digits.
const ID_DIGITS: usize = 19;

impl Decider<'_> {
    /// What was asked by StopServiceDeployment, by alarms and by the circuit breaker.
    pub(super) fn carry_out_orders(&mut self) {
        let Some(rollout) = self.rollout_mut() else { return };
        let status = rollout.status;
        match status {
            Status::Pending => {
                let now = self.state.now;
                if let Some(rollout) = self.rollout_mut() {
                    rollout.status = Status::InProgress;
                    rollout.started_at = Some(now);
                    rollout.updated_at = now;
                }
            }
            Status::StopRequested => {
                self.fail("Service deployment stopped by user", "deployment stopped by user", false);
            }
            Status::RollbackRequested => {
                self.fail("Service deployment rolled back by user", "rollback requested by user", true);
            }
            Status::InProgress | Status::RollbackInProgress => self.watch_for_failure(),
            Status::Successful | Status::Stopped | Status::RollbackSuccessful | Status::RollbackFailed => {}
        }
    }

    fn watch_for_failure(&mut self) {
        let Some(primary) = self.primary() else { return };
        if primary.rollout != RolloutState::InProgress {
            return;
        }
        let configuration = self.out.service.configuration.clone();
        let threshold = DeploymentConfiguration::breaker_threshold(self.out.service.desired_count);
        if let Some(breaker) = configuration.deployment_circuit_breaker.filter(|it| it.enable)
            && primary.failed_tasks >= threshold
        {
            self.fail("Circuit breaker triggered", TASKS_FAILED, breaker.rollback);
            return;
        }
        if let Some(alarms) = configuration.alarms.filter(|it| it.enable)
            && !self.state.alarms.is_empty()
        {
            let firing = self.state.alarms.clone();
            if let Some(rollout) = self.rollout_mut() {
                rollout.triggered_alarms = firing;
            }
            self.fail("Alarms triggered", "alarm detected", alarms.rollback);
        }
    }

    /// The primary deployment has failed. Rolling back goes to the revision of the last deployment that was completed.
    pub(super) fn fail(&mut self, status_reason: &str, why: &str, rolls_back: bool) {
        let now = self.state.now;
        let service = self.out.service.clone();
        let Some(primary) = self.primary_mut() else { return };
        let failed_id = primary.id.clone();
        primary.rollout = RolloutState::Failed;
        primary.rollout_reason = match why {
            TASKS_FAILED => format!("ECS deployment circuit breaker: {why}."),
            why => format!("ECS deployment {failed_id} failed: {why}."),
        };
        primary.updated_at = now;
        let failed_revision = primary.revision.clone();
        let threshold = DeploymentConfiguration::breaker_threshold(service.desired_count);
        let failed_at = BreakerCount { failures: primary.failed_tasks, threshold };
        self.tell(message::failed(&service, &failed_id, why));
        let is_rollback = self.rollout_mut().is_some_and(|rollout| rollout.status == Status::RollbackInProgress);
        let back = self.state.service.completed_revision.clone().filter(|revision| *revision != failed_revision);
        let (status, target) = match (rolls_back, is_rollback, back) {
            (true, false, Some(revision)) => (Status::RollbackInProgress, Some(revision)),
            (true, _, _) => (Status::RollbackFailed, None),
            (false, true, _) => (Status::RollbackFailed, None),
            (false, false, _) => (Status::Stopped, None),
        };
        if let Some(rollout) = self.rollout_mut() {
            rollout.status = status;
            rollout.status_reason = Some(status_reason.to_owned());
            rollout.failed_at.get_or_insert(failed_at);
            rollout.give_hooks_up();
            rollout.updated_at = now;
            match &target {
                Some(revision) => {
                    let reason = format!("{status_reason}.");
                    rollout.production_percent = 0.0;
                    rollout.rollback = Some(Rollback { reason, started_at: now, revision: revision.clone() });
                }
                None => {
                    rollout.finished_at = Some(now);
                    rollout.stopped_at = Some(now);
                }
            }
        }
        if let Some(revision) = target {
            self.roll_back_to(revision);
        }
    }

    /// The older deployment of that revision leads again, if it still has tasks; else a new one does.
    fn roll_back_to(&mut self, revision: String) {
        let now = self.state.now;
        let service_deployment = self.primary().map(|it| it.service_deployment.clone()).unwrap_or_default();
        let known = self.out.service.deployments.iter().position(|it| it.revision == revision);
        let mut back = match known {
            Some(at) => self.out.service.deployments.remove(at),
            None => Deployment {
                id: format!("ecs-svc/{}", digits(self.state.seed)),
                revision,
                service_deployment: String::new(),
                failed_tasks: 0,
                rollout: RolloutState::InProgress,
                rollout_reason: String::new(),
                created_at: now,
                updated_at: now,
            },
        };
        back.service_deployment = service_deployment;
        back.rollout = RolloutState::InProgress;
        back.failed_tasks = 0;
        back.updated_at = now;
        back.rollout_reason = format!("ECS deployment circuit breaker: rolling back to deploymentId {}.", back.id);
        let text = message::rolling_back(&self.out.service, &back.id);
        self.tell(text);
        self.out.service.pacing_of.remove(&back.id);
        self.out.service.deployments.insert(0, back);
    }

    /// Last of all: what is complete, what is over, what is steady; and when to look again.
    pub(super) fn conclude(&mut self) {
        self.forget_old_deployments();
        let desired = self.out.service.desired_count;
        let staying: Vec<&TaskView> = self.staying().collect();
        let is_whole = u32::try_from(staying.len()).is_ok_and(|number| number == desired)
            && staying.iter().all(|task| self.is_primary(task) && task.is_healthy() && !task.is_on_draining)
            && self.out.start.is_empty();
        let none_leaves = self.state.tasks.iter().all(|task| !task.is_running_or_pending || task.is_wanted)
            && self.out.stop.is_empty();
        let is_alone = self.out.service.deployments.len() == 1;
        if is_whole && none_leaves && is_alone && self.is_through_its_stages() {
            if self.has_baked() {
                self.complete();
            }
            if !self.out.service.is_steady {
                self.out.service.is_steady = true;
                self.tell(message::steady(&self.out.service));
            }
        } else if let Some(rollout) = self.rollout_mut() {
            rollout.baking_since = None;
        }
        if !is_whole && self.out.service.is_steady {
            self.out.service.is_steady = false;
        }
        self.wake_when_settled();
    }

    /// Whether the alarms of a rolling update have had their time: ECS goes on to watch them when the new revision runs
    /// alone, for a time that it works out from their configuration, or as long as somebody wants. Strategies that shift
    /// traffic have a stage for it.
    fn has_baked(&mut self) -> bool {
        let (now, alarms_need_millis) = (self.state.now, self.state.alarms_need_millis);
        let is_rolling = |it: &&mut ServiceDeployment| it.configuration.strategy() == DeploymentStrategy::Rolling;
        let Some(rollout) = self.rollout_mut().filter(is_rolling) else { return true };
        let need_millis = need_millis(rollout, alarms_need_millis);
        if need_millis == 0 {
            return true;
        }
        let until = rollout.baking_since.get_or_insert(now).plus_millis(need_millis);
        if until > now {
            self.wake(until);
        }
        until <= now
    }

    /// When a task comes to count as healthy, or is protected no more.
    pub(super) fn wake_when_settled(&mut self) {
        let settling = self.state.tasks.iter().filter(|task| task.is_wanted).filter_map(|task| match task.condition {
            Condition::Starting { settles_at } => settles_at,
            Condition::Healthy | Condition::Unhealthy => None,
        });
        let protected = self.state.tasks.iter().filter_map(|task| task.protected_until);
        let moments: Vec<_> = settling.chain(protected).filter(|at| *at > self.state.now).collect();
        for at in moments {
            self.wake(at);
        }
    }

    /// A deployment that is not the primary leaves the list with its last task, unless it is kept to go back to.
    fn forget_old_deployments(&mut self) {
        let has_tasks =
            |id: &str| self.state.tasks.iter().any(|task| *task.deployment == *id && task.is_running_or_pending);
        let primary = self.primary().map(|primary| primary.id.clone());
        let kept = self.holds_old_revision().and_then(|_| self.kept_deployment()).map(|kept| kept.id.clone());
        let stays =
            |it: &Deployment| Some(&it.id) == primary.as_ref() || Some(&it.id) == kept.as_ref() || has_tasks(&it.id);
        let kept: Vec<Deployment> = self.out.service.deployments.iter().filter(|it| stays(it)).cloned().collect();
        self.out.service.deployments = kept;
    }

    fn complete(&mut self) {
        let now = self.state.now;
        let Some(primary) = self.primary_mut().filter(|it| it.rollout == RolloutState::InProgress) else { return };
        primary.rollout = RolloutState::Completed;
        primary.rollout_reason = format!("ECS deployment {} completed.", primary.id);
        primary.updated_at = now;
        let (id, revision) = (primary.id.clone(), primary.revision.clone());
        self.out.service.completed_revision = Some(revision);
        self.tell(message::completed(&self.out.service, &id));
        if let Some(rollout) = self.rollout_mut() {
            finish(rollout, now);
        }
    }
}

/// How long a rolling update is watched when it runs alone.
pub(crate) fn need_millis(rollout: &ServiceDeployment, alarms_need_millis: i64) -> i64 {
    let wanted_millis = i64::from(rollout.configuration.bake_time_in_minutes.unwrap_or(0)) * MINUTE_MILLIS;
    alarms_need_millis.max(wanted_millis)
}

fn finish(rollout: &mut ServiceDeployment, now: cove_base::Timestamp) {
    rollout.status = match rollout.status {
        Status::RollbackInProgress | Status::RollbackRequested => Status::RollbackSuccessful,
        Status::Pending
        | Status::InProgress
        | Status::StopRequested
        | Status::Successful
        | Status::Stopped
        | Status::RollbackSuccessful
        | Status::RollbackFailed => Status::Successful,
    };
    rollout.stage = None;
    if rollout.status == Status::Successful {
        rollout.production_percent = 100.0;
    }
    rollout.finished_at = Some(now);
    rollout.updated_at = now;
}

/// What ECS says of a deployment that has just begun.
#[must_use]
pub fn in_progress(id: &str) -> String {
    format!("ECS deployment {id} {IN_PROGRESS}")
}

/// The number of a deployment: 19 digits out of a random number.
#[must_use]
pub fn digits(seed: u64) -> String {
    // The first digit is never a zero.
    let number = 1_000_000_000_000_000_000 + seed % 9_000_000_000_000_000_000;
    let text = number.to_string();
    debug_assert_eq!(text.len(), ID_DIGITS);
    text
}
