//! Managed instances: made for tasks that find no room on their capacity provider, gone when they have been idle or
//! underused, or are too old.
//!
//! ```text
//! requirements ─▶ offers ─▶ choose: which types, how many, in which zones ─▶ instances, in the launch's transaction
//! underused ─▶ it drains, after a smaller one was made for its tasks where no other has room for them
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
use super::record::{Place, managed_record};
use super::scale::Change;
use crate::host::HostFacts;
use crate::place::{Request, Reserve, is_suitable};
use choose::{Zone, choose};
use tasks::OnInstances;
use underused::Site;

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
    let maker = Maker::of(tx, host, provider, managed, tx.now());
    let zones = maker.zones_for(tx, request).into_iter();
    let zones = zones.map(|name| Zone { instances: active(&name), name }).collect();
    let reserves = Reserve::all(tx, &request.tenant, &request.cluster);
    let kept: Vec<&Reserve> = reserves.iter().filter(|reserve| reserve.pool == pool).collect();
    let offers = offer::offers(managed, request, maker.place.trunking, &kept);
    let is_fitting = |name: &str, zone: &str| {
        let one = maker.instance(name, zone);
        one.is_some_and(|one| is_suitable(&one, &request.required_attributes, &request.constraints))
    };
    let count = waiting.min(host_room(tx, host, request));
    let mut chosen = choose(&offers, zones, count, is_fitting);
    chosen.truncate(INSTANCES_MAX.saturating_sub(known.len()));
    let room_for: Vec<_> = kept.iter().map(|reserve| reserve.revision.clone()).collect();
    let made = chosen.iter().filter_map(|one| maker.instance(one.name, &one.zone));
    made.map(|one| ContainerInstance { room_for: room_for.clone(), ..one }).collect()
}

/// What all instances of a provider have in common.
pub(super) struct Maker<'a> {
    provider: &'a CapacityProvider,
    managed: &'a ManagedInstances,
    place: Place<'a>,
}

impl<'a> Maker<'a> {
    pub(super) fn of(
        source: &impl Read,
        host: &'a HostFacts,
        provider: &'a CapacityProvider,
        managed: &'a ManagedInstances,
        now: Timestamp,
    ) -> Self {
        Self { provider, managed, place: Place::of(source, &provider.tenant, host, now) }
    }

    /// One of that type in that zone; `None` when the node has no such zone.
    fn instance(&self, name: &str, zone: &str) -> Option<ContainerInstance> {
        let region = &self.provider.tenant.region;
        let wish = MachineWish {
            instance_type: name.to_owned(),
            zone: Some(zone.strip_prefix(region.as_str()).unwrap_or(zone).to_owned()),
            cluster: Some(self.managed.cluster.clone()),
            capacity: if self.managed.is_spot() { Capacity::Spot } else { Capacity::OnDemand },
            ..MachineWish::default()
        };
        let machine = Machine::all_of(&wish, &self.place.host.zones).ok()?.pop()?;
        let one = managed_record(&self.place, &machine, self.provider);
        (one.availability_zone == zone).then_some(one)
    }

    /// Where its instances may stand: in the provider's subnets.
    fn zones(&self, source: &impl Read) -> BTreeSet<String> {
        self.zones_of(source, self.managed.subnets())
    }

    /// Those where tasks with interfaces of their own have subnets, too.
    fn zones_for(&self, source: &impl Read, request: &Request) -> BTreeSet<String> {
        let own = self.zones(source);
        if request.subnets.is_empty() {
            return own;
        }
        own.intersection(&self.zones_of(source, &request.subnets)).cloned().collect()
    }

    fn zones_of(&self, source: &impl Read, subnets: &[String]) -> BTreeSet<String> {
        let find = |id: &String| source.get::<Subnet>(&keys::subnet(&self.provider.tenant, id));
        subnets.iter().filter_map(find).map(|subnet| subnet.availability_zone.clone()).collect()
    }
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

/// Instances of the provider that may go, and when: what is idle, what is underused, what is old; and one that may come in
/// place of an underused one.
pub(super) fn surplus(source: &impl Read, maker: &Maker<'_>, wait_millis: i64) -> Vec<(Timestamp, Change)> {
    let site = Site::read(source, maker, wait_millis);
    let mut going = idle(source, maker, site.as_ref(), wait_millis);
    going.extend(site.as_ref().and_then(Site::leaves));
    let pool = maker.provider.pool();
    let members = source.scan::<ContainerInstance>(&Prefix::parent(&maker.provider.tenant, &maker.managed.cluster));
    let staying = members.into_iter().filter(|one| one.is_registered() && !one.leaves_when_empty && pool.has(one));
    going.extend(staying.map(|one| (one.registered_at.plus_millis(DRAINS_AFTER_MILLIS), one)));
    let mut changes: Vec<_> = going.into_iter().map(|(due, one)| (due, Change::Leaves(one))).collect();
    let coming = site.and_then(|site| site.comes(source, maker));
    changes.extend(coming.map(|(due, one)| (due, Change::Comes(Box::new(one)))));
    changes
}

/// When the instance ends whatever is on it; `None` while it does not leave, and where it is nobody's but the operator's.
/// However old it is when somebody looks, its tasks have the time to move.
pub(super) fn ends_at(instance: &ContainerInstance) -> Option<Timestamp> {
    instance.managed_by.as_ref().filter(|_| instance.leaves_when_empty)?;
    let last_day = instance.registered_at.plus_millis(ENDS_AFTER_MILLIS);
    Some(instance.leaves_since.map_or(last_day, |since| last_day.max(since.plus_millis(DRAINS_FOR_MILLIS))))
}

/// Idle instances of the provider, and when each has been idle long enough. One that was made in place of another waits for
/// that one's tasks.
fn idle(
    source: &impl Read,
    maker: &Maker<'_>,
    site: Option<&Site>,
    wait_millis: i64,
) -> Vec<(Timestamp, Arc<ContainerInstance>)> {
    let inside = Prefix::parent(&maker.provider.tenant, &maker.managed.cluster);
    let Some(wait_millis) = maker.managed.idle_millis(wait_millis) else { return Vec::new() };
    let pool = maker.provider.pool();
    let tasks = OnInstances::read(source, &inside);
    let on = |id: &str| tasks.on(id).iter().filter(|task| task.daemon().is_none());
    let due = |one: &ContainerInstance| {
        let emptied = on(&one.id).filter_map(|task| task.observed.stopped_at).max();
        emptied.unwrap_or(one.registered_at).max(one.registered_at).plus_millis(wait_millis)
    };
    // While an instance drains nobody says what fits where.
    let awaiting = site.map(Site::awaiting);
    let waits = |one: &ContainerInstance| {
        let of_large = one.replaces.as_ref().is_some_and(|large| on(large).any(|task| task.is_live()));
        let takes_tasks = one.status == ContainerInstanceStatus::Active;
        takes_tasks && of_large && awaiting.as_ref().is_none_or(|all| all.contains(&one.id))
    };
    let instances = source.scan::<ContainerInstance>(&inside);
    let members = instances.into_iter().filter(|one| one.is_registered() && !one.leaves_when_empty && pool.has(one));
    let idle = members.filter(|one| !on(&one.id).any(|task| task.is_live()) && !waits(one));
    idle.map(|one| (due(&one), one)).collect()
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
