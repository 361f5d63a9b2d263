//! What live tasks take of the node and of its instances: sums that are kept as tasks come and go.
//!
//! Holds: a task that is added and taken away again leaves nothing, so that the sums are as large as what is there.
//! Why: a decision about one task must not read ten thousand others.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::arn::Tenant;
use crate::container_instance::ContainerInstance;
use crate::task::{Keeper, Task, TaskNetwork, TaskStatus};
use crate::task_definition::{NetworkMode, TransportProtocol};

/// The sums. A difference of two has numbers below zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// Live tasks of the node.
    pub tasks: i64,
    /// Memory of tasks whose capacity nobody declared: only the host bounds it.
    pub elastic_memory_mib: i64,
    instances: BTreeMap<String, OnInstance>,
    host_ports: BTreeMap<(TransportProtocol, u16), i64>,
    bridge: BTreeMap<Ipv4Addr, i64>,
    /// By VPC.
    vpcs: BTreeMap<String, BTreeMap<Ipv4Addr, i64>>,
    /// Of each group of a cluster, by zone.
    groups: BTreeMap<String, BTreeMap<String, i64>>,
}

/// What tasks take of one instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OnInstance {
    /// In 1/1024 of a core.
    pub cpu: i64,
    pub memory_mib: i64,
    /// awsvpc tasks, each with an interface of its own.
    pub interfaces: i64,
    /// Tasks that are RUNNING.
    pub running: i64,
    /// Tasks by group.
    pub groups: BTreeMap<String, i64>,
    /// Tasks by the service that keeps them.
    pub services: BTreeMap<String, i64>,
    /// Tasks by the daemon that keeps them.
    pub daemons: BTreeMap<String, i64>,
    /// Ids of GPUs that tasks have.
    pub gpus: BTreeMap<String, i64>,
    /// Host ports that tasks have of another host; those of this one are the node's.
    pub ports: BTreeMap<(TransportProtocol, u16), i64>,
}

impl Taken {
    /// Nothing.
    #[must_use]
    pub const fn nothing() -> Self {
        Self {
            tasks: 0,
            elastic_memory_mib: 0,
            instances: BTreeMap::new(),
            host_ports: BTreeMap::new(),
            bridge: BTreeMap::new(),
            vpcs: BTreeMap::new(),
            groups: BTreeMap::new(),
        }
    }

    /// Adds what a live task takes so many times; -1 takes it away.
    pub fn add(&mut self, task: &Task, times: i64) {
        self.tasks += times;
        if task.placement.launch_type.is_elastic() {
            self.elastic_memory_mib += times * task.placement.memory_mib;
        }
        if !task.placement.elsewhere {
            bump_ports(&mut self.host_ports, task, times);
        }
        match &task.network {
            TaskNetwork::Bridge { .. } if task.placement.elsewhere => {}
            TaskNetwork::Bridge { address } => bump(&mut self.bridge, *address, times),
            TaskNetwork::Awsvpc(eni) => {
                within(&mut self.vpcs, &eni.vpc_id, BTreeMap::is_empty, |vpc| bump(vpc, eni.address, times));
            }
            TaskNetwork::None | TaskNetwork::Host => {}
        }
        within(&mut self.groups, &name(&task.tenant, &task.cluster, &task.group), BTreeMap::is_empty, |zones| {
            bump_text(zones, &task.placement.availability_zone, times);
        });
        if let Some(id) = &task.placement.container_instance {
            within(&mut self.instances, &name(&task.tenant, &task.cluster, id), OnInstance::is_nothing, |here| {
                here.add(task, times);
            });
        }
    }

    /// What tasks take of an instance; `None` when there are none.
    #[must_use]
    pub fn on(&self, instance: &ContainerInstance) -> Option<&OnInstance> {
        self.instances.get(&name(&instance.tenant, &instance.cluster, &instance.id))
    }

    /// Tasks that have the port of the host.
    #[must_use]
    pub fn host_port(&self, protocol: TransportProtocol, port: u16) -> i64 {
        self.host_ports.get(&(protocol, port)).copied().unwrap_or(0)
    }

    /// Tasks that have the address in the node's bridge-mode network.
    #[must_use]
    pub fn bridge_address(&self, address: Ipv4Addr) -> i64 {
        self.bridge.get(&address).copied().unwrap_or(0)
    }

    /// Tasks that have the address in the VPC.
    #[must_use]
    pub fn vpc_address(&self, vpc_id: &str, address: Ipv4Addr) -> i64 {
        self.vpcs.get(vpc_id).and_then(|vpc| vpc.get(&address)).copied().unwrap_or(0)
    }

    /// Tasks of the group in the zone.
    #[must_use]
    pub fn of_group(&self, tenant: &Tenant, cluster: &str, group: &str, zone: &str) -> i64 {
        self.groups.get(&name(tenant, cluster, group)).and_then(|zones| zones.get(zone)).copied().unwrap_or(0)
    }
}

impl OnInstance {
    fn add(&mut self, task: &Task, times: i64) {
        self.cpu += times * task.placement.cpu;
        self.memory_mib += times * task.placement.memory_mib;
        self.interfaces += times * i64::from(task.network.mode() == NetworkMode::Awsvpc);
        self.running += times * i64::from(task.observed.status == TaskStatus::Running);
        bump_text(&mut self.groups, &task.group, times);
        match &task.keeper {
            Some(Keeper::Service(name)) => bump_text(&mut self.services, name, times),
            Some(Keeper::Daemon(name)) => bump_text(&mut self.daemons, name, times),
            None => {}
        }
        for id in task.containers.iter().flat_map(|container| &container.gpu_ids) {
            bump_text(&mut self.gpus, id, times);
        }
        if task.placement.elsewhere {
            bump_ports(&mut self.ports, task, times);
        }
    }

    /// Tasks, of whatever kind.
    #[must_use]
    pub fn tasks(&self) -> i64 {
        self.groups.values().sum()
    }

    /// Each task has a group; the other sums may differ from nothing although no group does, as a difference.
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Where something of a cluster stands; `/` is in no name of a cluster.
fn name(tenant: &Tenant, cluster: &str, id: &str) -> String {
    format!("{}/{}/{cluster}/{id}", tenant.account, tenant.region)
}

fn within<T: Default>(
    map: &mut BTreeMap<String, T>,
    key: &str,
    is_nothing: impl FnOnce(&T) -> bool,
    change: impl FnOnce(&mut T),
) {
    if let Some(here) = map.get_mut(key) {
        change(here);
        if is_nothing(here) {
            map.remove(key);
        }
    } else {
        change(map.entry(key.to_owned()).or_default());
    }
}

/// The ports of its host that the task takes.
fn bump_ports(map: &mut BTreeMap<(TransportProtocol, u16), i64>, task: &Task, by: i64) {
    match task.network.mode() {
        NetworkMode::Bridge | NetworkMode::Host => {}
        NetworkMode::Awsvpc | NetworkMode::None => return,
    }
    for port in task.containers.iter().flat_map(|container| &container.ports) {
        for number in port.host_ports() {
            bump(map, (port.protocol, number), by);
        }
    }
}

fn bump<K: Ord + Copy>(map: &mut BTreeMap<K, i64>, key: K, by: i64) {
    match map.get_mut(&key) {
        Some(number) if *number + by == 0 => drop(map.remove(&key)),
        Some(number) => *number += by,
        None => drop(map.insert(key, by)),
    }
}

fn bump_text(map: &mut BTreeMap<String, i64>, key: &str, by: i64) {
    match map.get_mut(key) {
        Some(number) if *number + by == 0 => drop(map.remove(key)),
        Some(number) => *number += by,
        None => drop(map.insert(key.to_owned(), by)),
    }
}
