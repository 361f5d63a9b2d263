//! Underused managed instances: those whose tasks others of the provider have room for, in the same zone.
//!
//! In: the provider's instances and their tasks. Out: at most one instance that may go, and when. Nothing is written.
//!
//! Holds: only services' tasks are moved, for nobody starts others again; what an idle instance has room for does not
//! count, for it goes by itself; while one instance drains no other is chosen. So each choice leaves one instance fewer, and
//! it comes to rest. The moving is the service scheduler's: the instance drains, within the bounds of each service.
//! Deliberately absent: one large instance is not replaced by a smaller one that is made for it.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use cove_base::Timestamp;
use cove_model::capacity_provider::CapacityProvider;
use cove_model::container_instance::{ContainerInstance, ContainerInstanceStatus, remaining};
use cove_model::managed_instances::ManagedInstances;
use cove_model::service::{Service, ServiceRevision};
use cove_model::task::Task;
use cove_model::task_definition::{NetworkMode, TaskDefinition};
use cove_model::task_template::PlacementConstraintType;
use cove_store::{Prefix, Read, keys};

use super::tasks::OnInstances;
use crate::fleet::verb::tasks_on;
use crate::launch::Suitability;
use crate::place::Reserve;

/// An instance, what is left of it, and the groups of the tasks on it.
struct Place {
    instance: Arc<ContainerInstance>,
    cpu: i64,
    memory_mib: i64,
    interfaces: i64,
    groups: HashSet<String>,
}

/// The instance that may go first, and when: after the provider's delay since a task last came to it or ended on it.
pub(super) fn underused(
    source: &impl Read,
    provider: &CapacityProvider,
    managed: &ManagedInstances,
    wait_millis: i64,
) -> Option<(Timestamp, Arc<ContainerInstance>)> {
    let wait_millis = managed.idle_millis(wait_millis)?;
    let inside = Prefix::parent(&provider.tenant, &managed.cluster);
    let pool = provider.pool();
    let members: Vec<_> = source.scan::<ContainerInstance>(&inside).into_iter().filter(|it| pool.has(it)).collect();
    let drains = |it: &Arc<ContainerInstance>| it.status == ContainerInstanceStatus::Draining;
    if members.iter().any(drains) {
        return None;
    }
    let reserves = Reserve::all(source, &provider.tenant, &managed.cluster);
    let busy = members.iter().filter(|it| it.status == ContainerInstanceStatus::Active);
    let places: Vec<(Place, Vec<Arc<Task>>)> =
        busy.map(|it| place(source, it, &reserves)).filter(|(_, tasks)| !tasks.is_empty()).collect();
    let ended = OnInstances::read(source, &inside);
    let mut found: Vec<(Timestamp, Arc<ContainerInstance>)> = Vec::new();
    for (place, tasks) in &places {
        let others = places.iter().map(|(it, _)| it).filter(|it| {
            it.instance.id != place.instance.id && it.instance.availability_zone == place.instance.availability_zone
        });
        if fits_elsewhere(source, tasks, others) {
            let touched = ended.on(&place.instance.id).iter();
            let last = touched.map(|it| it.created_at.max(it.observed.stopped_at.unwrap_or_default())).max();
            let due = last.unwrap_or_default().max(place.instance.registered_at).plus_millis(wait_millis);
            // What is protected stays where it is.
            let kept = tasks.iter().filter_map(|it| it.protected_until).max().unwrap_or_default();
            found.push((due.max(kept), Arc::clone(&place.instance)));
        }
    }
    found.into_iter().min_by(|(left, one), (right, other)| (left, &one.id).cmp(&(right, &other.id)))
}

/// What is left of an instance beside what is kept for daemons, and the tasks on it that are not daemons'.
fn place(source: &impl Read, instance: &Arc<ContainerInstance>, reserves: &[Reserve]) -> (Place, Vec<Arc<Task>>) {
    let all = tasks_on(source, instance);
    let left = remaining(instance, all.iter().map(|task| &**task));
    let has = |reserve: &Reserve| all.iter().any(|task| task.daemon() == Some(&*reserve.daemon));
    let kept = || reserves.iter().filter(|it| it.pool.has(instance) && !has(it));
    let awsvpc = all.iter().filter(|task| task.network.mode() == NetworkMode::Awsvpc).count();
    let most = instance.task_interfaces_max.map_or(i64::MAX, i64::from);
    let place = Place {
        instance: Arc::clone(instance),
        cpu: left.cpu - kept().map(|it| it.cpu).sum::<i64>(),
        memory_mib: left.memory_mib - kept().map(|it| it.memory_mib).sum::<i64>(),
        interfaces: most.saturating_sub(i64::try_from(awsvpc).unwrap_or(i64::MAX)),
        groups: all.iter().map(|task| task.group.clone()).collect(),
    };
    (place, all.into_iter().filter(|task| task.daemon().is_none()).collect())
}

/// Whether each of the tasks has room on one of the places, the largest first.
fn fits_elsewhere<'a>(source: &impl Read, tasks: &[Arc<Task>], places: impl Iterator<Item = &'a Place>) -> bool {
    let mut places: Vec<Place> =
        places.map(|it| Place { instance: Arc::clone(&it.instance), groups: it.groups.clone(), ..*it }).collect();
    let mut tasks: Vec<&Arc<Task>> = tasks.iter().collect();
    tasks.sort_by_key(|task| (Reverse(task.placement.memory_mib), Reverse(task.placement.cpu)));
    tasks.into_iter().all(|task| take(source, task, &mut places))
}

/// Takes room for the task on the first place that has it.
fn take(source: &impl Read, task: &Task, places: &mut [Place]) -> bool {
    let Some((service, revision, definition)) = kept_by(source, task).filter(|it| !is_bound(task, &it.2)) else {
        return false;
    };
    let constraints = || revision.template.constraints.iter().chain(&service.constraints);
    let suitability = Suitability::of(constraints(), &definition);
    let is_alone = constraints().any(|it| it.kind == Some(PlacementConstraintType::DistinctInstance));
    let interfaces = i64::from(task.network.mode() == NetworkMode::Awsvpc);
    let found = places.iter_mut().find(|it| {
        it.cpu >= task.placement.cpu
            && it.memory_mib >= task.placement.memory_mib
            && it.interfaces >= interfaces
            && !(is_alone && it.groups.contains(&task.group))
            && suitability.holds(&it.instance)
    });
    let Some(place) = found else { return false };
    place.cpu -= task.placement.cpu;
    place.memory_mib -= task.placement.memory_mib;
    place.interfaces -= interfaces;
    place.groups.insert(task.group.clone());
    true
}

/// Whether it has what its successor cannot have before it goes: a port of the host, GPUs.
fn is_bound(task: &Task, definition: &TaskDefinition) -> bool {
    let ports = definition.document.container_definitions.iter().flat_map(|it| &it.port_mappings);
    let has_port = match task.network.mode() {
        NetworkMode::Host => true,
        NetworkMode::Bridge => ports.filter_map(|it| it.host_port).any(|port| port > 0),
        NetworkMode::Awsvpc | NetworkMode::None => false,
    };
    has_port || task.containers.iter().any(|it| !it.gpu_ids.is_empty())
}

/// The service that would start the task again, and from what.
fn kept_by(source: &impl Read, task: &Task) -> Option<(Arc<Service>, Arc<ServiceRevision>, Arc<TaskDefinition>)> {
    let (tenant, cluster, name) = (&task.tenant, &task.cluster, task.service()?);
    let service = source.get::<Service>(&keys::service(tenant, cluster, name))?;
    let of = service.deployments.iter().find(|it| Some(&it.id) == task.started_by.as_ref())?;
    let revision = source.get::<ServiceRevision>(&keys::service_revision(tenant, cluster, name, &of.revision))?;
    let definition = source.get::<TaskDefinition>(&keys::definition(tenant, &task.family, task.revision))?;
    Some((service, revision, definition))
}
