//! Underused managed instances: those whose tasks others of the provider have room for in the same zone, or a smaller
//! instance that is made for them.
//!
//! ```text
//! its tasks fit on others ──────────────────────────────────────────────▶ it drains
//! they fit on a cheaper type ─▶ one is made ─▶ its daemons run there ─▶ it drains, as its tasks fit on another now
//! ```
//!
//! In: the provider's instances and their tasks. Out: at most one instance that may go and one that may come, and when.
//! Nothing is written.
//!
//! Holds: only services' tasks are moved, for nobody starts others again; what an idle instance has room for does not
//! count, for it goes by itself, unless it was made for that; while one instance drains no other is chosen, and while one
//! was made for another none is made. What comes costs less than what it replaces, so that it comes to rest. The moving is
//! the service scheduler's: the instance drains, within the bounds of each service.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use cove_base::Timestamp;
use cove_model::container_instance::{ContainerInstance, ContainerInstanceStatus, remaining};
use cove_model::daemon::Daemon;
use cove_model::instance_type::InstanceType;
use cove_model::service::{Service, ServiceRevision};
use cove_model::task::{Task, TaskStatus};
use cove_model::task_definition::{NetworkMode, TaskDefinition};
use cove_model::task_template::PlacementConstraintType;
use cove_store::{Prefix, Read, keys};

use super::tasks::OnInstances;
use super::{INSTANCES_MAX, Maker, offer};
use crate::daemons::read::is_awaited;
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

/// An instance with tasks that are not of daemons, and when they may be moved.
struct Busy {
    place: Place,
    tasks: Vec<Load>,
    due: Timestamp,
}

/// A task as far as room is looked for it.
struct Load {
    cpu: i64,
    memory_mib: i64,
    interfaces: i64,
    group: String,
    /// `None`: it stays where it is, for nobody would start it again, or its successor could not have what it has.
    wish: Option<Rc<Wish>>,
}

/// What all tasks of a deployment ask of their instance.
struct Wish {
    suitability: Suitability,
    is_alone: bool,
    definition: Arc<TaskDefinition>,
}

/// Wishes that were read: of each service and deployment once, for expressions are long.
type Wishes = HashMap<(String, String), Option<Rc<Wish>>>;

/// The provider's instances, when none of them drains.
pub(super) struct Site {
    busy: Vec<Busy>,
    /// Without such tasks, made in place of one that is busy, and whether the daemons run there.
    replacements: Vec<(Place, bool)>,
    reserves: Vec<Reserve>,
    members: usize,
}

impl Site {
    /// Reads it. Instances are moved from after the provider's delay since a task last came to them or ended there.
    pub(super) fn read(source: &impl Read, maker: &Maker<'_>, wait_millis: i64) -> Option<Self> {
        let wait_millis = maker.managed.idle_millis(wait_millis)?;
        let inside = Prefix::parent(&maker.provider.tenant, &maker.managed.cluster);
        let pool = maker.provider.pool();
        let mut members = source.scan::<ContainerInstance>(&inside);
        members.retain(|it| it.is_registered() && pool.has(it));
        if members.iter().any(|it| it.status == ContainerInstanceStatus::Draining) {
            return None;
        }
        let reserves = Reserve::all(source, &maker.provider.tenant, &maker.managed.cluster);
        let ended = OnInstances::read(source, &inside);
        let mut wishes = Wishes::new();
        let mut site = Self { busy: Vec::new(), replacements: Vec::new(), members: members.len(), reserves };
        for instance in &members {
            let (place, tasks) = place(source, instance, &site.reserves);
            if tasks.is_empty() {
                if instance.replaces.is_some() {
                    let is_ready = has_daemons(source, instance, &site.reserves);
                    site.replacements.push((place, is_ready));
                }
                continue;
            }
            let touched = ended.on(&instance.id).iter();
            let last = touched.map(|it| it.created_at.max(it.observed.stopped_at.unwrap_or_default())).max();
            let due = last.unwrap_or_default().max(instance.registered_at).plus_millis(wait_millis);
            // What is protected stays where it is.
            let kept = tasks.iter().filter_map(|it| it.protected_until).max().unwrap_or_default();
            let tasks = tasks.iter().map(|task| load(source, task, &mut wishes)).collect();
            site.busy.push(Busy { place, tasks, due: due.max(kept) });
        }
        site.busy
            .sort_by(|left, right| (left.due, &left.place.instance.id).cmp(&(right.due, &right.place.instance.id)));
        Some(site)
    }

    /// The instance that may go first, and when.
    pub(super) fn leaves(&self) -> Option<(Timestamp, Arc<ContainerInstance>)> {
        let found = self.busy.iter().find(|it| self.is_movable(it))?;
        Some((found.due, Arc::clone(&found.place.instance)))
    }

    /// The instance that may be made first in place of a larger one, and when.
    pub(super) fn comes(&self, source: &impl Read, maker: &Maker<'_>) -> Option<(Timestamp, ContainerInstance)> {
        if self.members >= INSTANCES_MAX || self.busy.iter().any(|it| self.is_awaited(it)) {
            return None;
        }
        let mut large = self.busy.iter().filter(|it| !self.is_movable(it));
        large.find_map(|it| Some((it.due, self.smaller(source, maker, it)?)))
    }

    /// Ids of instances that wait for the tasks of another one.
    pub(super) fn awaiting(&self) -> Vec<String> {
        let of = |it: &Busy| {
            let made = self.made_for(it).filter(|(place, _)| fits(&it.tasks, [place]));
            made.map(|(place, _)| place.instance.id.clone()).collect::<Vec<_>>()
        };
        self.busy.iter().flat_map(of).collect()
    }

    fn made_for(&self, busy: &Busy) -> impl Iterator<Item = &(Place, bool)> {
        let id = busy.place.instance.id.clone();
        self.replacements.iter().filter(move |(place, _)| place.instance.replaces.as_ref() == Some(&id))
    }

    fn is_awaited(&self, busy: &Busy) -> bool {
        self.made_for(busy).any(|(place, _)| fits(&busy.tasks, [place]))
    }

    /// Whether its tasks fit on others of its zone.
    fn is_movable(&self, busy: &Busy) -> bool {
        let here = &busy.place.instance;
        let others = self
            .busy
            .iter()
            .map(|it| &it.place)
            .filter(|it| it.instance.id != here.id && it.instance.availability_zone == here.availability_zone);
        let ready = self.made_for(busy).filter(|(_, is_ready)| *is_ready).map(|(place, _)| place);
        fits(&busy.tasks, others.chain(ready))
    }

    /// The cheapest instance that holds all its tasks, if it is cheaper.
    fn smaller(&self, source: &impl Read, maker: &Maker<'_>, busy: &Busy) -> Option<ContainerInstance> {
        let large = &busy.place.instance;
        let price = InstanceType::find(large.attribute("ecs.instance-type")?)?.relative_price();
        let zone = &large.availability_zone;
        let mut types = offer::types(maker.managed.requirements(), maker.managed.is_spot());
        types.retain(|one| one.relative_price() < price);
        types.sort_by_key(|one| (one.relative_price(), one.name));
        let (cpu, memory_mib) = busy.tasks.iter().fold((0, 0), |sum, it| (sum.0 + it.cpu, sum.1 + it.memory_mib));
        let large_enough =
            |one: &&&InstanceType| i64::from(one.vcpus) * 1024 >= cpu && one.registered_memory_mib() >= memory_mib;
        if !maker.zones(source).contains(zone) {
            return None;
        }
        let made = types.iter().filter(large_enough).filter_map(|one| maker.instance(one.name, zone)).find(|one| {
            let empty = place(source, &Arc::new(one.clone()), &self.reserves).0;
            fits(&busy.tasks, [&empty])
        })?;
        let kept = self.reserves.iter().filter(|it| it.pool.has(&made));
        let room_for = kept.map(|it| it.revision.clone()).collect();
        Some(ContainerInstance { replaces: Some(large.id.clone()), room_for, ..made })
    }
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

/// Whether all daemons run there that tasks would wait for.
fn has_daemons(source: &impl Read, instance: &ContainerInstance, reserves: &[Reserve]) -> bool {
    let there = tasks_on(source, instance);
    let runs = |name: &str| {
        there.iter().any(|task| task.daemon() == Some(name) && task.observed.status == TaskStatus::Running)
    };
    let is_missing = |reserve: &&Reserve| {
        let key = keys::daemon(&instance.tenant, &instance.cluster, &reserve.daemon);
        reserve.pool.has(instance)
            && !runs(&reserve.daemon)
            && source.get::<Daemon>(&key).is_some_and(|daemon| is_awaited(source, &daemon))
    };
    !reserves.iter().any(|reserve| is_missing(&reserve))
}

/// Whether each of the tasks has room on one of the places, the largest first.
fn fits<'a>(tasks: &[Load], places: impl IntoIterator<Item = &'a Place>) -> bool {
    let places = places.into_iter();
    let mut places: Vec<Place> =
        places.map(|it| Place { instance: Arc::clone(&it.instance), groups: it.groups.clone(), ..*it }).collect();
    let mut tasks: Vec<&Load> = tasks.iter().collect();
    tasks.sort_by_key(|task| (Reverse(task.memory_mib), Reverse(task.cpu)));
    tasks.into_iter().all(|task| take(task, &mut places))
}

/// Takes room for the task on the first place that has it.
fn take(task: &Load, places: &mut [Place]) -> bool {
    let Some(wish) = &task.wish else { return false };
    let found = places.iter_mut().find(|it| {
        it.cpu >= task.cpu
            && it.memory_mib >= task.memory_mib
            && it.interfaces >= task.interfaces
            && !(wish.is_alone && it.groups.contains(&task.group))
            && wish.suitability.holds(&it.instance)
    });
    let Some(place) = found else { return false };
    place.cpu -= task.cpu;
    place.memory_mib -= task.memory_mib;
    place.interfaces -= task.interfaces;
    place.groups.insert(task.group.clone());
    true
}

fn load(source: &impl Read, task: &Task, wishes: &mut Wishes) -> Load {
    let wish = task.service().zip(task.started_by.as_deref()).and_then(|(service, deployment)| {
        let of = (service.to_owned(), deployment.to_owned());
        wishes.entry(of).or_insert_with(|| wish(source, task, service).map(Rc::new)).clone()
    });
    Load {
        cpu: task.placement.cpu,
        memory_mib: task.placement.memory_mib,
        interfaces: i64::from(task.network.mode() == NetworkMode::Awsvpc),
        group: task.group.clone(),
        wish: wish.filter(|it| !is_bound(task, &it.definition)),
    }
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

/// What the task's deployment asks for, if its service would start the task again.
fn wish(source: &impl Read, task: &Task, service: &str) -> Option<Wish> {
    let (tenant, cluster) = (&task.tenant, &task.cluster);
    let service = source.get::<Service>(&keys::service(tenant, cluster, service))?;
    let of = service.deployments.iter().find(|it| Some(&it.id) == task.started_by.as_ref())?;
    let revision = keys::service_revision(tenant, cluster, &service.name, &of.revision);
    let revision = source.get::<ServiceRevision>(&revision)?;
    let definition = source.get::<TaskDefinition>(&keys::definition(tenant, &task.family, task.revision))?;
    let constraints = || revision.template.constraints.iter().chain(&service.constraints);
    Some(Wish {
        suitability: Suitability::of(constraints(), Arc::clone(&definition)),
        is_alone: constraints().any(|it| it.kind == Some(PlacementConstraintType::DistinctInstance)),
        definition,
    })
}
