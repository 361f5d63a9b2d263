//! What a service needs next: tasks to start, tasks to stop, what to say about it.
//!
//! ```text
//! State ─▶ departures ─▶ orders ─▶ stages ─▶ rolling | daemon ─▶ outcome ─▶ balance ─▶ Decision
//!          count ends    rollback   shift     start and stop      complete   zones
//! ```
//!
//! In: a [`State`]: the service, its tasks, the instances, the moment. Out: a [`Decision`]. No clock, no store, no await.
//!
//! Holds: by our own doing there are never more tasks than maximumPercent allows and never fewer healthy ones than
//! minimumHealthyPercent demands; a deployment that has failed starts nothing; deciding again on what a decision leads to
//! comes to rest.
//! Why one decision at a time for the whole service: everything in it hangs together, and it is one transaction.

mod balance;
mod base;
mod daemon;
pub(crate) mod departures;
pub(crate) mod message;
mod outcome;
mod rolling;
mod stages;
mod task_sets;
mod view;
mod worth;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use cove_base::Timestamp;
use cove_model::service::{
    Departed, Deployment, DeploymentController, RolloutState, SchedulingStrategy, Service, ServiceDeployment,
    ServiceStatus, TaskSet,
};

pub use base::Base;
pub(crate) use daemon::Tasks;
pub(crate) use outcome::need_millis;
pub use outcome::{digits, in_progress};
pub(crate) use stages::stays_until;
pub use view::{Condition, TaskView};

/// AWS's waits, as the operator set them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// How long a task without a health check must have run before it counts as healthy.
    pub settle_millis: i64,
    /// The longest pause between two attempts to start tasks that keep failing.
    pub throttle_max_millis: i64,
}

impl Default for Timing {
    /// AWS's.
    fn default() -> Self {
        Self { settle_millis: 40_000, throttle_max_millis: 15 * 60 * 1000 }
    }
}

/// Everything that a decision looks at.
#[derive(Debug, Clone)]
pub struct State {
    pub service: Service,
    /// Those that are open, the newest first.
    pub rollouts: Vec<ServiceDeployment>,
    /// EXTERNAL only.
    pub task_sets: Vec<TaskSet>,
    /// The tasks of the service that are not STOPPED.
    pub tasks: Vec<TaskView>,
    pub departed: Vec<Arc<Departed>>,
    /// DAEMON only.
    pub instances: Vec<InstanceView>,
    /// Zones that tasks of it could come to; only of services that rebalance.
    pub zones: Vec<String>,
    /// What scaling in leaves alone.
    pub base: Option<Base>,
    /// Those of the configuration that are in ALARM.
    pub alarms: Vec<String>,
    /// How long those that the deployment has to fear need to notice something.
    pub alarms_need_millis: i64,
    pub timing: Timing,
    pub now: Timestamp,
    /// Random: where new ids come from.
    pub seed: u64,
}

/// A container instance, as a daemon sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceView {
    pub id: String,
    /// ACTIVE, and what the service's constraints ask for.
    pub is_eligible: bool,
    pub is_draining: bool,
    /// Made for a capacity provider, which can make another one.
    pub is_managed: bool,
    /// Which it does when a daemon of it has ended.
    pub is_repaired: bool,
    /// A managed one that was made without room for what the daemon is to run.
    pub is_older: bool,
    /// Live tasks that are not of daemons.
    pub others: usize,
}

/// What is to be done, in one transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// As it is to be kept.
    pub service: Service,
    pub rollouts: Vec<ServiceDeployment>,
    /// Those that go on.
    pub task_sets: Vec<TaskSet>,
    pub start: Vec<Start>,
    pub stop: Vec<Stop>,
    /// Instances whose daemon stops because they are not what the service's constraints ask for any more.
    pub violated: BTreeSet<String>,
    /// Events, in AWS's words.
    pub say: Vec<Say>,
    /// When to look again even if nothing changes.
    pub wake_at: Option<Timestamp>,
}

/// An event of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Say {
    /// Something has happened.
    News(String),
    /// Something does not work; said again only after some hours.
    Trouble(String),
}

/// Tasks to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The id of the deployment.
    pub deployment: String,
    pub revision: String,
    pub on: On,
}

/// Where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum On {
    Anywhere(u32),
    Instances(Vec<String>),
    /// So many in that zone, to rebalance.
    Zone(String, u32),
}

/// A task to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    pub task_id: String,
    pub reason: String,
    /// The zone that it leaves because another has fewer.
    pub rebalances: Option<String>,
}

/// Decides.
#[must_use]
pub fn decide(state: &State) -> Decision {
    let mut decider = Decider {
        state,
        stopped: HashSet::new(),
        out: Decision {
            service: state.service.clone(),
            rollouts: state.rollouts.clone(),
            task_sets: state.task_sets.clone(),
            start: Vec::new(),
            stop: Vec::new(),
            violated: BTreeSet::new(),
            say: Vec::new(),
            wake_at: None,
        },
    };
    match state.service.status {
        ServiceStatus::Inactive => {}
        ServiceStatus::Draining => decider.drain(),
        ServiceStatus::Active => {
            decider.count_departures();
            match state.service.controller {
                DeploymentController::External => decider.keep_task_sets(),
                DeploymentController::Ecs | DeploymentController::CodeDeploy => decider.deploy(),
            }
        }
    }
    decider.out
}

/// A decision in the making.
struct Decider<'a> {
    state: &'a State,
    /// Ids of the tasks that stop.
    stopped: HashSet<String>,
    out: Decision,
}

impl<'a> Decider<'a> {
    /// ECS's own deployments.
    fn deploy(&mut self) {
        self.carry_out_orders();
        self.advance_stages();
        match self.state.service.scheduling {
            SchedulingStrategy::Replica => self.roll(),
            SchedulingStrategy::Daemon => self.roll_daemon(),
        }
        self.conclude();
        self.balance();
    }

    /// The deployment that is wanted, as decided so far.
    fn primary(&self) -> Option<&Deployment> {
        self.out.service.deployments.first()
    }

    fn primary_mut(&mut self) -> Option<&mut Deployment> {
        self.out.service.deployments.first_mut()
    }

    /// The open service deployment that the primary belongs to.
    fn rollout_mut(&mut self) -> Option<&mut ServiceDeployment> {
        let id = self.out.service.deployments.first()?.service_deployment.clone();
        self.out.rollouts.iter_mut().find(|rollout| rollout.id == id)
    }

    fn is_primary(&self, task: &TaskView) -> bool {
        self.primary().is_some_and(|primary| *primary.id == *task.deployment)
    }

    /// Tasks that nobody has asked to stop, in this decision neither.
    fn staying(&self) -> impl Iterator<Item = &'a TaskView> + '_ {
        self.state.tasks.iter().filter(|task| self.is_staying(task))
    }

    fn is_staying(&self, task: &TaskView) -> bool {
        task.is_wanted && (self.stopped.is_empty() || !self.stopped.contains(task.id()))
    }

    /// What maximumPercent counts: tasks that have not begun to end.
    fn occupying(&self) -> u32 {
        count(self.state.tasks.iter().filter(|task| task.is_running_or_pending))
    }

    /// Whether the primary may start tasks, and when it may otherwise.
    fn may_start(&mut self) -> bool {
        let going = self.primary().filter(|primary| primary.rollout != RolloutState::Failed);
        let id = going.map(|primary| primary.id.clone());
        id.is_some_and(|id| self.pause_is_over(&id))
    }

    /// Whether tasks of a deployment or task set that keep failing may be tried again.
    fn pause_is_over(&mut self, id: &str) -> bool {
        match self.out.service.pacing_of.get(id).and_then(|pacing| pacing.not_before) {
            Some(at) if at > self.state.now => {
                self.wake(at);
                false
            }
            Some(_) | None => true,
        }
    }

    fn start(&mut self, on: On) {
        let Some(primary) = self.primary() else { return };
        let (deployment, revision) = (primary.id.clone(), primary.revision.clone());
        self.out.start.push(Start { deployment, revision, on });
    }

    fn stop(&mut self, task: &TaskView, reason: String) {
        self.stopped.insert(task.id().to_owned());
        self.out.stop.push(Stop { task_id: task.id().to_owned(), reason, rebalances: None });
    }

    fn tell(&mut self, news: String) {
        self.out.say.push(Say::News(news));
    }

    fn complain(&mut self, trouble: String) {
        self.out.say.push(Say::Trouble(trouble));
    }

    fn wake(&mut self, at: Timestamp) {
        self.out.wake_at = Some(self.out.wake_at.map_or(at, |known| known.min(at)));
    }

    /// A deleted service: everything stops, and with the last task it is gone.
    fn drain(&mut self) {
        let reason = self.primary().map_or_else(|| "Service is being deleted".to_owned(), |it| message::scaled(&it.id));
        let all: Vec<&TaskView> = self.staying().collect();
        for task in all {
            self.stop(task, reason.clone());
        }
        if self.state.tasks.is_empty() {
            let service = &mut self.out.service;
            service.status = ServiceStatus::Inactive;
            service.gone_at = Some(self.state.now);
            service.deployments.clear();
            self.out.task_sets.clear();
        }
    }
}

fn count<'a>(tasks: impl Iterator<Item = &'a TaskView>) -> u32 {
    u32::try_from(tasks.count()).unwrap_or(u32::MAX)
}
