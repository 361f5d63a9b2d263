//! What there is at the beginning: machines in three zones, task definitions, an alarm, services of every kind.

use std::sync::Arc;

use cove_base::Timestamp;
use cove_model::alarm::{Alarm, AlarmState, Comparison, Metric, StateValue, Watch};
use cove_model::arn::Tenant;
use cove_model::capacity_provider::{CapacityProvider, ManagedScaling, Switch};
use cove_model::container_instance::ContainerInstance;
use cove_model::managed_instances::{
    InstanceLaunchTemplate, InstanceRequirements, ManagedInstances, ManagedInstancesNetwork, ManagedInstancesProvider,
    Wanted,
};
use cove_model::network::{Cidr, SecurityGroup, Subnet};
use cove_model::task::LaunchType;
use cove_model::task_definition::{
    ContainerDefinition, HealthCheck, NetworkMode, PortMapping, TaskDefinition, TaskDefinitionDocument,
    TaskDefinitionStatus,
};
use cove_model::task_template::{InterfaceWish, Placing, TaskSize, TaskTemplate};
use cove_store::{Prefix, Read, StoreError, Tx};

use super::world::World;
use crate::fleet::Fleet;
use crate::host::HostFacts;
use crate::place;

pub(crate) const CLUSTER: &str = "default";
pub(super) const ALARM: &str = "errors";
pub(crate) const PROVIDER: &str = "group";
pub(super) const MANAGED: &str = "managed";
pub(crate) const ZONES: [&str; 3] = ["us-east-1a", "us-east-1b", "us-east-1c"];
/// How long a managed instance may be idle.
pub(super) const IDLE_MILLIS: i64 = 60_000;
pub(crate) const GROUP: &str = "asg";
/// How long a task waits for the group to grow.
const PROVISIONING_MILLIS: i64 = 30 * 60_000;

pub(crate) type Family = (&'static str, NetworkMode, Option<i32>, i64, i64, bool);

/// What services run: name, network, host port, CPU, memory, whether its health is checked. Tasks of `sick` often fail.
pub(crate) const FAMILIES: [Family; 6] = [
    ("web", NetworkMode::Bridge, Some(0), 256, 256, false),
    ("api", NetworkMode::Awsvpc, None, 128, 512, true),
    ("fixed", NetworkMode::Bridge, Some(8080), 128, 128, false),
    ("batch", NetworkMode::None, None, 512, 128, false),
    ("watch", NetworkMode::None, None, 64, 64, true),
    ("sick", NetworkMode::Bridge, Some(0), 128, 128, false),
];

pub(crate) fn tenant() -> Tenant {
    Tenant::new("000000000000", "us-east-1")
}

/// Few ports, so that they run out.
pub(super) fn host() -> HostFacts {
    let zones = vec!["a".into(), "b".into(), "c".into()];
    let fleet = Fleet { provisioning_millis: PROVISIONING_MILLIS, scale_in_millis: IDLE_MILLIS, ..Fleet::default() };
    HostFacts { ephemeral_ports: 40_000..=40_011, zones, fleet, ..place::tests::host() }
}

impl World {
    pub(super) fn furnish(&mut self) {
        let count = 3 + self.dice.roll(3);
        let machines: Vec<ContainerInstance> = (0..count).map(|at| self.machine(&format!("i{at}"))).collect();
        let done: Result<(), StoreError> = self.memory.write(self.now, |tx| {
            FAMILIES.iter().for_each(|family| tx.put(definition(family)));
            network(tx);
            tx.put(alarm(StateValue::Ok, Timestamp(0)));
            tx.put(provider_of_the_group());
            tx.put(managed());
            machines.into_iter().for_each(|one| tx.put(one));
            Ok(())
        });
        done.unwrap();
        for _ in 0..1 + self.dice.roll(3) {
            self.create_service();
        }
        if self.dice.one_in(2) {
            self.create_daemon();
        }
    }

    /// A small one; some are of the group that grows.
    fn machine(&mut self, id: &str) -> ContainerInstance {
        let zone = self.dice.pick(&ZONES);
        let mut one = ContainerInstance::clone(&place::tests::instance(id, zone, 0));
        one.registered.cpu = self.dice.pick(&[1024, 2048, 2048]);
        one.registered.memory_mib = self.dice.pick(&[1024, 2048, 4096]);
        one.task_interfaces_max = self.dice.pick(&[None, Some(1), Some(2), Some(3)]);
        if self.dice.one_in(3) {
            (one.asg, one.asg_max) = (Some(GROUP.into()), Some(4));
        }
        one
    }

    /// The operator adds room for everything, when the faults are over.
    pub(super) fn make_room(&mut self) {
        self.host.ephemeral_ports = 40_000..=40_199;
        self.host.memory_mib = 1 << 20;
        let done: Result<(), StoreError> = self.memory.write(self.now, |tx| {
            for known in tx.scan::<ContainerInstance>(&Prefix::all()) {
                let mut one = (*known).clone();
                (one.registered.cpu, one.registered.memory_mib) = (65_536, 65_536);
                one.task_interfaces_max = None;
                tx.put(one);
            }
            for (at, zone) in ZONES.iter().cycle().take(12).enumerate() {
                let mut one = Arc::unwrap_or_clone(place::tests::instance(&format!("large{at}"), zone, 65_536));
                one.registered.cpu = 65_536;
                (one.asg, one.asg_max) = (Some(GROUP.into()), Some(20));
                tx.put(one);
            }
            tx.put(alarm(StateValue::Ok, tx.now()));
            Ok(())
        });
        done.unwrap();
    }
}

pub(crate) fn definition(family: &Family) -> TaskDefinition {
    let (name, mode, host_port, _, _, is_checked) = family;
    let mapping = PortMapping { container_port: Some(80), host_port: *host_port, ..PortMapping::default() };
    let check = HealthCheck { command: vec!["CMD".into(), "true".into()], ..HealthCheck::default() };
    let container = ContainerDefinition {
        name: Some("main".into()),
        image: Some("busybox".into()),
        port_mappings: if *mode == NetworkMode::None { Vec::new() } else { vec![mapping] },
        health_check: is_checked.then_some(check),
        ..ContainerDefinition::default()
    };
    TaskDefinition {
        tenant: tenant(),
        family: (*name).into(),
        revision: 1,
        status: TaskDefinitionStatus::Active,
        document: TaskDefinitionDocument { container_definitions: vec![container], ..Default::default() },
        tags: Vec::new(),
        requires_attributes: Vec::new(),
        compatibilities: Vec::new(),
        registered_at: Timestamp(0),
        registered_by: String::new(),
        deregistered_at: None,
        delete_requested_at: None,
    }
}

pub(crate) fn template(family: &Family) -> TaskTemplate {
    let (name, network_mode, _, cpu, memory_mib, _) = *family;
    let interface = InterfaceWish {
        subnets: ZONES.iter().map(|zone| format!("subnet-{zone}")).collect(),
        security_groups: Vec::new(),
        assign_public_ip: false,
    };
    TaskTemplate {
        tenant: tenant(),
        cluster: CLUSTER.into(),
        family: name.into(),
        revision: 1,
        placing: Placing { launch_type: LaunchType::Ec2, strategy: Vec::new(), platform_version: None },
        network_mode,
        interface: (network_mode == NetworkMode::Awsvpc).then_some(interface),
        size: TaskSize { task_cpu: None, task_memory: None, cpu, memory_mib, ephemeral_storage_gib: None },
        constraints: Vec::new(),
        strategies: Vec::new(),
        overrides: Default::default(),
        group: String::new(),
        started_by: None,
        keeper: None,
        tags: Vec::new(),
        enable_execute_command: false,
        pinned: Vec::new(),
        task_role: None,
        execution_role: None,
    }
}

pub(crate) fn network(tx: &mut Tx<'_>) {
    for (at, zone) in ZONES.iter().enumerate() {
        tx.put(Subnet {
            tenant: tenant(),
            id: format!("subnet-{zone}"),
            vpc_id: "vpc-1".into(),
            cidr: Cidr::parse(&format!("172.31.{at}.0/27")).unwrap(),
            availability_zone: (*zone).into(),
            is_default: true,
        });
    }
    tx.put(SecurityGroup { tenant: tenant(), id: "sg-1".into(), vpc_id: "vpc-1".into(), name: "default".into() });
}

pub(super) fn alarm(value: StateValue, at: Timestamp) -> Alarm {
    Alarm {
        tenant: tenant(),
        name: ALARM.into(),
        description: None,
        watches: Watch {
            metric: Metric { namespace: "n".into(), name: "m".into(), dimensions: Default::default() },
            statistic: "Sum".into(),
            unit: None,
            period_secs: 60,
            evaluation_periods: 1,
            datapoints_to_alarm: None,
            threshold: 1.0,
            comparison: Comparison::GreaterThanThreshold,
            missing_data: None,
        },
        actions_enabled: false,
        ok_actions: Vec::new(),
        alarm_actions: Vec::new(),
        insufficient_data_actions: Vec::new(),
        configured_at: Timestamp(0),
        state: AlarmState { value, reason: String::new(), reason_data: None, at },
        transitioned_at: at,
        tags: Vec::new(),
        version: u64::try_from(at.millis()).unwrap(),
    }
}

pub(crate) fn provider_of_the_group() -> CapacityProvider {
    CapacityProvider {
        asg: GROUP.into(),
        managed_scaling: ManagedScaling { status: Switch::Enabled, ..ManagedScaling::default() },
        managed_draining: Switch::Disabled,
        ..CapacityProvider::new(tenant(), PROVIDER, Timestamp(0))
    }
}

/// Of machines that are made for tasks: in two of the zones, so that some tasks find none, and of small types too, so that
/// some are larger than others.
fn managed() -> CapacityProvider {
    let wanted = InstanceRequirements { burstable_performance: Some(Wanted::Included), ..Default::default() };
    let provider = ManagedInstancesProvider {
        instance_launch_template: InstanceLaunchTemplate {
            instance_requirements: Some(wanted),
            network_configuration: ManagedInstancesNetwork {
                subnets: ZONES[..2].iter().map(|zone| format!("subnet-{zone}")).collect(),
                security_groups: Vec::new(),
            },
            ..InstanceLaunchTemplate::default()
        },
        ..ManagedInstancesProvider::default()
    };
    let managed = Some(ManagedInstances { cluster: CLUSTER.into(), provider });
    CapacityProvider { managed, ..CapacityProvider::new(tenant(), MANAGED, Timestamp(0)) }
}
