//! What must hold of each decision about a daemon.
//!
//! | | |
//! |---|---|
//! | no more instances than drainPercent says are without a healthy task by our own doing | |
//! | tasks start on ACTIVE instances of the daemon's providers alone, of the revision that is wanted | |
//! | a managed instance goes with a daemon that ended by itself, as many at once as drainPercent says, unless tasks pause | |
//! | a draining instance keeps its daemon while other tasks are there | |
//! | a deployment that has failed starts nothing, nor does a daemon that is deleted | |
//! | with a daemon everything goes that was kept of it | |

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use cove_base::Timestamp;
use cove_model::container_instance::{ContainerInstance, ContainerInstanceStatus};
use cove_model::daemon::{Daemon, DaemonDeployment, DaemonRevision};
use cove_model::service::Departed;
use cove_model::task::{StopCode, Task};
use cove_store::{Key, Prefix, Read, keys};

use super::super::Checked;
use super::super::check::{is_healthy, is_wanted};
use super::super::setting::{GROUP, MANAGED, PROVIDER};
use super::super::world::World;

/// A daemon at one moment, as far as the checks look at it.
pub(super) struct Watched {
    pub(super) daemon: Daemon,
    pub(super) deployment: DaemonDeployment,
    pub(super) tasks: Vec<Arc<Task>>,
    /// Instances that are to have one, by what the world knows of its providers.
    pub(super) wanted_on: BTreeSet<String>,
    /// Draining ones with tasks that are not of daemons.
    waited_for: BTreeSet<String>,
    departed: BTreeSet<String>,
    /// Managed ones that are ACTIVE and on which a task ended that neither we nor the machine ended, and none is.
    pub(super) impaired: BTreeSet<String>,
    /// Managed ones that drain without a healthy task.
    in_repair: usize,
    settle_millis: i64,
    now: Timestamp,
}

impl Watched {
    pub(super) fn of(world: &World, key: &Key) -> Option<Self> {
        let view = world.memory.view();
        let daemon = (*view.get::<Daemon>(key)?).clone();
        let (tenant, cluster, name) = (&daemon.tenant, &daemon.cluster, &daemon.name);
        let part = |id: &str| keys::daemon_part(tenant, cluster, name, id);
        let revision = view.get::<DaemonRevision>(&part(&daemon.revision)).unwrap();
        let is_named = |provider: &str| revision.capacity_providers.iter().any(|name| name == provider);
        let is_covered = |one: &ContainerInstance| {
            one.asg.as_deref() == Some(GROUP) && is_named(PROVIDER)
                || one.managed_by.as_deref() == Some(MANAGED) && is_named(MANAGED)
        };
        let instances = view.scan::<ContainerInstance>(&Prefix::parent(tenant, cluster));
        let of_status = |status| instances.iter().filter(move |one| one.status == status);
        let has_others = |one: &ContainerInstance| {
            view.listed::<Task>(&keys::tasks_on(tenant, cluster, &one.id)).iter().any(|it| it.daemon().is_none())
        };
        let active = of_status(ContainerInstanceStatus::Active).filter(|one| is_covered(one));
        let draining = of_status(ContainerInstanceStatus::Draining).filter(|one| has_others(one));
        let inside = Prefix::parent(tenant, &keys::daemon_parent(cluster, name));
        let tasks = view.listed::<Task>(&keys::tasks_of_daemon(tenant, cluster, name));
        let departed = view.scan::<Departed>(&inside);
        let (settle_millis, now) = (world.timing.settle_millis, world.now);
        let is_up =
            |one: &ContainerInstance| tasks.iter().any(|it| place(it) == one.id && is_healthy(it, settle_millis, now));
        let ended = |one: &ContainerInstance| {
            let is_left = |it: &Arc<Departed>| match it.stop_code {
                Some(
                    StopCode::ServiceSchedulerInitiated | StopCode::TerminationNotice | StopCode::SpotInterruption,
                ) => false,
                _ => it.instance.as_ref() == Some(&one.id),
            };
            departed.iter().any(is_left) && !tasks.iter().any(|it| place(it) == one.id)
        };
        let managed = |status| of_status(status).filter(|one| one.managed_by.is_some());
        let impaired = managed(ContainerInstanceStatus::Active).filter(|one| is_covered(one) && ended(one));
        Some(Self {
            impaired: impaired.map(|one| one.id.clone()).collect(),
            in_repair: managed(ContainerInstanceStatus::Draining).filter(|one| !is_up(one)).count(),
            deployment: (*view.get::<DaemonDeployment>(&part(&daemon.deployment)).unwrap()).clone(),
            wanted_on: active.map(|one| one.id.clone()).collect(),
            waited_for: draining.map(|one| one.id.clone()).collect(),
            departed: departed.iter().map(|it| it.task_id.clone()).collect(),
            tasks,
            settle_millis,
            now,
            daemon,
        })
    }

    /// The tasks whose ends are still to be counted.
    pub(super) const fn ends(&self) -> &BTreeSet<String> {
        &self.departed
    }

    fn find(&self, id: &str) -> Option<&Task> {
        self.tasks.iter().map(Arc::as_ref).find(|task| task.id == id)
    }

    pub(super) fn is_healthy(&self, task: &Task) -> bool {
        is_healthy(task, self.settle_millis, self.now)
    }

    /// How many of those instances are without a healthy task.
    fn down(&self, instances: &BTreeSet<String>) -> usize {
        let is_up = |id: &&String| self.tasks.iter().any(|task| place(task) == **id && self.is_healthy(task));
        instances.iter().filter(|id| !is_up(id)).count()
    }

    pub(super) fn differs_from(&self, before: &Self) -> String {
        let mut text = String::new();
        for task in self.tasks.iter().filter(|task| before.find(&task.id).is_none()) {
            let _ = write!(text, "+{}@{} ", &task.id[..6], place(task));
        }
        for task in before.tasks.iter().filter(|it| is_wanted(it) && !self.find(&it.id).is_some_and(is_wanted)) {
            let _ = write!(text, "-{}@{} ", &task.id[..6], place(task));
        }
        let (daemon, deployment) = (&self.daemon, &self.deployment);
        let revision = &daemon.revision[..4];
        let trouble = daemon.trouble.as_ref().map(|it| &it.reason);
        let _ =
            write!(text, "{revision} {:?} failed {} trouble {trouble:?}", deployment.status, deployment.failed_tasks);
        text
    }

    pub(super) fn tells(&self) -> String {
        let tasks: Vec<_> =
            self.tasks.iter().map(|it| (&it.id[..6], place(it), it.observed.status, is_wanted(it))).collect();
        format!("{} on {:?} {} {tasks:?}", self.daemon.name, self.wanted_on, self.differs_from(self))
    }

    /// What holds between the moments before and after a decision was carried out.
    pub(super) fn check_since(&self, before: &Self) -> Checked {
        let mut started = self.tasks.iter().filter(|task| before.find(&task.id).is_none());
        if self.deployment.status.has_failed() || !self.daemon.is_active() {
            return match started.next() {
                Some(odd) => Err(format!("{} starts for a daemon that starts nothing", odd.id)),
                None => self.check_end(),
            };
        }
        let revision = cove_model::daemon::daemon_started_by(&self.daemon.revision);
        let is_odd =
            |task: &&Arc<Task>| !self.wanted_on.contains(place(task)) || task.started_by.as_ref() != Some(&revision);
        if let Some(odd) = started.find(is_odd) {
            return Err(format!("{} of {:?} starts on {}", odd.id, odd.started_by, place(odd)));
        }
        let went = |task: &&Arc<Task>| is_wanted(task) && !self.find(&task.id).is_some_and(is_wanted);
        if let Some(odd) = before.tasks.iter().filter(went).find(|task| before.waited_for.contains(place(task))) {
            return Err(format!("{} leaves {} before the other tasks", odd.id, place(odd)));
        }
        let failures = self.daemon.pacing.failures.saturating_sub(before.daemon.pacing.failures);
        if failures as usize > before.departed.len() {
            return Err(format!("{:?} were counted as {failures}", before.departed));
        }
        self.check_repair(before)?;
        let (then, now) = (before.down(&before.wanted_on), self.down(&before.wanted_on));
        let most = self.daemon.configuration.batch(before.wanted_on.len());
        if now > most.max(then) {
            return Err(format!("{now} instances without {} after {then}, at most {most}", self.daemon.name));
        }
        Ok(())
    }

    /// One instance goes, at least, where one is impaired and one may.
    fn check_repair(&self, before: &Self) -> Checked {
        let pauses = self.daemon.pacing.not_before.is_some_and(|at| at > self.now);
        let is_another = self.daemon.revision != before.daemon.revision;
        let most = before.daemon.configuration.batch(before.wanted_on.len());
        if pauses || is_another || before.in_repair >= most || before.impaired.is_empty() {
            return Ok(());
        }
        if before.wanted_on.iter().all(|id| self.wanted_on.contains(id)) {
            return Err(format!("the daemon of {:?} has ended, and they stay", before.impaired));
        }
        Ok(())
    }

    /// Of a daemon that is deleted nothing goes on.
    fn check_end(&self) -> Checked {
        let left = self.tasks.iter().find(|task| is_wanted(task)).filter(|_| !self.daemon.is_active());
        left.map_or(Ok(()), |left| Err(format!("{} outlives its daemon", left.id)))
    }
}

fn place(task: &Task) -> &str {
    task.placement.container_instance.as_deref().unwrap_or_default()
}

impl World {
    /// Nothing is left of a daemon that is gone.
    pub(super) fn check_gone(&self, before: &Watched) -> Checked {
        let (view, daemon) = (self.memory.view(), &before.daemon);
        let inside = Prefix::parent(&daemon.tenant, &keys::daemon_parent(&daemon.cluster, &daemon.name));
        let tasks = view.listed::<Task>(&keys::tasks_of_daemon(&daemon.tenant, &daemon.cluster, &daemon.name)).len();
        let left = view.count::<DaemonRevision>(&inside)
            + view.count::<DaemonDeployment>(&inside)
            + view.count::<Departed>(&inside);
        if daemon.is_active() || tasks + left > 0 {
            return Err(format!("{} is gone, {tasks} tasks and {left} records are left", daemon.name));
        }
        Ok(())
    }

    /// Never two of a daemon on an instance, whoever did what.
    pub(in super::super) fn check_alone(tasks: &[Arc<Task>]) -> Checked {
        let mut seen = BTreeSet::new();
        let of_daemons = tasks.iter().filter_map(|task| Some((task.daemon()?, task)));
        for (daemon, task) in of_daemons {
            if !seen.insert((daemon, place(task))) {
                return Err(format!("two tasks of {daemon} are on {}", place(task)));
            }
        }
        Ok(())
    }
}
