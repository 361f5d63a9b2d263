//! On a managed instance daemons come first: no other task starts there before they run.
//!
//! In: the task, the store. Out: whether it has to wait, and when that may have changed.
//!
//! Holds: only what has not started yet waits; a daemon that is deleted, finds no room or was given up is waited for no
//! more. Why the signals are taken before the records are read: what changes in between is heard. Why the daemon's own
//! list: every task that waits looks again whenever any task changes, and a daemon has one task an instance.

use cove_model::container_instance::ContainerInstance;
use cove_model::daemon::{Daemon, DaemonDeployment, DaemonRevision};
use cove_model::task::{Task, TaskStatus};
use cove_store::{Prefix, Read, Store, keys};
use tokio::sync::watch;

use crate::deps::instance_in;

/// What a task waits for.
pub(super) struct Gate {
    tasks: watch::Receiver<u64>,
    daemons: watch::Receiver<u64>,
    deployments: watch::Receiver<u64>,
}

impl Gate {
    /// The gate that the task stands before, if it is closed.
    pub(super) fn closed(store: &Store, task: &Task) -> Option<Self> {
        if task.daemon().is_some() || task.observed.status > TaskStatus::Pending {
            return None;
        }
        let gate = Self {
            tasks: store.watch::<Task>(),
            daemons: store.watch::<Daemon>(),
            deployments: store.watch::<DaemonDeployment>(),
        };
        store.read(|view| waits(view, task)).then_some(gate)
    }

    /// Returns when it may be open, or never when the store has closed.
    pub(super) async fn moved(mut self) {
        let done = tokio::select! {
            result = self.tasks.changed() => result,
            result = self.daemons.changed() => result,
            result = self.deployments.changed() => result,
        };
        if done.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Whether a daemon of the task's instance does not run there yet.
fn waits(source: &impl Read, task: &Task) -> bool {
    let Some(instance) = instance_in(source, task) else { return false };
    let Some(provider) = &instance.managed_by else { return false };
    let inside = Prefix::parent(&task.tenant, &task.cluster);
    let daemons = source.scan::<Daemon>(&inside);
    let mut missing = daemons.iter().filter(|daemon| covers(source, daemon, provider));
    missing.any(|daemon| !runs(source, daemon, &instance))
}

/// Whether the daemon is to run on the provider's instances, and can.
fn covers(source: &impl Read, daemon: &Daemon, provider: &str) -> bool {
    let part = |id: &str| keys::daemon_part(&daemon.tenant, &daemon.cluster, &daemon.name, id);
    let revision = source.get::<DaemonRevision>(&part(&daemon.revision));
    let deployment = source.get::<DaemonDeployment>(&part(&daemon.deployment));
    daemon.is_active()
        && daemon.trouble.is_none()
        && deployment.is_some_and(|it| !it.status.has_failed())
        && revision.is_some_and(|it| it.capacity_providers.iter().any(|name| name == provider))
}

fn runs(source: &impl Read, daemon: &Daemon, instance: &ContainerInstance) -> bool {
    let tasks = source.listed::<Task>(&keys::tasks_of_daemon(&daemon.tenant, &daemon.cluster, &daemon.name));
    tasks.iter().any(|task| task.is_on(instance) && task.observed.status == TaskStatus::Running)
}
