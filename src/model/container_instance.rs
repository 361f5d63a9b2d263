//! Container instances: places that tasks are put on. Several may share the machine.
//!
//! ```text
//! ACTIVE ◀──▶ DRAINING ──▶ INACTIVE      drained and activated; deregistered, interrupted or failed
//!   ▲ └──────────────────────▲  │
//!   └───────── recovered ───────┘
//! ```

use std::collections::BTreeSet;

use cove_base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::arn::Tenant;
use crate::tag::Tag;
use crate::task::Task;
use crate::task_definition::{Attribute, NetworkMode, TransportProtocol};

/// The version of the ECS agent whose behaviour the node shows.
const AGENT_VERSION: &str = "1.105.1";
/// The attribute by which an agent says that its host is on premises.
pub const EXTERNAL: &str = "ecs.capability.external";

/// A container instance registered in a cluster. What is free on it is computed from the tasks placed there, never kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerInstance {
    pub tenant: Tenant,
    pub cluster: String,
    /// 32 hex digits.
    pub id: String,
    /// As in `i-0123456789abcdef0`.
    pub ec2_instance_id: String,
    pub status: ContainerInstanceStatus,
    pub registered: Resources,
    pub attributes: Vec<Attribute>,
    pub availability_zone: String,
    pub registered_at: Timestamp,
    pub version: u64,
    pub tags: Vec<Tag>,
    /// awsvpc tasks that it has network interfaces for; `None`: as many as there are addresses.
    #[serde(default)]
    pub task_interfaces_max: Option<u32>,
    #[serde(default)]
    pub origin: Origin,
    #[serde(default)]
    pub capacity: Capacity,
    /// The Auto Scaling group that it is of.
    #[serde(default)]
    pub asg: Option<String>,
    /// How many instances managed scaling lets that group have; the largest of its instances' counts.
    #[serde(default)]
    pub asg_max: Option<u32>,
    /// The capacity provider that it was made for, and goes with: a managed instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_by: Option<String>,
    /// What the tasks on a managed instance may write together; `None`: each what it may anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_gib: Option<u32>,
    /// The larger managed instance that it was made in place of, which drains when this one is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// The revisions of daemons that a managed instance was made with room for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub room_for: Vec<String>,
    /// The agent of another host that registered it; `None`: it is the node's own.
    #[serde(default)]
    pub agent: Option<Agent>,
    /// When a Spot interruption takes it away; the warning was given when this was written.
    #[serde(default)]
    pub leaves_at: Option<Timestamp>,
    /// It drains, and goes with the last of its tasks: managed draining.
    #[serde(default)]
    pub leaves_when_empty: bool,
    /// Since when it is a managed instance that does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaves_since: Option<Timestamp>,
    /// Its custom attributes as they were declared last: what clients made of them since is told from that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub declared_attributes: Vec<Attribute>,
    /// Its capacity provider took it away, because it was not needed or too old: as on EC2 it never comes back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_terminated: bool,
    /// Since when it is INACTIVE.
    #[serde(default)]
    pub gone_at: Option<Timestamp>,
}

impl ContainerInstance {
    /// The instance's ARN.
    #[must_use]
    pub fn arn(&self) -> String {
        container_instance_arn(&self.tenant, &self.cluster, &self.id)
    }

    /// Whether it is registered: ACTIVE or DRAINING.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        self.status != ContainerInstanceStatus::Inactive
    }

    /// Whether it is a managed instance that was made without room for a daemon of that revision, which therefore never
    /// comes to it: another instance comes in its place.
    #[must_use]
    pub fn is_older_than(&self, daemon_revision: &str) -> bool {
        self.managed_by.is_some() && !self.room_for.iter().any(|id| id == daemon_revision)
    }

    /// Whether its agent can be told what to run.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.is_registered() && self.agent.as_ref().is_none_or(|agent| agent.connected)
    }

    /// Whether it is another host, whose own agent runs its tasks: nothing of them is on this node.
    #[must_use]
    pub const fn is_elsewhere(&self) -> bool {
        self.agent.is_some()
    }

    /// Whether it is on premises, as ECS Anywhere has it: only tasks of the launch type EXTERNAL go there.
    #[must_use]
    pub fn is_external(&self) -> bool {
        self.is_elsewhere() && self.attribute(EXTERNAL).is_some()
    }

    /// What is known of its host's container runtime; the node's own is this server.
    #[must_use]
    pub fn health(&self) -> InstanceHealth {
        let unknown = InstanceHealth::InsufficientData;
        match &self.agent {
            None if self.is_registered() => InstanceHealth::Ok,
            Some(agent) if self.is_connected() => agent.health.unwrap_or(unknown),
            None | Some(_) => unknown,
        }
    }

    /// Its agent's version, if that is known.
    #[must_use]
    pub fn agent_version(&self) -> Option<&str> {
        match &self.agent {
            None => Some(AGENT_VERSION),
            Some(agent) => agent.version.as_deref(),
        }
    }

    /// Whether it has the attribute, with that value if one is named.
    #[must_use]
    pub fn has(&self, wanted: &Attribute) -> bool {
        let same = |own: &&Attribute| own.name == wanted.name && (wanted.value.is_none() || own.value == wanted.value);
        self.attributes.iter().any(|own| same(&own))
    }

    /// The value of one of its attributes.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|attribute| attribute.name.as_deref() == Some(name))?;
        Some(found.value.as_deref().unwrap_or_default())
    }
}

/// What an agent of another host says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    pub version: Option<String>,
    pub hash: Option<String>,
    pub docker_version: Option<String>,
    /// Whether it listens for its work right now. Of an earlier run of the server it says nothing: each start begins
    /// with nobody connected.
    #[serde(default)]
    pub connected: bool,
    /// What it says of its host's container runtime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<InstanceHealth>,
}

/// ECS's `InstanceHealthCheckState`, the better first: of several the last one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum InstanceHealth {
    Ok,
    Initializing,
    InsufficientData,
    Impaired,
}

impl InstanceHealth {
    /// The name that clients see.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Initializing => "INITIALIZING",
            Self::InsufficientData => "INSUFFICIENT_DATA",
            Self::Impaired => "IMPAIRED",
        }
    }
}

/// Who wants the instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// The machine that the node runs on: its limits are the machine's own. What older records are.
    #[default]
    Host,
    /// The config file.
    Declared,
    /// Whoever added it at run time.
    Added,
}

/// How the instance was bought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capacity {
    #[default]
    OnDemand,
    /// May be interrupted.
    Spot,
}

/// The ARN of a container instance.
#[must_use]
pub fn container_instance_arn(tenant: &Tenant, cluster: &str, id: &str) -> String {
    tenant.arn("ecs", format_args!("container-instance/{cluster}/{id}"))
}

/// ECS's container instance status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ContainerInstanceStatus {
    Active,
    Draining,
    /// Gone; it stays describable for a while.
    Inactive,
}

impl ContainerInstanceStatus {
    /// The name that clients see.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
            Self::Inactive => "INACTIVE",
        }
    }
}

/// What an instance has, or what is left of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// In 1/1024 of a core.
    pub cpu: i64,
    pub memory_mib: i64,
    /// Reserved TCP host ports.
    pub ports_tcp: Vec<u16>,
    /// Reserved UDP host ports.
    pub ports_udp: Vec<u16>,
    pub gpus: Vec<String>,
}

/// What is left of an instance: its `remainingResources`. Its ports are those that are not available: the reserved ones
/// and those of its tasks. Tasks of other instances may be among `tasks`.
pub fn remaining<'a>(instance: &ContainerInstance, tasks: impl IntoIterator<Item = &'a Task>) -> Resources {
    let mut left = instance.registered.clone();
    let mut tcp: BTreeSet<u16> = left.ports_tcp.iter().copied().collect();
    let mut udp: BTreeSet<u16> = left.ports_udp.iter().copied().collect();
    for task in tasks.into_iter().filter(|task| task.is_on(instance)) {
        left.cpu -= task.placement.cpu;
        left.memory_mib -= task.placement.memory_mib;
        let taken = || task.containers.iter().flat_map(|container| &container.gpu_ids);
        left.gpus.retain(|id| !taken().any(|one| one == id));
        match task.network.mode() {
            NetworkMode::Awsvpc | NetworkMode::None => continue,
            NetworkMode::Bridge | NetworkMode::Host => {}
        }
        for binding in task.containers.iter().flat_map(|container| &container.ports) {
            match binding.protocol {
                TransportProtocol::Tcp => tcp.extend(binding.host_ports()),
                TransportProtocol::Udp => udp.extend(binding.host_ports()),
            }
        }
    }
    left.ports_tcp = tcp.into_iter().collect();
    left.ports_udp = udp.into_iter().collect();
    left
}
