//! What a daemon needs next: tasks to start and to stop, and how its deployment goes.
//!
//! ```text
//! State ─▶ failures ─▶ give up? ─▶ replace, instance by instance ─▶ conclude ─▶ Decision
//!
//! a machine of the fleet:   its old task stops ─▶ a new one starts
//! a managed instance:       it drains, its other tasks move ─▶ its old task stops ─▶ it is gone; the one that was made
//!                           for the others has the new revision from the beginning
//! one that was there first: the same, without a task to stop, as ECS does; what is on it may have left no room
//! its daemon ended or ill:  the same, where its provider repairs; else, and on a machine of the fleet, it is started again
//! ```
//!
//! In: a [`State`]. Out: a [`Decision`]. No clock, no store, no await.
//!
//! Holds: an instance never has two daemon tasks at once by our doing: the old one has gone before the new one comes; no
//! more instances than drainPercent says are without a healthy one by our doing; a deployment that has failed starts
//! nothing; deciding again on what a decision leads to comes to rest. As many instances at once are replaced for their
//! daemons' sake as for a deployment's, and none while tasks that keep failing have to pause: what fails everywhere is not
//! the instances' fault. Beyond that the task is started again where it was.
//! Why beside [`crate::deploy`]: services have percentages of tasks, daemons have batches of instances. What a task, an
//! instance, a failure and a pause are is shared.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cove_base::Timestamp;
use cove_model::daemon::{Daemon, DaemonDeployment, DaemonDeploymentStatus as Status, DaemonStatus, daemon_started_by};
use cove_model::service::{Departed, DeploymentConfiguration, Rollback};

use crate::deploy::departures::{is_failure, slow_down};
use crate::deploy::{Condition, InstanceView, Stop, TaskView, Tasks, Timing, message};

/// Why the tasks of a daemon stop.
const DELETED: &str = "Daemon is being deleted";
const REPLACED: &str = "Daemon deployment in progress";
const LEFT: &str = "The container instance is not one of the daemon's capacity providers any more";
/// AWS's words: the instance goes, idle or replaced.
const DRAINED: &str = "Task stopped during instance draining";
/// Why a deployment was given up.
const BREAKER: &str = "Circuit breaker triggered";
const ALARMS: &str = "Alarms triggered";

/// Everything that a decision looks at.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub daemon: Daemon,
    /// The newest one.
    pub deployment: DaemonDeployment,
    /// Those of the cluster; eligible are those that the capacity providers cover.
    pub instances: Vec<InstanceView>,
    /// The daemon's tasks that are not STOPPED.
    pub tasks: Vec<TaskView>,
    pub departed: Vec<Arc<Departed>>,
    /// Those of the configuration that are in ALARM.
    pub alarms: Vec<String>,
    pub timing: Timing,
    pub now: Timestamp,
}

/// What is to be done, in one transaction.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decision {
    pub daemon: Daemon,
    pub deployment: DaemonDeployment,
    /// Instances that get a task of the daemon's revision.
    pub start: Vec<String>,
    pub stop: Vec<Stop>,
    /// Managed instances that go because they run another revision, or because their daemon has ended.
    pub drain: Vec<String>,
    /// It was deleted, and nothing is left of it.
    pub is_gone: bool,
    /// When to look again even if nothing changes.
    pub wake_at: Option<Timestamp>,
}

/// Decides.
#[must_use]
pub(crate) fn decide(state: &State) -> Decision {
    let mut decider = Decider {
        state,
        tasks: Tasks::of(&state.tasks),
        stopped: HashSet::new(),
        out: Decision {
            daemon: state.daemon.clone(),
            deployment: state.deployment.clone(),
            start: Vec::new(),
            stop: Vec::new(),
            drain: Vec::new(),
            is_gone: false,
            wake_at: None,
        },
    };
    decider.begin();
    match state.daemon.status {
        DaemonStatus::DeleteInProgress => decider.delete(),
        DaemonStatus::Active => {
            decider.count_failures();
            decider.give_up();
            // Which instances are eligible was read for the other revision: the next decision knows.
            if decider.out.daemon.revision == state.daemon.revision {
                decider.repair();
                decider.leave_others();
                decider.replace();
                decider.conclude();
                decider.wake_for_tasks();
            }
        }
    }
    decider.out
}

/// A decision in the making.
struct Decider<'a> {
    state: &'a State,
    tasks: Tasks<'a>,
    /// Ids of the tasks that stop.
    stopped: HashSet<String>,
    out: Decision,
}

impl<'a> Decider<'a> {
    fn begin(&mut self) {
        self.out.deployment.instances = u32::try_from(self.eligible().count()).unwrap_or(u32::MAX);
        if self.out.deployment.status == Status::Pending {
            self.out.deployment.status = Status::InProgress;
            self.out.deployment.started_at = Some(self.state.now);
        }
    }

    /// Everything stops, and with the last task the daemon is gone.
    fn delete(&mut self) {
        let all: Vec<&TaskView> = self.staying().collect();
        for task in all {
            self.stop(task, DELETED);
        }
        self.out.is_gone = self.state.tasks.is_empty();
    }

    fn eligible(&self) -> impl Iterator<Item = &'a InstanceView> + use<'a> {
        self.state.instances.iter().filter(|it| it.is_eligible)
    }

    /// Tasks that nobody has asked to stop, in this decision neither.
    fn staying(&self) -> impl Iterator<Item = &'a TaskView> + '_ {
        self.state.tasks.iter().filter(|task| self.stays(task))
    }

    fn stays(&self, task: &TaskView) -> bool {
        task.is_wanted && !self.stopped.contains(task.id())
    }

    /// Of the revision that is wanted, and not failing its checks.
    fn is_current(&self, task: &TaskView) -> bool {
        self.is_of_revision(task) && task.condition != Condition::Unhealthy
    }

    fn is_of_revision(&self, task: &TaskView) -> bool {
        *task.deployment == *daemon_started_by(&self.out.daemon.revision)
    }

    /// Managed instances that drain and still run another revision, or tasks that came before the daemon.
    fn going(&self) -> impl Iterator<Item = &'a InstanceView> + '_ {
        let is_old = |it: &&InstanceView| {
            let runs_another = self.tasks.on(&it.id).iter().any(|task| !self.is_of_revision(task));
            runs_another || it.others > 0 && self.is_without(it)
        };
        self.state.instances.iter().filter(|it| it.is_managed && it.is_draining).filter(is_old)
    }

    /// Whether it was there before what the daemon is to run, and has no task of it.
    fn is_without(&self, instance: &InstanceView) -> bool {
        instance.is_older && self.tasks.on(&instance.id).is_empty()
    }

    fn stop(&mut self, task: &TaskView, reason: &str) {
        self.stopped.insert(task.id().to_owned());
        self.out.stop.push(Stop { task_id: task.id().to_owned(), reason: reason.to_owned(), rebalances: None });
    }

    fn wake(&mut self, at: Timestamp) {
        self.out.wake_at = Some(self.out.wake_at.map_or(at, |known| known.min(at)));
    }

    /// Counts tasks that did not stay; one that began after the last of them and is well ends the row.
    fn count_failures(&mut self) {
        let wanted = daemon_started_by(&self.out.daemon.revision);
        if let Some(last) = self.out.daemon.pacing.last_failure_at {
            let is_well = |task: &&TaskView| {
                *task.deployment == *wanted && task.is_healthy() && task.started_at.is_some_and(|at| at > last)
            };
            if self.state.tasks.iter().any(|task| is_well(&task)) {
                self.out.daemon.pacing = Default::default();
                if self.out.deployment.status.is_open() {
                    self.out.deployment.failed_tasks = 0;
                }
            }
        }
        let settle_millis = self.state.timing.settle_millis;
        let failed = self.state.departed.iter().filter(|it| it.deployment == wanted && is_failure(it, settle_millis));
        let ends: Vec<Timestamp> = failed.map(|it| it.stopped_at).collect();
        let Some(last) = ends.iter().copied().max() else { return };
        let number = u32::try_from(ends.len()).unwrap_or(u32::MAX);
        slow_down(&mut self.out.daemon.pacing, number, last, self.state.timing.throttle_max_millis);
        if self.out.deployment.status.is_open() {
            self.out.deployment.failed_tasks = self.out.deployment.failed_tasks.saturating_add(number);
        }
    }

    /// The circuit breaker and the alarms of an open deployment.
    fn give_up(&mut self) {
        if !self.out.deployment.status.is_open() {
            return;
        }
        let threshold = DeploymentConfiguration::breaker_threshold(self.out.deployment.instances);
        if self.out.deployment.failed_tasks >= threshold {
            self.go_back(BREAKER);
        } else if !self.state.alarms.is_empty() && self.out.deployment.status == Status::InProgress {
            self.out.deployment.triggered_alarms.clone_from(&self.state.alarms);
            self.go_back(ALARMS);
        }
    }

    /// To what ran before, if anything did.
    fn go_back(&mut self, reason: &str) {
        let now = self.state.now;
        let (daemon, deployment) = (&mut self.out.daemon, &mut self.out.deployment);
        deployment.status_reason = Some(format!("{reason}."));
        deployment.baking_since = None;
        daemon.pacing = Default::default();
        if deployment.status == Status::RollbackInProgress {
            deployment.status = Status::RollbackFailed;
            deployment.finished_at = Some(now);
            return;
        }
        match daemon.completed_revision.clone().filter(|revision| *revision != daemon.revision) {
            None => {
                deployment.status = Status::Stopped;
                deployment.stopped_at = Some(now);
            }
            Some(revision) => {
                deployment.status = Status::RollbackInProgress;
                deployment.tripped_at = Some(deployment.failed_tasks).filter(|_| reason == BREAKER);
                deployment.failed_tasks = 0;
                daemon.revision.clone_from(&revision);
                deployment.rollback = Some(Rollback { reason: reason.to_owned(), started_at: now, revision });
            }
        }
    }

    /// Managed instances whose daemon has ended, or fails its checks, go.
    fn repair(&mut self) {
        if self.out.deployment.status.has_failed() || !self.may_start() {
            return;
        }
        let in_repair = |it: &&InstanceView| it.is_repaired && it.is_draining && !self.is_up(it);
        let going = self.state.instances.iter().filter(in_repair).count();
        let batch = self.out.daemon.configuration.batch(self.eligible().count());
        let impaired = self.eligible().filter(|it| it.is_repaired && self.is_impaired(it));
        let drain = impaired.take(batch.saturating_sub(going)).map(|it| it.id.clone()).collect();
        self.out.drain = drain;
    }

    fn is_impaired(&self, instance: &InstanceView) -> bool {
        let mut here = self.on_instance(&instance.id);
        let ended = |it: &Arc<Departed>| it.instance.as_ref() == Some(&instance.id) && it.was_left();
        here.any(|task| task.condition == Condition::Unhealthy)
            || self.tasks.on(&instance.id).is_empty() && self.state.departed.iter().any(ended)
    }

    /// Whether a healthy task is there.
    fn is_up(&self, instance: &InstanceView) -> bool {
        self.on_instance(&instance.id).any(TaskView::is_healthy)
    }

    /// Tasks on instances that are not the daemon's: a draining one keeps its daemon until the other tasks have left.
    fn leave_others(&mut self) {
        let instances: HashMap<&str, &InstanceView> = self.state.instances.iter().map(|it| (&*it.id, it)).collect();
        let why = |task: &TaskView| match task.instance().and_then(|id| instances.get(id)) {
            Some(it) if it.is_eligible || (it.is_draining && it.others > 0) => None,
            Some(it) if it.is_draining => Some(DRAINED),
            Some(_) | None => Some(LEFT),
        };
        let strangers: Vec<_> = self.staying().filter_map(|task| Some((task, why(task)?))).collect();
        for (task, why) in strangers {
            self.stop(task, why);
        }
    }

    /// Instance by instance: what is old goes, batch by batch, a managed instance with it; what is missing comes.
    fn replace(&mut self) {
        if self.out.deployment.status.has_failed() {
            return;
        }
        let may_start = self.may_start();
        let batch = self.out.daemon.configuration.batch(self.eligible().count());
        let down = self.eligible().filter(|it| !self.is_up(it) && !self.is_without(it)).count();
        let mut room = batch.saturating_sub(down + self.going().count());
        let impaired = std::mem::take(&mut self.out.drain);
        for instance in self.eligible().filter(|it| !impaired.contains(&it.id)) {
            let (current, outgoing): (Vec<&TaskView>, Vec<&TaskView>) =
                self.on_instance(&instance.id).partition(|task| self.is_current(task));
            for surplus in current.iter().skip(1) {
                self.stop(surplus, REPLACED);
            }
            if self.is_without(instance) {
                if let Some(left) = room.checked_sub(1) {
                    room = left;
                    self.out.drain.push(instance.id.clone());
                }
                continue;
            }
            if instance.is_managed && outgoing.iter().any(|task| !self.is_of_revision(task)) {
                // Without a healthy one it is down already: it need not wait for others to be up.
                if outgoing.iter().any(|task| task.is_healthy()) {
                    let Some(left) = room.checked_sub(1) else { continue };
                    room = left;
                }
                self.out.drain.push(instance.id.clone());
                continue;
            }
            for task in &outgoing {
                if task.is_healthy() && current.is_empty() {
                    let Some(left) = room.checked_sub(1) else { continue };
                    room = left;
                }
                let reason = if task.condition == Condition::Unhealthy { message::UNHEALTHY } else { REPLACED };
                self.stop(task, reason);
            }
            if self.tasks.on(&instance.id).is_empty() && may_start {
                self.out.start.push(instance.id.clone());
            }
        }
        self.out.drain.extend(impaired);
    }

    /// Tasks that stay on that instance.
    fn on_instance(&self, instance: &str) -> impl Iterator<Item = &'a TaskView> + '_ {
        self.tasks.on(instance).iter().copied().filter(|task| self.stays(task))
    }

    /// Whether tasks that keep failing may be tried again.
    fn may_start(&mut self) -> bool {
        match self.out.daemon.pacing.not_before {
            Some(at) if at > self.state.now => {
                self.wake(at);
                false
            }
            Some(_) | None => true,
        }
    }

    /// Every instance runs the target, and has for the time to bake.
    fn conclude(&mut self) {
        let status = self.out.deployment.status;
        if !status.is_open() {
            return;
        }
        let runs_target = |it: &InstanceView| {
            let mut here = self.tasks.on(&it.id).iter();
            self.on_instance(&it.id).any(TaskView::is_healthy) && here.all(|task| self.is_current(task))
        };
        let is_settled = self.eligible().all(runs_target) && self.going().next().is_none();
        if status == Status::InProgress {
            self.out.deployment.status_reason = self.waits();
        }
        if !is_settled {
            self.out.deployment.baking_since = None;
            return;
        }
        let now = self.state.now;
        let since = *self.out.deployment.baking_since.get_or_insert(now);
        let is_back = status == Status::RollbackInProgress;
        let bakes_until = since.plus_millis(self.out.deployment.configuration.bake_millis());
        if !is_back && bakes_until > now {
            return self.wake(bakes_until);
        }
        let (daemon, deployment) = (&mut self.out.daemon, &mut self.out.deployment);
        deployment.status = if is_back { Status::RollbackSuccessful } else { Status::Successful };
        deployment.finished_at = Some(now);
        daemon.completed_revision = Some(daemon.revision.clone());
    }

    /// For whom the deployment waits, if not for daemons: tasks that no service moves end when they end.
    fn waits(&self) -> Option<String> {
        let number = self.going().filter(|it| it.others > 0).count();
        (number > 0).then(|| format!("Waiting for other tasks to leave {number} draining container instances."))
    }

    /// Tasks without a health check count as healthy after a while.
    fn wake_for_tasks(&mut self) {
        for task in &self.state.tasks {
            if let Condition::Starting { settles_at: Some(at) } = task.condition {
                self.wake(at);
            }
        }
    }
}
