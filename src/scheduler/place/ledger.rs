//! What is taken: by live tasks, and by the tasks that this request has placed so far.
//!
//! Why one pass: with 100 instances and 10,000 tasks each task is looked at once, not once per instance.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;

use cove_model::container_instance::{ContainerInstance, Resources};
use cove_model::task::{LaunchType, NetworkBinding, Task, TaskNetwork};
use cove_model::task_definition::{NetworkMode, TransportProtocol};

use super::{Occupancy, Request, Snapshot};

/// The books of one call.
pub(super) struct Ledger {
    instances: HashMap<String, Account>,
    nothing: Account,
    /// What is promised of the host's memory: Fargate, managed instances.
    host_memory_mib: i64,
    host_ports: HashSet<(TransportProtocol, u16)>,
    bridge: HashSet<Ipv4Addr>,
    /// By VPC.
    vpcs: HashMap<String, HashSet<Ipv4Addr>>,
}

/// One instance's account.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) cpu: i64,
    pub(super) memory_mib: i64,
    /// Ids of GPUs that no task has, in the instance's order.
    pub(super) gpus: Vec<String>,
    /// awsvpc tasks, each with an interface of its own.
    interfaces: usize,
    pub(super) occupancy: Occupancy,
}

impl Account {
    fn of(instance: &ContainerInstance) -> Self {
        let Resources { cpu, memory_mib, gpus, .. } = &instance.registered;
        Self { cpu: *cpu, memory_mib: *memory_mib, gpus: gpus.clone(), ..Self::default() }
    }

    fn note(&mut self, task: &Task) {
        self.cpu -= task.placement.cpu;
        self.memory_mib -= task.placement.memory_mib;
        let taken = || task.containers.iter().flat_map(|container| &container.gpu_ids);
        self.gpus.retain(|id| !taken().any(|one| one == id));
        self.interfaces += usize::from(task.network.mode() == NetworkMode::Awsvpc);
        self.occupancy.add(task);
    }

    /// Live tasks of a group.
    pub(super) fn of_group(&self, group: &str) -> usize {
        self.occupancy.groups.get(group).copied().unwrap_or(0)
    }

    /// Whether one more awsvpc task can have an interface on the instance, whose account it is.
    pub(super) fn has_interface(&self, instance: &ContainerInstance) -> bool {
        instance.task_interfaces_max.is_none_or(|most| self.interfaces < most as usize)
    }
}

impl Ledger {
    /// Of ports and addresses only what the request could be in the way of; what is kept for a daemon is its own.
    pub(super) fn of(snapshot: &Snapshot<'_>, request: &Request) -> Self {
        let mut ledger = Self {
            instances: HashMap::with_capacity(snapshot.instances.len()),
            nothing: Account::default(),
            host_memory_mib: 0,
            host_ports: HashSet::new(),
            bridge: HashSet::new(),
            vpcs: HashMap::new(),
        };
        for instance in &snapshot.instances {
            ledger.instances.insert(instance.id.clone(), Account::of(instance));
        }
        // All instances are of one cluster: the first says of which.
        let here = snapshot.instances.first();
        for task in snapshot.tasks.iter().filter(|task| task.is_live()) {
            ledger.note(task, request.network_mode);
            if let (Some(id), Some(one)) = (&task.placement.container_instance, here)
                && task.cluster == one.cluster
                && task.tenant == one.tenant
                && let Some(account) = ledger.instances.get_mut(id)
            {
                account.note(task);
            }
        }
        ledger.keep_for_daemons(snapshot, &request.group);
        let host = snapshot.host;
        ledger.host_ports.extend(host.reserved_ports_tcp.iter().map(|port| (TransportProtocol::Tcp, *port)));
        ledger.host_ports.extend(host.reserved_ports_udp.iter().map(|port| (TransportProtocol::Udp, *port)));
        ledger
    }

    fn keep_for_daemons(&mut self, snapshot: &Snapshot<'_>, group: &str) {
        if snapshot.reserves.is_empty() {
            return;
        }
        let tasks = snapshot.tasks.iter().filter(|task| task.is_live());
        let own = tasks.filter_map(|task| Some((task.daemon()?, task.placement.container_instance.as_deref()?)));
        let there: HashSet<(&str, &str)> = own.collect();
        for reserve in &snapshot.reserves {
            for instance in &snapshot.instances {
                if reserve.is_open(instance, group, |daemon| there.contains(&(daemon, &*instance.id)))
                    && let Some(account) = self.instances.get_mut(&instance.id)
                {
                    account.cpu -= reserve.cpu;
                    account.memory_mib -= reserve.memory_mib;
                }
            }
        }
    }

    fn note(&mut self, task: &Task, wanted: NetworkMode) {
        if is_elastic(task.placement.launch_type) {
            self.host_memory_mib += task.placement.memory_mib;
        }
        if matches!(wanted, NetworkMode::Bridge | NetworkMode::Host) {
            for container in &task.containers {
                self.take_bindings(task.network.mode(), &container.ports);
            }
        }
        match &task.network {
            TaskNetwork::Bridge { address } if wanted == NetworkMode::Bridge => {
                self.bridge.insert(*address);
            }
            TaskNetwork::Awsvpc(eni) if wanted == NetworkMode::Awsvpc => {
                self.take_address(&eni.vpc_id, eni.address);
            }
            TaskNetwork::None | TaskNetwork::Host | TaskNetwork::Bridge { .. } | TaskNetwork::Awsvpc(_) => {}
        }
    }

    /// What is left of an instance, and what is on it. One that the snapshot lacks has nothing.
    pub(super) fn account(&self, instance: &ContainerInstance) -> &Account {
        self.instances.get(&instance.id).unwrap_or(&self.nothing)
    }

    pub(super) const fn host_memory_mib(&self) -> i64 {
        self.host_memory_mib
    }

    pub(super) fn is_port_free(&self, protocol: TransportProtocol, port: u16) -> bool {
        !self.host_ports.contains(&(protocol, port))
    }

    /// Whether the address was free; it is taken now.
    pub(super) fn take_bridge(&mut self, address: Ipv4Addr) -> bool {
        self.bridge.insert(address)
    }

    /// Whether the address was free in that VPC; it is taken now.
    pub(super) fn take_address(&mut self, vpc_id: &str, address: Ipv4Addr) -> bool {
        match self.vpcs.get_mut(vpc_id) {
            Some(taken) => taken.insert(address),
            None => self.vpcs.entry(vpc_id.to_owned()).or_default().insert(address),
        }
    }

    pub(super) fn take_ports(&mut self, mode: NetworkMode, ports: &[Vec<NetworkBinding>]) {
        for bindings in ports {
            self.take_bindings(mode, bindings);
        }
    }

    fn take_bindings(&mut self, mode: NetworkMode, bindings: &[NetworkBinding]) {
        match mode {
            NetworkMode::Bridge | NetworkMode::Host => {
                self.host_ports.extend(bindings.iter().map(|binding| (binding.protocol, binding.host_port)));
            }
            NetworkMode::Awsvpc | NetworkMode::None => {}
        }
    }

    /// Takes a place on the instance; the GPUs of each container.
    pub(super) fn take_instance(&mut self, instance: &ContainerInstance, request: &Request) -> Vec<Vec<String>> {
        let Some(account) = self.instances.get_mut(&instance.id) else { return Vec::new() };
        account.cpu -= request.cpu;
        account.memory_mib -= request.memory_mib;
        account.interfaces += usize::from(request.network_mode == NetworkMode::Awsvpc);
        if request.launch_type == LaunchType::ManagedInstances {
            self.host_memory_mib += request.memory_mib;
        }
        account.occupancy.add_to(&request.group);
        let mut take = |count: &usize| account.gpus.drain(..(*count).min(account.gpus.len())).collect();
        request.gpus.iter().map(&mut take).collect()
    }

    pub(super) const fn take_host(&mut self, request: &Request) {
        self.host_memory_mib += request.memory_mib;
    }
}

/// Whether tasks of that launch type have capacity that nobody declared, so that only the host bounds it.
pub(crate) const fn is_elastic(launch_type: LaunchType) -> bool {
    match launch_type {
        LaunchType::Fargate | LaunchType::ManagedInstances => true,
        LaunchType::Ec2 | LaunchType::External => false,
    }
}

/// How many interfaces the instance's tasks have. Tasks of other instances may be among `tasks`.
pub fn interfaces<'a>(instance: &ContainerInstance, tasks: impl IntoIterator<Item = &'a Task>) -> usize {
    let mine = tasks.into_iter().filter(|task| task.is_on(instance));
    mine.filter(|task| task.network.mode() == NetworkMode::Awsvpc).count()
}
