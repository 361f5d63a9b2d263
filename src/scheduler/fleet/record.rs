//! From a machine to the container instance that it registers as.

use std::collections::HashMap;

use cove_base::Timestamp;
use cove_base::ids::random_hex;
use cove_model::account::AccountSetting;
use cove_model::arn::Tenant;
use cove_model::capacity_provider::CapacityProvider;
use cove_model::container_instance::{Capacity, ContainerInstance, ContainerInstanceStatus, Origin, Resources};
use cove_model::instance_type::InstanceType;
use cove_model::managed_instances::ManagedInstances;
use cove_model::task_definition::Attribute;
use cove_store::{Read, Tx, keys};

use super::machine::{Machine, Size};
use crate::host::HostFacts;
use crate::names::{aws_id, digits, zone_name};

/// The role that container instances register with: its account settings are those that count for them.
const INSTANCE_ROLE: &str = "role/ecsInstanceRole";
const TRUNKING: &str = "awsvpcTrunking";
/// AWS's name of the attribute that says that there is a trunk.
const TRUNK_ATTRIBUTE: &str = "ecs.awsvpc-trunk-id";

/// Task-definition requirements that this version carries out on a container instance, as AWS's agent registers them.
pub const CAPABILITIES: &[&str] = &[
    "com.amazonaws.ecs.capability.ecr-auth",
    "com.amazonaws.ecs.capability.logging-driver.awslogs",
    "com.amazonaws.ecs.capability.logging-driver.json-file",
    "com.amazonaws.ecs.capability.logging-driver.none",
    "com.amazonaws.ecs.capability.privileged-container",
    "com.amazonaws.ecs.capability.task-iam-role",
    "com.amazonaws.ecs.capability.task-iam-role-network-host",
    "ecs.capability.container-health-check",
    "ecs.capability.container-ordering",
    "ecs.capability.container-port-range",
    "ecs.capability.container-restart-policy",
    "ecs.capability.docker-plugin.local",
    "ecs.capability.execution-role-awslogs",
    "ecs.capability.execution-role-ecr-pull",
    "ecs.capability.fault-injection",
    "ecs.capability.increased-task-cpu-limit",
    "ecs.capability.logging-driver.awslogs.log-driver-buffer-size",
    "ecs.capability.logging-driver.awslogs.mode",
    "ecs.capability.pid-ipc-namespace-sharing",
    "ecs.capability.private-registry-authentication.secretsmanager",
    "ecs.capability.secrets.asm.environment-variables",
    "ecs.capability.task-cpu-mem-limit",
    "ecs.capability.task-eni",
];

/// The versions of Docker's API that `docker-remote-api` requirements name: what they stand for (memory limits, pids,
/// tmpfs, init and so on) is carried out whatever the number.
const DOCKER_API_MINORS: std::ops::RangeInclusive<u32> = 17..=44;

/// Where a tenant's instances register.
pub(super) struct Place<'a> {
    pub(super) tenant: &'a Tenant,
    pub(super) host: &'a HostFacts,
    /// Whether new instances get a trunk.
    pub(super) trunking: bool,
    pub(super) now: Timestamp,
}

impl<'a> Place<'a> {
    pub(super) fn of(source: &impl Read, tenant: &'a Tenant, host: &'a HostFacts, now: Timestamp) -> Self {
        let arns = [tenant.global_arn("iam", INSTANCE_ROLE), tenant.global_arn("iam", "root")];
        let levels = [Some(arns[0].as_str()), Some(arns[1].as_str()), None];
        let set = levels
            .iter()
            .find_map(|level| source.get::<AccountSetting>(&keys::account_setting(tenant, *level, TRUNKING)));
        Self { tenant, host, trunking: set.is_some_and(|setting| setting.value == "enabled"), now }
    }

    /// The declared machines; their ids are the same whenever and wherever they are made.
    pub(super) fn declared(&self) -> Vec<ContainerInstance> {
        let host_alone = [Machine::host()];
        let machines = match self.host.fleet.machines.as_slice() {
            [] => host_alone.as_slice(),
            declared => declared,
        };
        let mut seen: HashMap<String, usize> = HashMap::new();
        let register = |machine: &Machine| {
            let (what, origin) = match &machine.size {
                // What the only instance of older versions was called: it keeps its id.
                None => (self.host.node.clone(), Origin::Host),
                Some(_) => {
                    let kind = self.kind(machine);
                    let number = seen.entry(kind.clone()).or_default();
                    *number += 1;
                    (format!("{kind}/{number}"), Origin::Declared)
                }
            };
            let id = digits("container-instance", self.tenant, &what, 32);
            self.record(machine, origin, id, aws_id("i", self.tenant, &what))
        };
        machines.iter().map(register).collect()
    }

    /// What makes two declarations the same: which of the equals is meant, their number says. Sizes and attributes may
    /// change under an id.
    fn kind(&self, machine: &Machine) -> String {
        let capacity = match machine.capacity {
            Capacity::OnDemand => "on-demand",
            Capacity::Spot => "spot",
        };
        let zone = machine.zone.as_deref().unwrap_or_default();
        let asg = machine.asg.as_ref().map_or_else(String::new, |asg| format!("/{asg}"));
        format!("{}/{}/{}/{zone}/{capacity}{asg}", self.host.node, machine.cluster, machine.instance_type)
    }

    fn record(&self, machine: &Machine, origin: Origin, id: String, ec2_instance_id: String) -> ContainerInstance {
        let first = self.host.zones.first().map_or("a", String::as_str);
        let zone = zone_name(self.tenant, machine.zone.as_deref().unwrap_or(first));
        let trunk = machine.size.as_ref().and_then(|size| size.trunk_tasks).filter(|_| self.trunking);
        let mut attributes = self.attributes(machine, &zone);
        if trunk.is_some() {
            let trunk_id = aws_id("eni", self.tenant, &ec2_instance_id);
            attributes.push(attribute(TRUNK_ATTRIBUTE.to_owned(), Some(trunk_id)));
        }
        ContainerInstance {
            tenant: self.tenant.clone(),
            cluster: machine.cluster.clone(),
            id,
            status: ContainerInstanceStatus::Active,
            registered: self.resources(machine, &ec2_instance_id),
            ec2_instance_id,
            attributes,
            availability_zone: zone,
            registered_at: self.now,
            version: 1,
            tags: Vec::new(),
            task_interfaces_max: machine.size.as_ref().map(|size| trunk.unwrap_or(size.tasks)),
            origin,
            capacity: machine.capacity,
            asg: machine.asg.clone(),
            asg_max: machine.asg_max,
            managed_by: None,
            storage_gib: None,
            replaces: None,
            room_for: Vec::new(),
            is_terminated: false,
            declared_attributes: self.declared_attributes(machine),
            agent: None,
            leaves_at: None,
            leaves_when_empty: false,
            leaves_since: None,
            gone_at: None,
        }
    }

    fn resources(&self, machine: &Machine, ec2_instance_id: &str) -> Resources {
        let mut resources = self.host.resources();
        resources.ports_tcp.extend(&machine.ports);
        resources.ports_tcp.sort_unstable();
        resources.ports_tcp.dedup();
        if let Some(Size { cpu, memory_mib, gpus, .. }) = machine.size {
            resources.cpu = cpu;
            resources.memory_mib = memory_mib;
            resources.gpus = (0..gpus).map(|number| format!("GPU-{ec2_instance_id}-{number}")).collect();
        }
        resources
    }

    fn attributes(&self, machine: &Machine, zone: &str) -> Vec<Attribute> {
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
        let instance_type = match machine.size {
            None => &self.host.instance_type,
            Some(_) => &machine.instance_type,
        };
        let described = [
            ("ecs.availability-zone", zone),
            ("ecs.cpu-architecture", architecture),
            ("ecs.instance-type", instance_type),
            ("ecs.os-family", "LINUX"),
            ("ecs.os-type", "linux"),
        ];
        let mut all: Vec<Attribute> =
            described.iter().map(|(name, value)| attribute((*name).to_owned(), Some((*value).to_owned()))).collect();
        all.extend(CAPABILITIES.iter().map(|name| attribute((*name).to_owned(), None)));
        let docker = |minor| format!("com.amazonaws.ecs.capability.docker-remote-api.1.{minor}");
        all.extend(DOCKER_API_MINORS.map(|minor| attribute(docker(minor), None)));
        all.extend(self.host.attributes.iter().chain(&machine.attributes).cloned());
        all
    }

    /// Those that the operator made up.
    fn declared_attributes(&self, machine: &Machine) -> Vec<Attribute> {
        let is_custom = |one: &&Attribute| one.name.as_deref().is_some_and(|name| !is_reserved(name));
        self.host.attributes.iter().chain(&machine.attributes).filter(is_custom).cloned().collect()
    }
}

/// Names that ECS gives.
pub(super) fn is_reserved(name: &str) -> bool {
    name.starts_with("ecs.") || name.starts_with("com.amazonaws.")
}

/// The ARN of an Auto Scaling group: its identifier derives from its name.
#[must_use]
pub fn group_arn(tenant: &Tenant, name: &str) -> String {
    let id = digits("autoScalingGroup", tenant, name, 32);
    let uuid = [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]].join("-");
    tenant.arn("autoscaling", format_args!("autoScalingGroup:{uuid}:autoScalingGroupName/{name}"))
}

/// Registers a machine that nobody declared; it stays until it is removed.
pub fn add(tx: &mut Tx<'_>, tenant: &Tenant, host: &HostFacts, machine: &Machine) -> ContainerInstance {
    let place = Place::of(tx, tenant, host, tx.now());
    let instance = place.record(machine, Origin::Added, random_hex(16), format!("i-0{}", random_hex(8)));
    tx.put(instance.clone());
    instance
}

/// An instance made for a capacity provider, of its kind, with its storage, and with its tags where it says so. The caller
/// writes it.
pub(super) fn managed_record(place: &Place<'_>, machine: &Machine, provider: &CapacityProvider) -> ContainerInstance {
    let propagates = provider.managed.as_ref().is_some_and(ManagedInstances::propagates_tags);
    let kind = InstanceType::find(&machine.instance_type);
    ContainerInstance {
        managed_by: Some(provider.name.clone()),
        storage_gib: provider.managed.as_ref().and_then(|it| it.storage_gib(kind)),
        tags: if propagates { provider.tags.clone() } else { Vec::new() },
        ..place.record(machine, Origin::Added, random_hex(16), format!("i-0{}", random_hex(8)))
    }
}

fn attribute(name: String, value: Option<String>) -> Attribute {
    Attribute { name: Some(name), value, ..Attribute::default() }
}
