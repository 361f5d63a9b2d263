//! One machine of the fleet: what somebody wished for, checked against the table of EC2 types.
//!
//! In: an `[[instance]]` of the config file, or the body of `POST fleet/add`: the same keys. Out: a [`Machine`].

use std::collections::BTreeMap;

use cove_model::container_instance::Capacity;
use cove_model::instance_type::InstanceType;
use cove_model::task_definition::Attribute;
use serde::Deserialize;

use crate::tenant::DEFAULT_CLUSTER;

/// The type that means the machine that the node runs on.
pub const HOST_TYPE: &str = "host";
/// ECS's unit: 1024 are one vCPU.
const CPU_PER_VCPU: i64 = 1024;
/// One declaration makes no more: placement scans them all, and each is a control group.
const COUNT_MAX: u32 = 100;
/// The largest machine that AWS rents out has 24 TiB and 448 vCPUs; more is a mistake in the unit.
const MEMORY_MAX_MIB: i64 = 24 << 20;
const CPU_MAX: i64 = 448 * CPU_PER_VCPU;
/// The smallest memory that ECS lets a container have; an instance with less takes no task.
const MEMORY_MIN_MIB: i64 = 6;
const GPUS_MAX: u32 = 16;
/// A trunk and its branches are the most that AWS attaches.
const INTERFACES_MAX: u32 = 122;
/// ECS's quotas of custom attributes.
const ATTRIBUTES_MAX: usize = 10;
const ATTRIBUTE_LENGTH_MAX: usize = 128;

/// A machine as it is asked for. What is absent comes from the type.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineWish {
    #[serde(rename = "type")]
    pub instance_type: String,
    #[serde(default)]
    pub count: Option<u32>,
    /// Suffix of a zone's name, as in `a`.
    #[serde(default)]
    pub zone: Option<String>,
    #[serde(default)]
    pub cluster: Option<String>,
    /// In 1/1024 of a vCPU.
    #[serde(default)]
    pub cpu: Option<i64>,
    #[serde(default)]
    pub memory_mib: Option<i64>,
    #[serde(default)]
    pub gpus: Option<u32>,
    /// TCP host ports that its tasks never get, beside those that every instance keeps.
    #[serde(default)]
    pub ports: Vec<u16>,
    /// Network interfaces, the machine's own among them.
    #[serde(default)]
    pub eni_limit: Option<u32>,
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    #[serde(default)]
    pub capacity: Capacity,
    /// The Auto Scaling group that it is of: what capacity providers stand for.
    #[serde(default)]
    pub asg: Option<String>,
    /// How many instances managed scaling lets that group have.
    #[serde(default)]
    pub asg_max: Option<u32>,
}

/// A wish that cannot be met.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadMachine {
    #[error("there is no type `{name}` in the table; known: {}", known.join(", "))]
    Type { name: String, known: Vec<&'static str> },
    #[error("zone `{zone}` is none of {}", zones.join(", "))]
    Zone { zone: String, zones: Vec<String> },
    #[error("{key} = {value} is not between {least} and {most}")]
    Range { key: &'static str, value: i64, least: i64, most: i64 },
    #[error("attribute `{0}` is reserved, or has characters or a length that ECS does not take")]
    Attribute(String),
    #[error("more than {ATTRIBUTES_MAX} attributes")]
    Attributes,
    #[error("cluster `{0}` is no cluster name")]
    Cluster(String),
    #[error("`{0}` is no name of an Auto Scaling group")]
    Group(String),
    #[error("the host has its own size, zone, cluster and group: type `{HOST_TYPE}` takes only ports and attributes")]
    Host,
    #[error("the host is there once")]
    SecondHost,
}

/// A machine that may join the fleet.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    /// As in `m5.large`, or [`HOST_TYPE`].
    pub instance_type: String,
    pub zone: Option<String>,
    pub cluster: String,
    /// `None`: the host's.
    pub size: Option<Size>,
    pub ports: Vec<u16>,
    pub attributes: Vec<Attribute>,
    pub capacity: Capacity,
    pub asg: Option<String>,
    pub asg_max: Option<u32>,
}

/// What a machine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Size {
    pub cpu: i64,
    pub memory_mib: i64,
    pub gpus: u32,
    /// awsvpc tasks, without a trunk and with one.
    pub tasks: u32,
    pub trunk_tasks: Option<u32>,
}

impl Machine {
    /// The host itself: what a node without declarations has.
    #[must_use]
    pub fn host() -> Self {
        Self {
            instance_type: HOST_TYPE.to_owned(),
            zone: None,
            cluster: DEFAULT_CLUSTER.to_owned(),
            size: None,
            ports: Vec::new(),
            attributes: Vec::new(),
            capacity: Capacity::OnDemand,
            asg: None,
            asg_max: None,
        }
    }

    /// Checks a wish; one machine for each that it counts.
    ///
    /// # Errors
    /// When the type is unknown or a value cannot be.
    pub fn all_of(wish: &MachineWish, zones: &[String]) -> Result<Vec<Self>, BadMachine> {
        let count = wish.count.unwrap_or(1);
        within("count", i64::from(count), 1, i64::from(COUNT_MAX))?;
        let machine = Self::of(wish, zones)?;
        if machine.size.is_none() && count > 1 {
            return Err(BadMachine::SecondHost);
        }
        Ok((0..count).map(|_| machine.clone()).collect())
    }

    fn of(wish: &MachineWish, zones: &[String]) -> Result<Self, BadMachine> {
        let attributes = attributes(&wish.attributes)?;
        let ports = wish.ports.clone();
        if wish.instance_type == HOST_TYPE {
            let sized = wish.cpu.is_some() || wish.memory_mib.is_some() || wish.gpus.is_some();
            let placed = wish.asg.is_some()
                || wish.asg_max.is_some()
                || wish.zone.is_some()
                || wish.cluster.is_some()
                || wish.eni_limit.is_some();
            if sized || placed || wish.capacity == Capacity::Spot {
                return Err(BadMachine::Host);
            }
            return Ok(Self { ports, attributes, ..Self::host() });
        }
        if let Some(zone) = &wish.zone
            && !zones.contains(zone)
        {
            return Err(BadMachine::Zone { zone: zone.clone(), zones: zones.to_vec() });
        }
        let cluster = wish.cluster.clone().unwrap_or_else(|| DEFAULT_CLUSTER.to_owned());
        if !is_cluster_name(&cluster) {
            return Err(BadMachine::Cluster(cluster));
        }
        if let Some(asg) = wish.asg.as_ref().filter(|asg| !is_cluster_name(asg)) {
            return Err(BadMachine::Group(asg.clone()));
        }
        within("asg_max", i64::from(wish.asg_max.unwrap_or(0)), 0, i64::from(COUNT_MAX))?;
        Ok(Self {
            instance_type: wish.instance_type.clone(),
            zone: wish.zone.clone(),
            cluster,
            size: Some(size(wish)?),
            ports,
            attributes,
            capacity: wish.capacity,
            asg: wish.asg.clone(),
            asg_max: wish.asg_max,
        })
    }
}

/// What the wish names, else what the type has. An ENI limit that is named is not raised by a trunk.
fn size(wish: &MachineWish) -> Result<Size, BadMachine> {
    let name = &wish.instance_type;
    let known = InstanceType::find(name)
        .ok_or_else(|| BadMachine::Type { name: name.clone(), known: InstanceType::like(name) })?;
    let cpu = wish.cpu.unwrap_or(i64::from(known.vcpus) * CPU_PER_VCPU);
    within("cpu", cpu, 1, CPU_MAX)?;
    let memory_mib = wish.memory_mib.unwrap_or_else(|| known.registered_memory_mib());
    within("memory_mib", memory_mib, MEMORY_MIN_MIB, MEMORY_MAX_MIB)?;
    let gpus = wish.gpus.unwrap_or(known.gpus);
    within("gpus", i64::from(gpus), 0, i64::from(GPUS_MAX))?;
    let interfaces = wish.eni_limit.unwrap_or(known.interfaces);
    within("eni_limit", i64::from(interfaces), 1, i64::from(INTERFACES_MAX))?;
    let trunk_tasks = known.trunk_tasks.filter(|_| wish.eni_limit.is_none());
    Ok(Size { cpu, memory_mib, gpus, tasks: interfaces - 1, trunk_tasks })
}

const fn within(key: &'static str, value: i64, least: i64, most: i64) -> Result<(), BadMachine> {
    if value >= least && value <= most { Ok(()) } else { Err(BadMachine::Range { key, value, least, most }) }
}

fn attributes(given: &BTreeMap<String, String>) -> Result<Vec<Attribute>, BadMachine> {
    if given.len() > ATTRIBUTES_MAX {
        return Err(BadMachine::Attributes);
    }
    let read = |(name, value): (&String, &String)| {
        let reserved = name.starts_with("ecs.") || name.starts_with("com.amazonaws.ecs.");
        let legal_name = |c: char| c.is_ascii_alphanumeric() || "-_/\\.".contains(c);
        let legal_value = |c: char| c.is_ascii_alphanumeric() || "-_.@/\\: ".contains(c);
        let fits = |text: &str| !text.is_empty() && text.len() <= ATTRIBUTE_LENGTH_MAX && text.trim() == text;
        if reserved || !fits(name) || !fits(value) || !name.chars().all(legal_name) || !value.chars().all(legal_value) {
            return Err(BadMachine::Attribute(name.clone()));
        }
        Ok(Attribute { name: Some(name.clone()), value: Some(value.clone()), ..Attribute::default() })
    };
    given.iter().map(read).collect()
}

/// As ECS has it: up to 255 letters, digits, hyphens and underscores.
fn is_cluster_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !name.is_empty() && name.len() <= 255 && name.bytes().all(legal)
}
