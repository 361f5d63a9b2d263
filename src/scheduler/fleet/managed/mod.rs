//! Managed instances: made for tasks that find no room on their capacity provider, gone when they have been idle or
//! underused, or are too old.
//!
//! ```text
//! requirements ─▶ offers ─▶ choose: which types, how many, in which zones ─▶ instances, in the launch's transaction
//! ```
//!
//! Holds: an instance is made only for tasks that fit on it, and only as long as the host has memory for them; it goes
//! only when no task is on it but those of daemons, which leave last; only one that is a week older than it should be takes
//! its tasks along. Why drain what is empty: daemons leave a draining instance, and nothing comes to it any more.

mod choose;
mod offer;
mod tasks;
#[cfg(test)]
mod tests;
mod underused;

use std::collections::BTreeSet;
use std::sync::Arc;

use cove_base::Timestamp;
use cove_model::capacity_provider::CapacityProvider;
use cove_model::container_instance::{Capacity, ContainerInstance, ContainerInstanceStatus};
use cove_model::managed_instances::ManagedInstances;
use cove_model::network::Subnet;
use cove_model::task::Task;
use cove_store::{Prefix, Read, Tx, keys};

use super::machine::{Machine, MachineWish};
use super::record::add_managed;
use crate::host::HostFacts;
use crate::place::{Request, Reserve, is_suitable};
use choose::{Zone, choose};
use tasks::OnInstances;

pub use offer::has_offers;

/// One provider has no more: placement scans them all, and each is a control group.
const INSTANCES_MAX: usize = 100;

/// The instances that would be made for tasks that found no room. Nothing is written.
pub(super) fn made(
    tx: &Tx<'_>,
    host: &HostFacts,
    provider: &CapacityProvider,
    managed: &ManagedInstances,
    request: &Request,
    waiting: usize,
) -> Vec<ContainerInstance> {
    let inside = Prefix::parent(&request.tenant, &request.cluster);
    let pool = provider.pool();
    let instances = tx.scan::<ContainerInstance>(&inside);
    let known: Vec<_> = instances.iter().filter(|one| one.is_registered() && pool.has(one)).collect();
    let active = |zone: &str| {
        let here = |one: &&&Arc<ContainerInstance>| {
            one.availability_zone == zone && one.status == ContainerInstanceStatus::Active
        };
        known.iter().filter(here).count()
    };
    let zones = zones(tx, managed, request).into_iter().map(|name| Zone { instances: active(&name), name }).collect();
    let maker = Maker { host, provider, managed };
    let trunking = super::record::has_trunks(tx, &request.tenant, host);
    let reserves = Reserve::all(tx, &request.tenant, &request.cluster);
    let kept: Vec<&Reserve> = reserves.iter().filter(|reserve| reserve.pool == pool).collect();
    let offers = offer::offers(managed.requirements(), request, trunking, &kept);
    let is_fitting = |name: &str, zone: &str| {
        maker.machine(name, zone, &request.cluster).is_some_and(|machine| {
            let one = add_managed(tx, &request.tenant, host, &machine, provider);
            one.availability_zone == zone && is_suitable(&one, &request.required_attributes, &request.constraints)
        })
    };
    let count = waiting.min(host_room(tx, host, request));
    let mut chosen = choose(&offers, zones, count, is_fitting);
    chosen.truncate(INSTANCES_MAX.saturating_sub(known.len()));
    let machines = chosen.iter().filter_map(|one| maker.machine(one.name, &one.zone, &request.cluster));
    machines.map(|machine| add_managed(tx, &request.tenant, host, &machine, provider)).collect()
}

/// What all instances of a provider have in common.
struct Maker<'a> {
    host: &'a HostFacts,
    provider: &'a CapacityProvider,
    managed: &'a ManagedInstances,
}

impl Maker<'_> {
    fn machine(&self, name: &str, zone: &str, cluster: &str) -> Option<Machine> {
        let region = &self.provider.tenant.region;
        let wish = MachineWish {
            instance_type: name.to_owned(),
            zone: Some(zone.strip_prefix(region.as_str()).unwrap_or(zone).to_owned()),
            cluster: Some(cluster.to_owned()),
            capacity: if self.managed.is_spot() { Capacity::Spot } else { Capacity::OnDemand },
            ..MachineWish::default()
        };
        Machine::all_of(&wish, &self.host.zones).ok()?.pop()
    }
}

/// Where an instance may stand: in the provider's subnets, and where tasks have interfaces of their own in theirs.
fn zones(source: &impl Read, managed: &ManagedInstances, request: &Request) -> BTreeSet<String> {
    let of = |ids: &[String]| -> BTreeSet<String> {
        let find = |id: &String| source.get::<Subnet>(&keys::subnet(&request.tenant, id));
        ids.iter().filter_map(find).map(|subnet| subnet.availability_zone.clone()).collect()
    };
    let own = of(managed.subnets());
    if request.subnets.is_empty() {
        return own;
    }
    own.intersection(&of(&request.subnets)).cloned().collect()
}

/// How many of the tasks the host has memory for.
fn host_room(source: &impl Read, host: &HostFacts, request: &Request) -> usize {
    let promised = source.sum::<Task>().number(|taken| taken.elastic_memory_mib);
    let free = host.fargate_memory_mib() - promised;
    if request.memory_mib == 0 {
        return usize::MAX;
    }
    usize::try_from(free / request.memory_mib).unwrap_or(0)
}

/// AWS drains an instance after that time, so that another one, with newer software, is made for its tasks.
const DRAINS_AFTER_MILLIS: i64 = 14 * DAY_MILLIS;
/// AWS's last day of an instance.
const ENDS_AFTER_MILLIS: i64 = 21 * DAY_MILLIS;
/// What its tasks have in any case to move.
const DRAINS_FOR_MILLIS: i64 = ENDS_AFTER_MILLIS - DRAINS_AFTER_MILLIS;
const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// Instances of the provider that may go, and when: what is idle, what is underused, what is old.
pub(super) fn surplus(
    source: &impl Read,
    provider: &CapacityProvider,
    managed: &ManagedInstances,
    wait_millis: i64,
) -> Vec<(Timestamp, Arc<ContainerInstance>)> {
    let mut going = idle(source, provider, managed, wait_millis);
    going.extend(underused::underused(source, provider, managed, wait_millis));
    let pool = provider.pool();
    let members = source.scan::<ContainerInstance>(&Prefix::parent(&provider.tenant, &managed.cluster));
    let staying = members.into_iter().filter(|one| one.is_registered() && !one.leaves_when_empty && pool.has(one));
    going.extend(staying.map(|one| (one.registered_at.plus_millis(DRAINS_AFTER_MILLIS), one)));
    going
}

/// When the instance ends whatever is on it; `None` while it does not leave, and where it is nobody's but the operator's.
/// However old it is when somebody looks, its tasks have the time to move.
pub(super) fn ends_at(instance: &ContainerInstance) -> Option<Timestamp> {
    instance.managed_by.as_ref().filter(|_| instance.leaves_when_empty)?;
    let last_day = instance.registered_at.plus_millis(ENDS_AFTER_MILLIS);
    Some(instance.leaves_since.map_or(last_day, |since| last_day.max(since.plus_millis(DRAINS_FOR_MILLIS))))
}

/// Idle instances of the provider, and when each has been idle long enough.
fn idle(
    source: &impl Read,
    provider: &CapacityProvider,
    managed: &ManagedInstances,
    wait_millis: i64,
) -> Vec<(Timestamp, Arc<ContainerInstance>)> {
    let inside = Prefix::parent(&provider.tenant, &managed.cluster);
    let Some(wait_millis) = managed.idle_millis(wait_millis) else { return Vec::new() };
    let pool = provider.pool();
    let tasks = OnInstances::read(source, &inside);
    let on = |one: &ContainerInstance| tasks.on(&one.id).iter().filter(|task| task.daemon().is_none());
    let due = |one: &ContainerInstance| {
        let emptied = on(one).filter_map(|task| task.observed.stopped_at).max();
        emptied.unwrap_or(one.registered_at).max(one.registered_at).plus_millis(wait_millis)
    };
    let instances = source.scan::<ContainerInstance>(&inside);
    let members = instances.into_iter().filter(|one| one.is_registered() && !one.leaves_when_empty && pool.has(one));
    members.filter(|one| !on(one).any(|task| task.is_live())).map(|one| (due(&one), one)).collect()
}

/// The instance as it is when it is to go: nothing comes to it any more, and with the last of its tasks it is gone.
pub(crate) fn leaving(instance: &ContainerInstance, now: Timestamp) -> ContainerInstance {
    let (status, version) = (ContainerInstanceStatus::Draining, instance.version + 1);
    let leaves_since = instance.leaves_since.or(Some(now));
    ContainerInstance { status, leaves_when_empty: true, leaves_since, version, ..instance.clone() }
}

/// All instances of a provider that is deleted drain, and leave with their last task.
pub fn retire(tx: &mut Tx<'_>, provider: &CapacityProvider) {
    let Some(managed) = &provider.managed else { return };
    let pool = provider.pool();
    for one in tx.scan::<ContainerInstance>(&Prefix::parent(&provider.tenant, &managed.cluster)) {
        if one.is_registered() && !one.leaves_when_empty && pool.has(&one) {
            tx.put(leaving(&one, tx.now()));
        }
    }
}
