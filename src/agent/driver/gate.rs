//! On an instance that daemons are meant for they come first: no other task starts there before they run.
//!
//! In: the task, the store. Out: whether it has to wait, and when that may have changed.
//!
//! Holds: only what has not started yet waits; a daemon that is deleted, finds no room or was given up is waited for no
//! more, nor is one on an instance that drains, or that was there first and will drain for it: none comes there. Why the
//! signals are taken before the records are read: what changes in between is heard. Why the daemon's own list: every task
//! that waits looks again whenever any task changes, and a daemon has one task an instance.

use std::sync::Arc;

use cove_model::arn::Tenant;
use cove_model::capacity_provider::CapacityProvider;
use cove_model::container_instance::{ContainerInstance, ContainerInstanceStatus};
use cove_model::daemon::{Daemon, DaemonDeployment, DaemonRevision};
use cove_model::task::{Task, TaskStatus};
use cove_model::task_definition::TaskDefinition;
use cove_model::task_template::TaskTemplate;
use cove_store::{Prefix, Read, Store, keys};
use tokio::sync::watch;

use super::knowledge::Outlook;
use crate::deps::instance_in;
use crate::step::Progress;

/// What a task waits for.
pub(super) struct Gate {
    tasks: watch::Receiver<u64>,
    instances: watch::Receiver<u64>,
    daemons: watch::Receiver<u64>,
    deployments: watch::Receiver<u64>,
}

impl Gate {
    /// The gate that the task stands before, if it is closed.
    pub(super) fn closed(store: &Store, task: &Task, outlook: &Outlook) -> Option<Self> {
        if !stands_before(task, outlook) {
            return None;
        }
        let gate = Self {
            tasks: store.watch::<Task>(),
            instances: store.watch::<ContainerInstance>(),
            daemons: store.watch::<Daemon>(),
            deployments: store.watch::<DaemonDeployment>(),
        };
        store.read(|view| waits(view, task)).then_some(gate)
    }

    /// Returns when it may be open, or never when the store has closed.
    pub(super) async fn moved(mut self) {
        let done = tokio::select! {
            result = self.tasks.changed() => result,
            result = self.instances.changed() => result,
            result = self.daemons.changed() => result,
            result = self.deployments.changed() => result,
        };
        if done.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Whether it is about to start the first time, and is no daemon's.
pub(super) fn stands_before(task: &Task, outlook: &Outlook) -> bool {
    let facts = &outlook.facts;
    let is_first = facts.to_start && !facts.starting && facts.progress == Progress::Waiting;
    is_first && task.daemon().is_none() && task.observed.status <= TaskStatus::Pending
}

/// Whether a daemon of the task's instance does not run there yet.
fn waits(source: &impl Read, task: &Task) -> bool {
    let Some(instance) = instance_in(source, task) else { return false };
    if instance.asg.is_none() && instance.managed_by.is_none() {
        return false;
    }
    let daemons = source.scan::<Daemon>(&Prefix::parent(&task.tenant, &task.cluster));
    let wanted = daemons.iter().map(|daemon| wanted(source, daemon, &instance));
    is_closed(instance.status, wanted)
}

/// What the gate knows of a daemon.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// It is meant for the instance.
    pub(super) is_meant: bool,
    /// It is not deleted, finds room, and has not been given up.
    pub(super) may_come: bool,
    pub(super) runs: bool,
}

/// Whether something is waited for.
pub(super) fn is_closed(instance: ContainerInstanceStatus, daemons: impl IntoIterator<Item = Wanted>) -> bool {
    let is_missing = |it: Wanted| it.is_meant && it.may_come && !it.runs;
    instance == ContainerInstanceStatus::Active && daemons.into_iter().any(is_missing)
}

fn wanted(source: &impl Read, daemon: &Daemon, instance: &ContainerInstance) -> Wanted {
    let part = |id: &str| keys::daemon_part(&daemon.tenant, &daemon.cluster, &daemon.name, id);
    let revision = source.get::<DaemonRevision>(&part(&daemon.revision));
    let covers = |name: &String| provider(source, &daemon.tenant, name).is_some_and(|it| it.pool().has(instance));
    let is_meant =
        revision.is_some_and(|it| it.capacity_providers.iter().any(covers) && suits(source, &it.template, instance));
    if !is_meant {
        return Wanted::default();
    }
    let deployment = source.get::<DaemonDeployment>(&part(&daemon.deployment));
    let goes_on = daemon.is_active() && daemon.trouble.is_none();
    let tasks = source.listed::<Task>(&keys::tasks_of_daemon(&daemon.tenant, &daemon.cluster, &daemon.name));
    let here: Vec<_> = tasks.iter().filter(|task| task.is_on(instance)).collect();
    let is_passed_by = here.is_empty() && instance.is_older_than(&daemon.revision);
    Wanted {
        is_meant,
        may_come: goes_on && !is_passed_by && deployment.is_some_and(|it| !it.status.has_failed()),
        runs: here.iter().any(|task| task.observed.status == TaskStatus::Running),
    }
}

/// Whether the instance has what the daemon's definition needs; else none is started there.
fn suits(source: &impl Read, template: &TaskTemplate, instance: &ContainerInstance) -> bool {
    let key = keys::definition(&template.tenant, &template.family, template.revision);
    let definition = source.get::<TaskDefinition>(&key);
    definition.is_some_and(|it| it.requires_attributes.iter().all(|attribute| instance.has(attribute)))
}

fn provider(source: &impl Read, tenant: &Tenant, name: &str) -> Option<Arc<CapacityProvider>> {
    source.get::<CapacityProvider>(&keys::capacity_provider(tenant, name)).filter(|it| it.is_active())
}
