//! A task: one run of a task definition.
//!
//! ```text
//! desired   RUNNING ─────────────▶ STOPPED ─────────────▶ lost     (API and scheduler)
//! observed  PROVISIONING ▶ PENDING ▶ ACTIVATING ▶ RUNNING ▶ DEACTIVATING ▶ STOPPING ▶ DEPROVISIONING ▶ STOPPED   (agent)
//! ```
//!
//! Holds: [`Task::desired`] has one writer, the API and scheduler side, and [`Task::observed`] one, the agent; both only
//! move forward. Everything else is fixed when the task is placed: in the transaction that makes it, or later, for one that
//! waits for capacity; until then no agent knows of it, and it has neither containers nor a network. Each change of any of
//! these raises `version`.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use cove_base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::arn::Tenant;
use crate::cluster::cluster_arn;
use crate::container_instance::ContainerInstance;
use crate::daemon::definition_arn;
use crate::tag::Tag;
use crate::task_definition::{Attribute, NetworkMode, TransportProtocol};
use crate::task_override::TaskOverride;
use crate::task_template::TaskTemplate;

/// A task. Its key is tenant, cluster and id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    pub tenant: Tenant,
    pub cluster: String,
    /// 32 hex digits.
    pub id: String,
    pub family: String,
    pub revision: u32,
    pub placement: Placement,
    /// What it will be placed by; `None` once it has its place. Kept by one that ended without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unplaced: Option<Box<TaskTemplate>>,
    pub group: String,
    pub started_by: Option<String>,
    /// Who keeps it running; `None` for tasks of RunTask and StartTask.
    #[serde(default)]
    pub keeper: Option<Keeper>,
    pub overrides: TaskOverride,
    pub enable_execute_command: bool,
    pub tags: Vec<Tag>,
    pub attributes: Vec<Attribute>,
    /// Task-level size, as text as ECS shows it.
    pub cpu: Option<String>,
    pub memory: Option<String>,
    pub ephemeral_storage_gib: Option<u32>,
    pub network: TaskNetwork,
    /// Set when the definition or an override names a task role.
    pub task_role: Option<TaskRole>,
    pub execution_role_arn: Option<String>,
    pub created_at: Timestamp,
    pub desired: Desired,
    /// Until then neither scaling in nor a deployment stops it.
    #[serde(default)]
    pub protected_until: Option<Timestamp>,
    pub observed: Observed,
    /// In the order of the task definition.
    pub containers: Vec<Container>,
    pub version: u64,
}

/// The ARN of a task, in the long form.
#[must_use]
pub fn task_arn(tenant: &Tenant, cluster: &str, id: &str) -> String {
    tenant.arn("ecs", format_args!("task/{cluster}/{id}"))
}

impl Task {
    /// The task's ARN, in the long form.
    #[must_use]
    pub fn arn(&self) -> String {
        task_arn(&self.tenant, &self.cluster, &self.id)
    }

    /// The cluster's ARN.
    #[must_use]
    pub fn cluster_arn(&self) -> String {
        cluster_arn(&self.tenant, &self.cluster)
    }

    /// The task definition's ARN.
    #[must_use]
    pub fn definition_arn(&self) -> String {
        definition_arn(&self.tenant, &self.family, self.revision)
    }

    /// Whether it holds resources: everything that is not STOPPED does.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.observed.status != TaskStatus::Stopped
    }

    /// Whether it waits, in PROVISIONING, until an instance has room for it.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.unplaced.is_some() && self.is_live() && !self.desired.is_stopped()
    }

    /// The service that keeps it.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        match &self.keeper {
            Some(Keeper::Service(name)) => Some(name),
            Some(Keeper::Daemon(_)) | None => None,
        }
    }

    /// The daemon that keeps it.
    #[must_use]
    pub fn daemon(&self) -> Option<&str> {
        match &self.keeper {
            Some(Keeper::Daemon(name)) => Some(name),
            Some(Keeper::Service(_)) | None => None,
        }
    }

    /// ECS's `healthStatus` of the task: that of its essential containers with a check, the worst of them; UNKNOWN when
    /// there are none.
    #[must_use]
    pub fn health(&self) -> Health {
        let essential = self.containers.iter().filter(|container| container.essential);
        essential.filter_map(|container| container.seen.health).max().unwrap_or(Health::Unknown)
    }

    /// Whether it counts as healthy by checks, and not by the time that it has run.
    #[must_use]
    pub fn is_checked(&self) -> bool {
        self.containers.iter().any(|container| container.essential && container.seen.health.is_some())
    }

    /// Whether it takes something from that instance.
    #[must_use]
    pub fn is_on(&self, instance: &ContainerInstance) -> bool {
        self.is_live()
            && self.placement.container_instance.as_deref() == Some(&*instance.id)
            && self.cluster == instance.cluster
            && self.tenant == instance.tenant
    }

    /// Whether its desired status is STOPPED: somebody said so, or it is on its way there by itself.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.desired.is_stopped() || self.observed.status > TaskStatus::Running
    }

    /// The status of the attachment that stands for its interface, if it has one.
    #[must_use]
    pub const fn attachment_status(&self) -> Option<&'static str> {
        let TaskNetwork::Awsvpc(_) = &self.network else { return None };
        Some(match self.observed.status {
            TaskStatus::Provisioning => "ATTACHING",
            TaskStatus::Pending
            | TaskStatus::Activating
            | TaskStatus::Running
            | TaskStatus::Deactivating
            | TaskStatus::Stopping => "ATTACHED",
            TaskStatus::Deprovisioning => "DETACHING",
            TaskStatus::Stopped => "DELETED",
        })
    }

    /// The ARN of one of its containers.
    #[must_use]
    pub fn container_arn(&self, container: &Container) -> String {
        self.tenant.arn("ecs", format_args!("container/{}/{}/{}", self.cluster, self.id, container.id))
    }
}

/// Who replaces the task when it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keeper {
    /// A service of the task's cluster, by name; `started_by` is its deployment.
    Service(String),
    /// A daemon of the task's cluster, by name; `started_by` is its revision.
    Daemon(String),
}

/// Where the task was put. Without instance and zone while it waits for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    pub launch_type: LaunchType,
    /// Absent for Fargate, and for a task that has no place yet.
    pub container_instance: Option<String>,
    pub capacity_provider: Option<String>,
    pub availability_zone: String,
    /// As in `1.4.0`; Fargate only.
    pub platform_version: Option<String>,
    pub platform_family: Option<String>,
    /// What it takes from its instance, in 1/1024 of a core and in MiB.
    pub cpu: i64,
    pub memory_mib: i64,
    /// Whether its instance is another host, whose own agent runs it: nothing of it is on this node.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub elsewhere: bool,
}

/// ECS's launch type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LaunchType {
    Ec2,
    Fargate,
    External,
    ManagedInstances,
}

impl LaunchType {
    /// Whether tasks of that launch type have capacity that nobody declared, so that only the host bounds it.
    #[must_use]
    pub const fn is_elastic(self) -> bool {
        match self {
            Self::Fargate | Self::ManagedInstances => true,
            Self::Ec2 | Self::External => false,
        }
    }
}

/// The task's network, with addresses chosen when it was placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskNetwork {
    None,
    Host,
    /// Address in the node's bridge-mode network; 0.0.0.0 on another host.
    Bridge {
        address: Ipv4Addr,
    },
    Awsvpc(ElasticNetworkInterface),
}

impl TaskNetwork {
    /// The mode it belongs to.
    #[must_use]
    pub const fn mode(&self) -> NetworkMode {
        match self {
            Self::None => NetworkMode::None,
            Self::Host => NetworkMode::Host,
            Self::Bridge { .. } => NetworkMode::Bridge,
            Self::Awsvpc(_) => NetworkMode::Awsvpc,
        }
    }

    /// The task's own address, if it has one.
    #[must_use]
    pub const fn address(&self) -> Option<Ipv4Addr> {
        match self {
            Self::None | Self::Host => None,
            Self::Bridge { address } if address.is_unspecified() => None,
            Self::Bridge { address } => Some(*address),
            Self::Awsvpc(eni) => Some(eni.address),
        }
    }
}

/// The interface of an awsvpc task; ECS shows it as an attachment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElasticNetworkInterface {
    /// A UUID.
    pub attachment_id: String,
    /// As in `eni-0123456789abcdef0`.
    pub id: String,
    pub vpc_id: String,
    pub subnet_id: String,
    pub security_groups: Vec<String>,
    pub address: Ipv4Addr,
    /// `02:c0` and the four octets of the address.
    pub mac: String,
    pub assign_public_ip: bool,
}

impl ElasticNetworkInterface {
    /// What an attachment says about it, by ECS's names.
    #[must_use]
    pub fn details(&self, region: &str) -> [(&'static str, String); 5] {
        [
            ("subnetId", self.subnet_id.clone()),
            ("networkInterfaceId", self.id.clone()),
            ("macAddress", self.mac.clone()),
            ("privateDnsName", private_dns_name(self.address, region)),
            ("privateIPv4Address", self.address.to_string()),
        ]
    }
}

/// EC2's resource name of an address: the oldest region has a domain of its own.
fn private_dns_name(address: Ipv4Addr, region: &str) -> String {
    let host = format!("ip-{}", address.to_string().replace('.', "-"));
    if region == "us-east-1" { format!("{host}.ec2.internal") } else { format!("{host}.{region}.compute.internal") }
}

/// The role of a task and how its containers get at its credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRole {
    pub role_arn: String,
    /// A UUID: the last part of `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`.
    pub credentials_id: String,
    /// `ASIA` + 16 characters. The secret is derived from the node's secret and this id.
    pub access_key_id: String,
}

/// What we want. Written by the API and the scheduler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Desired {
    Running,
    Stopped(StopOrder),
    /// The instance under the task is gone: nothing is asked to stop any more, and nobody sees how it ends.
    Lost(StopOrder),
}

impl Desired {
    /// Whether the task should stop.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        self.order().is_some()
    }

    /// Whether the instance under it is gone.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        matches!(self, Self::Lost(_))
    }

    /// Who wanted the stop, and why.
    #[must_use]
    pub const fn order(&self) -> Option<&StopOrder> {
        match self {
            Self::Running => None,
            Self::Stopped(order) | Self::Lost(order) => Some(order),
        }
    }
}

/// Who wanted the stop, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopOrder {
    pub code: StopCode,
    pub reason: String,
    pub at: Timestamp,
}

/// ECS's `stopCode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopCode {
    TaskFailedToStart,
    EssentialContainerExited,
    UserInitiated,
    ServiceSchedulerInitiated,
    SpotInterruption,
    TerminationNotice,
}

/// What we saw. Written by the agent alone; the status only moves down the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    pub status: TaskStatus,
    /// The host's boot id under which the task's containers were made; another one means that they are gone.
    pub boot_id: Option<String>,
    /// When the agent of another host acknowledged that it has the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<Timestamp>,
    pub pull_started_at: Option<Timestamp>,
    pub pull_stopped_at: Option<Timestamp>,
    pub connectivity_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub stopping_at: Option<Timestamp>,
    pub execution_stopped_at: Option<Timestamp>,
    pub stopped_at: Option<Timestamp>,
    pub stop_code: Option<StopCode>,
    pub stopped_reason: Option<String>,
}

impl Observed {
    /// Nothing was done yet. awsvpc tasks begin in PROVISIONING, others in PENDING.
    #[must_use]
    pub const fn new(first: TaskStatus) -> Self {
        Self {
            status: first,
            boot_id: None,
            accepted_at: None,
            pull_started_at: None,
            pull_stopped_at: None,
            connectivity_at: None,
            started_at: None,
            stopping_at: None,
            execution_stopped_at: None,
            stopped_at: None,
            stop_code: None,
            stopped_reason: None,
        }
    }
}

/// ECS's `lastStatus` of a task, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TaskStatus {
    Provisioning,
    Pending,
    Activating,
    Running,
    Deactivating,
    Stopping,
    Deprovisioning,
    Stopped,
}

impl TaskStatus {
    /// The name that clients see.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "PROVISIONING",
            Self::Pending => "PENDING",
            Self::Activating => "ACTIVATING",
            Self::Running => "RUNNING",
            Self::Deactivating => "DEACTIVATING",
            Self::Stopping => "STOPPING",
            Self::Deprovisioning => "DEPROVISIONING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// A container of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    pub name: String,
    /// A UUID, the last part of the container's ARN.
    pub id: String,
    pub image: String,
    /// What the image's tag meant when the service's deployment began; the tag may mean another image by now.
    #[serde(default)]
    pub pinned_digest: Option<String>,
    pub essential: bool,
    /// Set for the drivers `awslogs` and `json-file`, and where none is named: where its log stream lies. The record of
    /// a stream of `awslogs` is made with the task.
    pub log: Option<ContainerLog>,
    /// As text as ECS shows them.
    pub cpu: Option<String>,
    pub memory: Option<String>,
    pub memory_reservation: Option<String>,
    /// Host ports, chosen when the task was placed.
    pub ports: Vec<NetworkBinding>,
    /// GPUs of its instance that are its alone.
    #[serde(default)]
    pub gpu_ids: Vec<String>,
    pub seen: ContainerSeen,
}

impl Container {
    /// Its id as the runtime's: `TASKID-` and ten digits, the same for its whole life, before it is recorded as well.
    #[must_use]
    pub fn runtime_id(&self, task_id: &str) -> String {
        const TEN_DIGITS: u64 = 10_000_000_000;
        self.seen.runtime_id.clone().unwrap_or_else(|| {
            let hex: String = self.id.chars().filter(char::is_ascii_hexdigit).take(15).collect();
            let number = u64::from_str_radix(&hex, 16).unwrap_or(0) % TEN_DIGITS;
            format!("{task_id}-{number:010}")
        })
    }

    /// Whether it runs or has run: from then on its published ports are shown.
    #[must_use]
    pub const fn has_run(&self) -> bool {
        match self.seen.state {
            ContainerState::Pending | ContainerState::Pulled => false,
            ContainerState::Running => true,
            ContainerState::Stopped => self.seen.started_at.is_some(),
        }
    }
}

/// The log stream of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerLog {
    /// Empty for what only the node has: `json-file`, or nothing said.
    pub group: String,
    pub stream: String,
    /// The directory below `logs/`.
    pub directory: String,
}

impl ContainerLog {
    /// Whether only the node itself has it; it goes with the task's record then.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.group.is_empty()
    }
}

/// What the agent saw of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSeen {
    pub state: ContainerState,
    /// Counts from 0; a restart by the restart policy is attempt + 1.
    pub attempt: u32,
    /// As in `<task id>-<10 digits>`.
    pub runtime_id: Option<String>,
    pub image_digest: Option<String>,
    pub exit_code: Option<i32>,
    pub reason: Option<String>,
    pub started_at: Option<Timestamp>,
    pub stopped_at: Option<Timestamp>,
    /// What its health check says; `None` where it has none. Records from before there were checks lack it.
    #[serde(default)]
    pub health: Option<Health>,
    /// Since when it says so.
    #[serde(default)]
    pub health_since: Option<Timestamp>,
}

/// ECS's `healthStatus`, the better first: of several the last one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Health {
    Healthy,
    /// Not known yet, or not any more.
    Unknown,
    Unhealthy,
}

impl Health {
    /// The name that clients see.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "HEALTHY",
            Self::Unknown => "UNKNOWN",
            Self::Unhealthy => "UNHEALTHY",
        }
    }
}

/// Where a container is, in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ContainerState {
    #[default]
    Pending,
    Pulled,
    Running,
    Stopped,
}

impl ContainerState {
    /// ECS's `lastStatus` of a container.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending | Self::Pulled => "PENDING",
            Self::Running => "RUNNING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// A port that a container publishes, or a range of ports. In awsvpc and host mode both ports are equal and nothing is
/// mapped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkBinding {
    pub container_port: u16,
    pub host_port: u16,
    pub protocol: TransportProtocol,
    /// Of a `containerPortRange`: how many ports follow the first one, on both sides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more: Option<u16>,
}

impl NetworkBinding {
    /// Every port of the host that it takes.
    pub fn host_ports(&self) -> RangeInclusive<u16> {
        self.host_port..=self.host_port.saturating_add(self.more.unwrap_or(0))
    }

    /// The container's and the host's ports as `first-last`, if it is a range.
    #[must_use]
    pub fn ranges(&self) -> Option<(String, String)> {
        let text = |first: u16, more: u16| format!("{first}-{}", first.saturating_add(more));
        self.more.map(|more| (text(self.container_port, more), text(self.host_port, more)))
    }
}

/// A client token of RunTask or StartTask, and what it stood for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientToken {
    pub tenant: Tenant,
    pub cluster: String,
    pub token: String,
    /// SHA-256 of the request without the token, in hex.
    pub request_digest: String,
    pub task_ids: Vec<String>,
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn container(essential: bool, health: Option<Health>) -> Container {
        let seen = ContainerSeen { health, ..ContainerSeen::default() };
        Container { essential, seen, ..fixture::container("c") }
    }

    #[test]
    fn a_runtime_id_is_the_task_and_ten_digits_and_never_changes() {
        let mut container = Container { id: "3f0c2d4e-1111-4222-8333-444455556666".into(), ..fixture::container("c") };
        let id = container.runtime_id("0af1");
        let digits = id.strip_prefix("0af1-").unwrap();
        assert!(digits.len() == 10 && digits.bytes().all(|byte| byte.is_ascii_digit()), "{id}");
        container.seen.runtime_id = Some(id.clone());
        assert_eq!(container.runtime_id("0af1"), id);
    }

    #[test]
    fn a_task_is_as_healthy_as_the_worst_of_its_essential_containers_with_a_check() {
        use Health::{Healthy as H, Unhealthy as U, Unknown as N};
        let of = |essential: &[Health], side: Option<Health>| {
            let mut containers = vec![container(true, None), container(false, side)];
            containers.extend(essential.iter().map(|health| container(true, Some(*health))));
            Task { containers, ..fixture::task("0af1") }.health()
        };
        for side in [None, Some(H), Some(N), Some(U)] {
            assert_eq!(of(&[], side), N, "nothing to go by");
            for (checks, wanted) in [
                (&[H][..], H),
                (&[N], N),
                (&[U], U),
                (&[H, H], H),
                (&[H, N], N),
                (&[N, U], U),
                (&[H, U], U),
                (&[H, N, U], U),
                (&[H, N, H], N),
            ] {
                assert_eq!(of(checks, side), wanted, "{checks:?} {side:?}");
            }
        }
    }

    #[test]
    fn a_record_from_before_there_were_checks_can_be_read() {
        let old = r#"{"state":"Running","attempt":0,"runtime_id":"r","image_digest":null,"exit_code":null,
            "reason":null,"started_at":5,"stopped_at":null}"#;
        let seen: ContainerSeen = serde_json::from_str(old).unwrap();
        assert_eq!((seen.state, seen.health), (ContainerState::Running, None));
    }
}
