//! What is taken: by live tasks, and by the tasks that this request has placed so far.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;

use cove_model::container_instance::{ContainerInstance, Resources, remaining};
use cove_model::task::{LaunchType, NetworkBinding, Task, TaskNetwork};
use cove_model::task_definition::{NetworkMode, TransportProtocol};

use super::{Request, Snapshot};

/// The books of one call.
pub(super) struct Ledger {
    instances: HashMap<String, Account>,
    fargate_memory_mib: i64,
    host_ports: HashSet<(TransportProtocol, u16)>,
    bridge: HashSet<Ipv4Addr>,
    /// By VPC.
    vpcs: HashMap<String, HashSet<Ipv4Addr>>,
}

/// One instance's account.
struct Account {
    free: Resources,
    /// awsvpc tasks, each with an interface of its own.
    interfaces: usize,
    /// Live tasks by group.
    groups: HashMap<String, usize>,
}

impl Ledger {
    pub(super) fn of(snapshot: &Snapshot<'_>) -> Self {
        let mut ledger = Self {
            instances: HashMap::new(),
            fargate_memory_mib: 0,
            host_ports: HashSet::new(),
            bridge: HashSet::new(),
            vpcs: HashMap::new(),
        };
        for instance in &snapshot.instances {
            let mine = || snapshot.tasks.iter().map(|task| &**task).filter(|task| task.is_on(instance));
            let mut groups = HashMap::new();
            for task in mine() {
                *groups.entry(task.group.clone()).or_default() += 1;
            }
            let (free, interfaces) = (remaining(instance, mine()), interfaces(instance, mine()));
            ledger.instances.insert(instance.id.clone(), Account { free, interfaces, groups });
        }
        for task in snapshot.tasks.iter().filter(|task| task.is_live()) {
            ledger.note(task);
        }
        let host = snapshot.host;
        ledger.host_ports.extend(host.reserved_ports_tcp.iter().map(|port| (TransportProtocol::Tcp, *port)));
        ledger.host_ports.extend(host.reserved_ports_udp.iter().map(|port| (TransportProtocol::Udp, *port)));
        ledger
    }

    fn note(&mut self, task: &Task) {
        if task.placement.launch_type == LaunchType::Fargate {
            self.fargate_memory_mib += task.placement.memory_mib;
        }
        for container in &task.containers {
            self.take_bindings(task.network.mode(), &container.ports);
        }
        match &task.network {
            TaskNetwork::None | TaskNetwork::Host => {}
            TaskNetwork::Bridge { address } => {
                self.bridge.insert(*address);
            }
            TaskNetwork::Awsvpc(eni) => {
                self.vpcs.entry(eni.vpc_id.clone()).or_default().insert(eni.address);
            }
        }
    }

    /// What is left of an instance, and how many tasks of a group it has.
    pub(super) fn account(&self, instance: &ContainerInstance, group: &str) -> (&Resources, usize) {
        static NOTHING: Resources =
            Resources { cpu: 0, memory_mib: 0, ports_tcp: Vec::new(), ports_udp: Vec::new(), gpus: Vec::new() };
        let account = self.instances.get(&instance.id);
        account.map_or((&NOTHING, 0), |account| (&account.free, account.groups.get(group).copied().unwrap_or(0)))
    }

    /// Whether one more awsvpc task can have an interface there.
    pub(super) fn has_interface(&self, instance: &ContainerInstance) -> bool {
        let taken = self.instances.get(&instance.id).map_or(0, |account| account.interfaces);
        instance.task_interfaces_max.is_none_or(|most| taken < most as usize)
    }

    pub(super) const fn fargate_memory_mib(&self) -> i64 {
        self.fargate_memory_mib
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
        self.vpcs.entry(vpc_id.to_owned()).or_default().insert(address)
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

    pub(super) fn take_instance(&mut self, instance: &ContainerInstance, request: &Request) {
        if let Some(account) = self.instances.get_mut(&instance.id) {
            account.free.cpu -= request.cpu;
            account.free.memory_mib -= request.memory_mib;
            account.interfaces += usize::from(request.network_mode == NetworkMode::Awsvpc);
            *account.groups.entry(request.group.clone()).or_default() += 1;
        }
    }

    pub(super) const fn take_fargate(&mut self, request: &Request) {
        self.fargate_memory_mib += request.memory_mib;
    }
}

/// How many interfaces the instance's tasks have. Tasks of other instances may be among `tasks`.
pub fn interfaces<'a>(instance: &ContainerInstance, tasks: impl IntoIterator<Item = &'a Task>) -> usize {
    let mine = tasks.into_iter().filter(|task| task.is_on(instance));
    mine.filter(|task| task.network.mode() == NetworkMode::Awsvpc).count()
}
