//! How the daemons of a container instance are.
//!
//! | its task there | |
//! |---|---|
//! | fails its checks; none, and none comes: the instance drains, or has no room | IMPAIRED |
//! | is coming | INITIALIZING |
//! | runs | OK |
//!
//! Holds: it is that of the worst of the daemons that are meant for the instance.

use std::cmp::Ordering;
use std::sync::Arc;

use cove_model::container_instance::{ContainerInstance, ContainerInstanceStatus};
use cove_model::daemon::{Daemon, DaemonRevision};
use cove_model::task::{self, Task, TaskStatus};
use cove_scheduler::daemons::{covered_by, covering};
use cove_store::{Prefix, Read, keys};

/// ECS shape `InstanceHealthCheckState`, as far as daemons have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::ecs) enum Health {
    Ok,
    Initializing,
    Impaired,
}

impl Health {
    pub(in crate::ecs) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Initializing => "INITIALIZING",
            Self::Impaired => "IMPAIRED",
        }
    }
}

/// `None` of an instance that no daemon is meant for.
pub(in crate::ecs) fn of(store: &impl Read, instance: &ContainerInstance) -> Option<Health> {
    let (tenant, cluster) = (&instance.tenant, &instance.cluster);
    let there = store.listed::<Task>(&keys::tasks_on(tenant, cluster, &instance.id));
    let is_meant = |daemon: &&Arc<Daemon>| {
        let key = keys::daemon_part(tenant, cluster, &daemon.name, &daemon.revision);
        let revision = store.get::<DaemonRevision>(&key).filter(|_| daemon.is_active());
        revision.is_some_and(|it| covered_by(instance, &covering(store, tenant, &it.capacity_providers)).is_some())
    };
    let daemons = store.scan::<Daemon>(&Prefix::parent(tenant, cluster));
    daemons.iter().filter(is_meant).map(|daemon| of_daemon(daemon, instance, &there)).max()
}

fn of_daemon(daemon: &Daemon, instance: &ContainerInstance, there: &[Arc<Task>]) -> Health {
    let mut own = there.iter().filter(|task| task.daemon() == Some(&*daemon.name)).peekable();
    if own.peek().is_none() {
        let comes = instance.status == ContainerInstanceStatus::Active && daemon.trouble.is_none();
        return if comes { Health::Initializing } else { Health::Impaired };
    }
    let health = |task: &Arc<Task>| match task.observed.status.cmp(&TaskStatus::Running) {
        Ordering::Less => Health::Initializing,
        Ordering::Equal if task.health() != task::Health::Unhealthy => Health::Ok,
        Ordering::Equal | Ordering::Greater => Health::Impaired,
    };
    own.map(health).min().unwrap_or(Health::Impaired)
}
