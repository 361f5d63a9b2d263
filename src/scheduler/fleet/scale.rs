//! Managed scaling: an Auto Scaling group grows for tasks that find no room, and shrinks when instances stay empty. So do
//! managed instances, in their own way ([`super::managed`]).
//!
//! In: the group's instances, the tasks on them, what waits. Out: how many to add; which are to go, and when.
//!
//! ```text
//! wanted = instances that have or need tasks × 100 ÷ targetCapacity      CapacityProviderReservation, turned round
//! ```
//!
//! That is kept up when tasks come as well as when they go. What is there without tasks is no reason to stay as small as
//! that when it has just been no place for those that wait: the group grows by what these need at least.
//!
//! Holds: never above the group's `asg_max`, never below what is declared; only instances go that have no tasks but those
//! of daemons, so that a protected instance is never taken from under its tasks. Why it grows inside the launch: a machine
//! of the fleet is there at once, so that tasks wait as PROVISIONING only for what the group may not have.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use cove_base::ids::random_hex;
use cove_base::{Clock, Timestamp};
use cove_model::arn::Tenant;
use cove_model::capacity_provider::{CapacityProvider, ManagedScaling, Switch};
use cove_model::container_instance::{ContainerInstance, ContainerInstanceStatus, Origin};
use cove_model::network::Subnet;
use cove_model::service::{SchedulingStrategy, Service};
use cove_model::taken::OnInstance;
use cove_model::task::Task;
use cove_model::task_definition::NetworkMode;
use cove_store::{Prefix, Read, Record, Store, StoreError, Tx, keys};

use super::managed;
use super::spot::{RETRY_DELAY, millis_until, pause};
use super::verb::{End, end, managed_draining, terminated};
use crate::host::HostFacts;
use crate::place::{Constraint, Request, is_suitable};

/// Changes come in crowds: what comes within this time is looked at together.
const CROWD: Duration = Duration::from_millis(1);
/// Looking at instances and their tasks takes at most one part in so many of the time.
const SHARE: u32 = 5;

/// Instances that would be added for tasks that found no room: `waiting` by provider, `taken` are instances that the rest
/// of the same request goes to. Nothing is written.
pub(crate) fn growth(
    tx: &Tx<'_>,
    host: &HostFacts,
    request: &Request,
    waiting: &BTreeMap<String, usize>,
    mut taken: HashSet<String>,
) -> Vec<ContainerInstance> {
    let instances = tx.scan::<ContainerInstance>(&Prefix::parent(&request.tenant, &request.cluster));
    taken.extend(instances.iter().filter(|one| is_used(tx, one)).map(|one| one.id.clone()));
    let mut fresh = Vec::new();
    for (name, count) in waiting {
        let found = tx.get::<CapacityProvider>(&keys::capacity_provider(&request.tenant, name));
        let Some(provider) = found.filter(|it| it.is_active()) else { continue };
        if let Some(managed) = &provider.managed {
            fresh.extend(managed::made(tx, host, &provider, managed, request, *count));
        } else if provider.managed_scaling.status == Switch::Enabled {
            let zones = zones_of(tx, request);
            let is_right = |model: &ContainerInstance| {
                zones.as_ref().is_none_or(|zones| zones.contains(&model.availability_zone))
                    && is_suitable(model, &request.required_attributes, &request.constraints)
            };
            let models = models(&provider, &instances, request, *count, &taken, &is_right);
            fresh.extend(models.into_iter().map(|model| like(model, tx.now())));
        }
    }
    fresh
}

/// Where tasks with interfaces of their own can be; `None`: anywhere.
fn zones_of(tx: &Tx<'_>, request: &Request) -> Option<HashSet<String>> {
    let of = |id: &String| Some(tx.get::<Subnet>(&keys::subnet(&request.tenant, id))?.availability_zone.clone());
    (!request.subnets.is_empty()).then(|| request.subnets.iter().filter_map(of).collect())
}

/// One entry per instance to add: the one that it is to be like. New ones go to the zones that have fewest.
fn models<'a>(
    provider: &CapacityProvider,
    instances: &'a [Arc<ContainerInstance>],
    request: &Request,
    waiting: usize,
    taken: &HashSet<String>,
    is_right: &dyn Fn(&ContainerInstance) -> bool,
) -> Vec<&'a ContainerInstance> {
    let members = || instances.iter().map(Arc::as_ref).filter(|it| it.asg.as_ref() == Some(&provider.asg));
    let active: Vec<_> = members().filter(|it| it.status == ContainerInstanceStatus::Active).collect();
    // One model per zone; those that are gone say what the group was made of.
    let mut zones: BTreeMap<&str, (usize, &ContainerInstance)> = BTreeMap::new();
    for one in members().filter(|one| is_right(one)) {
        let here = active.iter().filter(|it| it.availability_zone == one.availability_zone).count();
        zones.insert(&one.availability_zone, (here, one));
    }
    let each = zones.values().map(|(_, model)| tasks_on_an_empty(model, request)).max().unwrap_or(0);
    if each == 0 {
        return Vec::new();
    }
    let used = active.iter().filter(|it| taken.contains(&it.id)).count();
    let more = places(members());
    let count = to_add(&provider.managed_scaling, used, waiting.div_ceil(each), active.len(), more);
    evenly(zones, count)
}

/// So many, each in the zone that has fewest.
fn evenly<'a>(mut zones: BTreeMap<&str, (usize, &'a ContainerInstance)>, count: usize) -> Vec<&'a ContainerInstance> {
    let mut models = Vec::with_capacity(count);
    for _ in 0..count {
        if let Some((here, model)) = zones.values_mut().min_by_key(|(here, _)| *here) {
            *here += 1;
            models.push(*model);
        }
    }
    models
}

/// What a group has as room to spare when `targetCapacity` is less than 100: tasks that come need not wait for it.
fn spare(source: &impl Read, provider: &CapacityProvider, now: Timestamp) -> Vec<ContainerInstance> {
    let all = source.scan::<ContainerInstance>(&Prefix::tenant(&provider.tenant));
    let members = || all.iter().map(Arc::as_ref).filter(|it| it.asg.as_ref() == Some(&provider.asg));
    let active: Vec<_> = members().filter(|it| it.status == ContainerInstanceStatus::Active).collect();
    let used = active.iter().filter(|it| is_used(source, it)).count();
    let count = to_add(&provider.managed_scaling, used, 0, active.len(), places(members()));
    let mut zones: BTreeMap<&str, (usize, &ContainerInstance)> = BTreeMap::new();
    for one in members() {
        let here = active.iter().filter(|it| it.availability_zone == one.availability_zone).count();
        zones.insert(&one.availability_zone, (here, one));
    }
    evenly(zones, count).into_iter().map(|model| like(model, now)).collect()
}

/// How many more the group may have: who drains is of it until it is gone.
fn places<'a>(members: impl Iterator<Item = &'a ContainerInstance> + Clone) -> usize {
    let there = members.clone().filter(|it| it.is_registered()).count();
    group_max(members).saturating_sub(there)
}

/// How many instances a group of these members may have, those that are gone among them.
pub fn group_max<'a>(members: impl Iterator<Item = &'a ContainerInstance>) -> usize {
    members.filter_map(|it| it.asg_max).max().map_or(0, |most| most as usize)
}

/// How many tasks of the request an empty instance takes.
pub(crate) fn tasks_on_an_empty(model: &ContainerInstance, request: &Request) -> usize {
    let room = Room {
        cpu: model.registered.cpu,
        memory_mib: model.registered.memory_mib,
        gpus: model.registered.gpus.len(),
        interfaces: model.task_interfaces_max,
    };
    tasks_in(&room, request)
}

/// What an instance has for tasks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) cpu: i64,
    pub(super) memory_mib: i64,
    pub(super) gpus: usize,
    /// awsvpc tasks; `None`: as many as there are addresses.
    pub(super) interfaces: Option<u32>,
}

/// How many tasks of the request it takes.
pub(super) fn tasks_in(room: &Room, request: &Request) -> usize {
    let times = |has: i64, takes: i64| match takes {
        _ if has < 0 => 0,
        0 => usize::MAX,
        takes => usize::try_from(has / takes).unwrap_or(0),
    };
    let gpus: usize = request.gpus.iter().sum();
    let interfaces = match request.network_mode {
        NetworkMode::Awsvpc => room.interfaces.map_or(usize::MAX, |most| most as usize),
        NetworkMode::Bridge | NetworkMode::Host | NetworkMode::None => usize::MAX,
    };
    let alone = if request.constraints.contains(&Constraint::DistinctInstance) { 1 } else { usize::MAX };
    times(room.cpu, request.cpu)
        .min(times(room.memory_mib, request.memory_mib))
        .min(room.gpus.checked_div(gpus).unwrap_or(usize::MAX))
        .min(interfaces)
        .min(alone)
}

/// How many instances a group of `total` gets more, `places` at most, that has tasks on `used` of them, and others that need
/// as many as `lacking`, because none of the group took them.
fn to_add(scaling: &ManagedScaling, used: usize, lacking: usize, total: usize, places: usize) -> usize {
    let short = wanted(scaling, used + lacking).saturating_sub(total).max(lacking);
    if short == 0 {
        return 0;
    }
    let step = |size: i32| usize::try_from(size).unwrap_or(1).max(1);
    let (least, largest) = (step(scaling.minimum_scaling_step_size), step(scaling.maximum_scaling_step_size));
    short.max(least).min(largest).min(places)
}

/// The size at which the reservation is the target.
fn wanted(scaling: &ManagedScaling, used: usize) -> usize {
    let target = usize::try_from(scaling.target_capacity).unwrap_or(100).clamp(1, 100);
    (used * 100).div_ceil(target)
}

/// A new instance of the same kind.
fn like(model: &ContainerInstance, now: Timestamp) -> ContainerInstance {
    let ec2_instance_id = format!("i-0{}", random_hex(8));
    let mut fresh = ContainerInstance {
        id: random_hex(16),
        status: ContainerInstanceStatus::Active,
        registered_at: now,
        version: 1,
        tags: Vec::new(),
        origin: Origin::Added,
        leaves_at: None,
        leaves_when_empty: false,
        leaves_since: None,
        is_terminated: false,
        gone_at: None,
        ..model.clone()
    };
    for (number, gpu) in fresh.registered.gpus.iter_mut().enumerate() {
        *gpu = format!("GPU-{ec2_instance_id}-{number}");
    }
    fresh.ec2_instance_id = ec2_instance_id;
    fresh
}

/// Takes empty instances of scaled groups away when they have been empty for `wait_millis`, and managed ones that have
/// been idle or underused for that long where their provider does not say how long, or that are too old. Runs until the
/// store closes. Cancel safe.
pub async fn watch_scaling(store: Store, clock: Clock, host: Arc<HostFacts>) {
    let (mut tasks, mut instances) = (store.watch::<Task>(), store.watch::<ContainerInstance>());
    let mut providers = store.watch::<CapacityProvider>();
    loop {
        for changed in [&mut tasks, &mut instances, &mut providers] {
            changed.mark_unchanged();
        }
        let begun = tokio::time::Instant::now();
        let next = store.read(|view| surplus(view, &host, clock.now()).into_iter().map(|(due, _)| due).min());
        let wait = match next {
            None => None,
            Some(at) if at > clock.now() => Some(millis_until(at, clock.now())),
            Some(_) => {
                let host = Arc::clone(&host);
                if let Err(error) = store.write(move |tx| scale_in(tx, &host)).await {
                    tracing::warn!(error = cove_base::error::chain(&error), "an empty instance cannot leave");
                    tokio::time::sleep(RETRY_DELAY).await;
                }
                continue;
            }
        };
        tokio::time::sleep(CROWD.max(begun.elapsed() * (SHARE - 1))).await;
        let changed = tokio::select! {
            result = tasks.changed() => result,
            result = instances.changed() => result,
            result = providers.changed() => result,
            () = pause(wait) => Ok(()),
        };
        if changed.is_err() {
            return;
        }
    }
}

/// What may happen to the instances of a provider.
pub(crate) enum Change {
    Leaves(Arc<ContainerInstance>),
    /// In place of one that is larger than its tasks need, or for tasks that are still to come.
    Comes(Box<ContainerInstance>),
}

/// Does what is due.
pub(crate) fn scale_in(tx: &mut Tx<'_>, host: &HostFacts) -> Result<(), StoreError> {
    let now = tx.now();
    for (_, change) in surplus(tx, host, now).into_iter().filter(|(due, _)| *due <= now) {
        let changed = match change {
            Change::Comes(instance) => *instance,
            Change::Leaves(instance) => {
                // For several reasons at once.
                let known = tx.get::<ContainerInstance>(&instance.key());
                if known.is_some_and(|it| it.version != instance.version) {
                    continue;
                }
                match instance.managed_by {
                    None if managed_draining(tx, &instance) == Some(Switch::Enabled) => {
                        terminated(managed::leaving(&instance, now))
                    }
                    None => terminated(end(tx, &instance, End::Retired)),
                    Some(_) => managed::leaving(&instance, now),
                }
            }
        };
        tx.put(changed);
    }
    Ok(())
}

/// Instances that their groups do not need, and when each may go; those that may come in their place, or are lacking.
pub(crate) fn surplus(source: &impl Read, host: &HostFacts, now: Timestamp) -> Vec<(Timestamp, Change)> {
    let wait_millis = host.fleet.scale_in_millis;
    let mut all = Vec::new();
    for provider in source.scan::<CapacityProvider>(&Prefix::all()) {
        if !provider.is_active() {
            continue;
        }
        if let Some(managed) = &provider.managed {
            let maker = managed::Maker::of(source, host, &provider, managed, now);
            all.extend(managed::surplus(source, &maker, wait_millis));
        } else if provider.managed_scaling.status == Switch::Enabled {
            let going = surplus_of(source, &provider, wait_millis);
            all.extend(going.into_iter().map(|(due, one)| (due, Change::Leaves(one))));
            all.extend(spare(source, &provider, now).into_iter().map(|one| (now, Change::Comes(Box::new(one)))));
        }
    }
    all
}

fn surplus_of(
    source: &impl Read,
    provider: &CapacityProvider,
    wait_millis: i64,
) -> Vec<(Timestamp, Arc<ContainerInstance>)> {
    let inside = Prefix::tenant(&provider.tenant);
    let is_member = |it: &Arc<ContainerInstance>| {
        it.asg.as_ref() == Some(&provider.asg) && it.status == ContainerInstanceStatus::Active
    };
    let members: Vec<_> = source.scan::<ContainerInstance>(&inside).into_iter().filter(is_member).collect();
    let (busy, idle): (Vec<_>, Vec<_>) = members.into_iter().partition(|it| is_used(source, it));
    let extra = (busy.len() + idle.len()).saturating_sub(wanted(&provider.managed_scaling, busy.len()));
    let mut going: Vec<_> = idle.into_iter().filter(|it| it.origin == Origin::Added).collect();
    if extra == 0 || going.is_empty() {
        return Vec::new();
    }
    let mut emptied: HashMap<&str, Timestamp> = HashMap::new();
    let tasks = source.scan::<Task>(&inside);
    for task in tasks.iter().filter(|task| !is_of_daemon(source, task)) {
        if let (Some(id), Some(at)) = (&task.placement.container_instance, task.observed.stopped_at) {
            emptied.entry(id).and_modify(|known| *known = at.max(*known)).or_insert(at);
        }
    }
    let warmup_millis = i64::from(provider.managed_scaling.instance_warmup_period) * 1000;
    let due = |it: &ContainerInstance| {
        let emptied = emptied.get(&*it.id).copied().unwrap_or(it.registered_at);
        emptied.plus_millis(wait_millis).max(it.registered_at.plus_millis(warmup_millis))
    };
    let mut going: Vec<_> = going.drain(..).map(|it| (due(&it), it)).collect();
    going.sort_by(|(left, one), (right, other)| (left, &one.id).cmp(&(right, &other.id)));
    going.truncate(extra);
    going
}

/// Whether a task is there that the instance is kept for. Daemons are on all of them, so that AWS does not look at theirs.
#[must_use]
pub fn is_used(source: &impl Read, instance: &ContainerInstance) -> bool {
    let (tenant, cluster) = (&instance.tenant, &instance.cluster);
    let of_daemons = |here: &OnInstance| {
        let services = here.services.iter().filter(|(name, _)| is_daemon(source, tenant, cluster, name));
        services.map(|(_, number)| number).chain(here.daemons.values()).sum::<i64>()
    };
    let others = |here: &OnInstance| here.tasks() - of_daemons(here);
    source.sum::<Task>().number(|taken| taken.on(instance).map_or(0, others)) > 0
}

fn is_of_daemon(source: &impl Read, task: &Task) -> bool {
    let is_daemon = |name| is_daemon(source, &task.tenant, &task.cluster, name);
    task.daemon().is_some() || task.service().is_some_and(is_daemon)
}

fn is_daemon(source: &impl Read, tenant: &Tenant, cluster: &str, service: &str) -> bool {
    let service = source.get::<Service>(&keys::service(tenant, cluster, service));
    service.is_some_and(|it| it.scheduling == SchedulingStrategy::Daemon)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_grows_by_its_steps_up_to_its_limit() {
        let steps = |least, largest| ManagedScaling {
            minimum_scaling_step_size: least,
            maximum_scaling_step_size: largest,
            ..ManagedScaling::default()
        };
        assert_eq!(to_add(&steps(1, 10), 1, 2, 1, 100), 2);
        assert_eq!(to_add(&steps(4, 10), 1, 2, 1, 100), 4, "at least the least step");
        assert_eq!(to_add(&steps(1, 2), 1, 8, 1, 100), 2, "at most the largest");
        assert_eq!(to_add(&steps(1, 10), 1, 8, 1, 2), 2, "never above the group's limit");
        assert_eq!(to_add(&steps(5, 10), 1, 0, 1, 100), 0, "there is enough");
        assert_eq!(to_add(&steps(1, 10), 0, 1, 1, 100), 1, "what is there without tasks is no place for it");
        assert_eq!(to_add(&ManagedScaling::default(), 3, 1, 5, 0), 0);
    }

    #[test]
    fn a_lower_target_keeps_spare_instances() {
        let half = ManagedScaling { target_capacity: 50, ..ManagedScaling::default() };
        assert_eq!((wanted(&half, 3), wanted(&half, 0)), (6, 0));
        let most = ManagedScaling { target_capacity: 90, ..ManagedScaling::default() };
        assert_eq!((wanted(&most, 9), wanted(&most, 10)), (10, 12));
    }
}
