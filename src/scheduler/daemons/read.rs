//! From the store to the state that a decision looks at.

use std::collections::HashSet;
use std::sync::Arc;

use cove_base::Timestamp;
use cove_model::arn::Tenant;
use cove_model::capacity_provider::{CapacityProvider, Pool};
use cove_model::container_instance::{ContainerInstance, ContainerInstanceStatus};
use cove_model::daemon::{Daemon, DaemonDeployment, DaemonRevision};
use cove_model::managed_instances::ManagedInstances;
use cove_model::service::Departed;
use cove_model::taken::OnInstance;
use cove_model::task::Task;
use cove_model::task_definition::TaskDefinition;
use cove_store::{Prefix, Read, keys};

use super::decide::State;
use crate::deploy::{InstanceView, TaskView, Timing};
use crate::launch::Suitability;
use crate::services::read::firing;

/// A capacity provider that a daemon names, and the instances behind it.
pub struct Covering {
    pub provider: String,
    pub pool: Pool,
}

/// What the capacity providers of a revision cover; those that are gone cover nothing.
#[must_use]
pub fn covering(source: &impl Read, tenant: &Tenant, providers: &[String]) -> Vec<Covering> {
    let find = |name: &String| source.get::<CapacityProvider>(&keys::capacity_provider(tenant, name));
    let active = providers.iter().filter_map(find).filter(|it| it.is_active());
    active.map(|it| Covering { provider: it.name.clone(), pool: it.pool() }).collect()
}

/// The provider that the instance belongs to, if it is one of those: here alone is said on which instances a daemon runs.
#[must_use]
pub fn covered_by<'a>(instance: &ContainerInstance, by: &'a [Covering]) -> Option<&'a str> {
    by.iter().find(|one| one.pool.has(instance)).map(|one| &*one.provider)
}

/// Whether tasks still come to instances that have none: it is not deleted, finds room, and has not been given up.
pub(crate) fn is_awaited(source: &impl Read, daemon: &Daemon) -> bool {
    let key = keys::daemon_part(&daemon.tenant, &daemon.cluster, &daemon.name, &daemon.deployment);
    let deployment = source.get::<DaemonDeployment>(&key);
    daemon.is_active() && daemon.trouble.is_none() && deployment.is_some_and(|it| !it.status.has_failed())
}

/// The state of one daemon; `None` when its records are not whole.
pub(crate) fn state(source: &impl Read, daemon: &Daemon, timing: &Timing, now: Timestamp) -> Option<State> {
    let (tenant, cluster, name) = (&daemon.tenant, &daemon.cluster, &daemon.name);
    let part = |id: &str| keys::daemon_part(tenant, cluster, name, id);
    let deployment = source.get::<DaemonDeployment>(&part(&daemon.deployment))?;
    let tasks = source.listed::<Task>(&keys::tasks_of_daemon(tenant, cluster, name));
    let instances = source.scan::<ContainerInstance>(&Prefix::parent(tenant, cluster));
    let drains = |it: &&Arc<ContainerInstance>| it.status == ContainerInstanceStatus::Draining;
    let draining: HashSet<&str> = instances.iter().filter(drains).map(|it| &*it.id).collect();
    let is_draining =
        |task: &Task| task.placement.container_instance.as_deref().is_some_and(|id| draining.contains(id));
    let watched = deployment.configuration.watched_alarms().unwrap_or_default();
    let inside = Prefix::parent(tenant, &keys::daemon_parent(cluster, name));
    Some(State {
        daemon: daemon.clone(),
        alarms: firing(source, tenant, watched, deployment.created_at),
        deployment: (*deployment).clone(),
        instances: views_of(source, daemon, &instances),
        tasks: TaskView::of_all(&tasks, is_draining, now, timing.settle_millis, 0),
        departed: source.scan::<Departed>(&inside),
        timing: timing.clone(),
        now,
    })
}

/// The instances as the daemon sees them. Without a definition none is eligible.
fn views_of(source: &impl Read, daemon: &Daemon, instances: &[Arc<ContainerInstance>]) -> Vec<InstanceView> {
    let (tenant, cluster) = (&daemon.tenant, &daemon.cluster);
    let key = keys::daemon_part(tenant, cluster, &daemon.name, &daemon.revision);
    let Some(revision) = source.get::<DaemonRevision>(&key) else { return Vec::new() };
    let template = &revision.template;
    let key = keys::definition(&template.tenant, &template.family, template.revision);
    let definition = source.get::<TaskDefinition>(&key);
    let covering = covering(source, tenant, &revision.capacity_providers);
    let suitability = definition.map(|it| Suitability::of(&template.constraints, it));
    let fits = |one: &ContainerInstance| suitability.as_ref().is_some_and(|it| it.holds(one));
    let taken = source.sum::<Task>();
    let waited_for = |here: &OnInstance| here.tasks() - here.daemons.values().sum::<i64>();
    let others = |one: &ContainerInstance| taken.number(|it| it.on(one).map_or(0, waited_for));
    let repairs = |name: &String| {
        let provider = source.get::<CapacityProvider>(&keys::capacity_provider(tenant, name));
        provider.is_some_and(|it| it.managed.as_ref().is_some_and(ManagedInstances::repairs))
    };
    let view = |one: &Arc<ContainerInstance>| InstanceView {
        id: one.id.clone(),
        is_eligible: one.status == ContainerInstanceStatus::Active && covered_by(one, &covering).is_some() && fits(one),
        is_draining: one.status == ContainerInstanceStatus::Draining,
        is_managed: one.managed_by.is_some(),
        is_repaired: one.managed_by.as_ref().is_some_and(repairs),
        is_older: one.is_older_than(&daemon.revision),
        others: usize::try_from(others(one)).unwrap_or(0),
    };
    instances.iter().filter(|one| one.is_registered()).map(view).collect()
}
