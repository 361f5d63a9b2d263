//! Chooses a container instance, host ports and an address for each task that is to start.
//!
//! In: a [`Snapshot`] and a [`Request`]. Out: for each task a [`Placed`] or the reasons why not, one per instance that
//! was looked at, in AWS's words. No clock, no store, no await; the same seed gives the same answer.
//!
//! Holds: an instance is never promised more CPU, memory, ports or interfaces than it has; no host port and no address is given to
//! two live tasks of a host; on another host dynamic ports and addresses are its own agent's; later tasks of one request see what the earlier ones took.
//! Why a full scan of the instances: tens of them at most, and the answer is easy to explain to a user. Of the tasks that
//! are there the store keeps the sums.

mod address;
mod choose;
mod expression;
mod ledger;
mod port;
mod reserve;
mod seed;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use cove_model::arn::Tenant;
use cove_model::capacity_provider::Pool;
use cove_model::container_instance::{ContainerInstance, ContainerInstanceStatus, container_instance_arn};
use cove_model::network::{SecurityGroup, Subnet};
use cove_model::taken::Taken;
use cove_model::task::{ElasticNetworkInterface, LaunchType, NetworkBinding, Placement, Task, TaskNetwork};
use cove_model::task_definition::{Attribute, NetworkMode, TransportProtocol};
use cove_store::{Prefix, Read, Summed};

pub use address::BRIDGE_NETWORK;
pub use choose::is_suitable;
pub use cove_model::container_instance::remaining;
pub use expression::{BadExpression, Expression, Occupancy};

pub use reserve::Reserve;

use crate::host::HostFacts;
use ledger::Ledger;
use seed::Seed;

/// The Fargate platform that tasks run on, as AWS names its newest.
const PLATFORM_VERSION: &str = "1.4.0";
const PLATFORM_FAMILY: &str = "Linux";
/// Why a provider of managed instances has none for a task.
const NOTHING_MADE: &str = "no instance type that its requirements allow holds the task in its zones";

/// What there is: everything that placement looks at.
#[derive(Debug)]
pub struct Snapshot<'a> {
    pub host: &'a HostFacts,
    /// The container instances of the request's cluster.
    pub instances: Vec<Arc<ContainerInstance>>,
    /// By every task of the node that is not STOPPED, of all tenants: host ports and memory are shared by all.
    pub taken: Summed<'a, Taken>,
    /// The tenant's subnets.
    pub subnets: Vec<Arc<Subnet>>,
    /// The tenant's security groups.
    pub security_groups: Vec<Arc<SecurityGroup>>,
    /// What daemons of the cluster need on managed instances.
    pub reserves: Vec<Reserve>,
}

impl<'a> Snapshot<'a> {
    /// Reads it from the store, inside a transaction or outside.
    #[must_use]
    pub fn read(source: &'a impl Read, host: &'a HostFacts, tenant: &Tenant, cluster: &str) -> Self {
        Self {
            host,
            instances: source.scan(&Prefix::parent(tenant, cluster)),
            taken: source.sum::<Task>(),
            subnets: source.scan(&Prefix::tenant(tenant)),
            security_groups: source.scan(&Prefix::tenant(tenant)),
            reserves: Reserve::all(source, tenant, cluster),
        }
    }
}

/// What is asked for: a number of equal tasks.
#[derive(Debug, Clone)]
pub struct Request {
    pub tenant: Tenant,
    pub cluster: String,
    pub target: Target,
    /// For each task of a count in turn: where its instance must be from. Empty: any instance that is nobody's alone.
    pub pools: Vec<Option<Pool>>,
    pub launch_type: LaunchType,
    pub network_mode: NetworkMode,
    /// What one task takes, in 1/1024 of a core: the task's size, or the sum over its containers.
    pub cpu: i64,
    /// What one task takes: the task's size, or the sum over its containers of memoryReservation, else memory.
    pub memory_mib: i64,
    /// One entry per container, in the order of the task definition; empty where it publishes nothing.
    pub ports: Vec<Vec<PortRequest>>,
    /// How many GPUs each container wants, in the same order.
    pub gpus: Vec<usize>,
    /// The task group, as in `family:web`: what distinctInstance and spread look at.
    pub group: String,
    pub constraints: Vec<Constraint>,
    pub strategies: Vec<Strategy>,
    /// The definition's `requiresAttributes`.
    pub required_attributes: Vec<Attribute>,
    /// awsvpc only.
    pub subnets: Vec<String>,
    /// awsvpc only; empty means the VPC's default group.
    pub security_groups: Vec<String>,
    pub assign_public_ip: bool,
    /// Random: decides between equals, where the search for ports and addresses begins, and the ids of interfaces.
    pub seed: u64,
}

/// Where the tasks may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// RunTask: so many tasks, wherever they fit.
    Count(usize),
    /// StartTask: one task on each of these instances, by id.
    Instances(Vec<String>),
}

impl Target {
    /// How many tasks are asked for.
    #[must_use]
    pub const fn count(&self) -> usize {
        match self {
            Self::Count(count) => *count,
            Self::Instances(ids) => ids.len(),
        }
    }
}

/// A port that a container wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRequest {
    pub container_port: u16,
    /// `None`: any that is free (bridge mode). Host and awsvpc mode use the container's port.
    pub host_port: Option<u16>,
    pub protocol: TransportProtocol,
    /// Of a range: how many ports follow, and stay next to each other on the host.
    pub more: Option<u16>,
}

/// A placement constraint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Constraint {
    /// No two tasks of the group on one instance.
    DistinctInstance,
    /// Only instances that the expression is true of.
    MemberOf(Expression),
}

/// A placement strategy; earlier ones decide first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Strategy {
    Random,
    /// Fewest tasks of the group per value of the field: `instanceId`, `host` or `attribute:NAME`.
    Spread(String),
    BinpackCpu,
    BinpackMemory,
}

impl Strategy {
    /// Reads the ECS shape's `type` and `field`. `None` when AWS has no such strategy.
    #[must_use]
    pub fn parse(kind: &str, field: Option<&str>) -> Option<Self> {
        match (kind, field) {
            ("random", _) => Some(Self::Random),
            ("spread", Some(field)) if choose::is_spread_field(field) => Some(Self::Spread(field.to_owned())),
            ("binpack", Some(field)) if field.eq_ignore_ascii_case("cpu") => Some(Self::BinpackCpu),
            ("binpack", Some(field)) if field.eq_ignore_ascii_case("memory") => Some(Self::BinpackMemory),
            _ => None,
        }
    }
}

/// A task's place, with everything that was chosen for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    pub placement: Placement,
    pub network: TaskNetwork,
    /// One entry per container, in the request's order.
    pub ports: Vec<Vec<NetworkBinding>>,
    /// Ids of the instance's GPUs, for each container in the same order.
    pub gpus: Vec<Vec<String>>,
}

/// Why a task was not put somewhere: one ECS `Failure`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The container instance; absent for Fargate.
    pub arn: Option<String>,
    pub reason: Reason,
    pub detail: Option<String>,
}

/// AWS's failure reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    Missing,
    Inactive,
    /// The instance's agent is not connected.
    Agent,
    Attribute,
    MemberOf,
    DistinctInstance,
    Cpu,
    Memory,
    Gpu,
    Ports,
    Eni,
    /// The capacity provider's group has no ACTIVE instance.
    NoCapacity,
    /// The node runs as many tasks as it may.
    TaskLimit,
    /// As many tasks wait for capacity in the cluster as may.
    ProvisioningLimit,
}

impl Reason {
    /// The text that clients see.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "MISSING",
            Self::Inactive => "INACTIVE",
            Self::Agent => "AGENT",
            Self::Attribute => "ATTRIBUTE",
            Self::MemberOf => "MemberOf placement constraint unsatisfied.",
            Self::DistinctInstance => "DistinctInstance placement constraint unsatisfied.",
            Self::Cpu => "RESOURCE:CPU",
            Self::Memory => "RESOURCE:MEMORY",
            Self::Gpu => "RESOURCE:GPU",
            Self::Ports => "RESOURCE:PORTS",
            Self::Eni => "RESOURCE:ENI",
            Self::NoCapacity => "No Container Instances were found in your capacity provider.",
            // In Fargate's words for its own quota.
            Self::TaskLimit => "You've reached the limit on the number of tasks you can run concurrently",
            Self::ProvisioningLimit => "Tasks provisioning capacity limit exceeded.",
        }
    }
}

/// A request that no instance could ever answer; the API turns it into its own error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    #[error("No Container Instances were found in your cluster.")]
    NoContainerInstances,
    #[error("awsvpc needs at least one subnet")]
    NoSubnets,
    #[error("The subnet ID '{0}' does not exist")]
    UnknownSubnet(String),
    #[error("The security group '{0}' does not exist")]
    UnknownSecurityGroup(String),
    #[error("subnets and security groups must belong to the same VPC")]
    SeveralVpcs,
}

/// Places each task of the request: what it got, or why it got nothing.
///
/// # Errors
/// When the request itself makes no sense here.
pub fn place(snapshot: &Snapshot<'_>, request: &Request) -> Result<Vec<Result<Placed, Vec<Refusal>>>, BadRequest> {
    let mut seed = Seed::new(request.seed);
    let mut ledger = Ledger::of(snapshot, request);
    let network = address::Choice::of(snapshot, request)?;
    if request.launch_type == LaunchType::Fargate {
        let mut zones = address::Zones::of(snapshot, request, &network, &mut seed);
        return Ok((0..request.target.count())
            .map(|_| fargate(snapshot, request, &network, &mut zones, &mut ledger, &mut seed))
            .collect());
    }
    match &request.target {
        Target::Count(count) => {
            let right = right(snapshot, request, &network)?;
            let mut anywhere = Anywhere { snapshot, request, network: &network, right, refused: HashMap::new() };
            Ok((0..*count).map(|number| anywhere.next(number, &mut ledger, &mut seed)).collect())
        }
        Target::Instances(ids) => {
            let mut place_on = |id: &String| {
                let instance = named(snapshot, request, id)?;
                if instance.managed_by.is_some() {
                    host_room(snapshot, request, &ledger)?;
                }
                choose::fits(instance, request, &network, &ledger)?;
                assign(instance, snapshot, request, &network, &mut ledger, &mut seed)
            };
            Ok(ids.iter().map(|id| place_on(id).map_err(|refusal| vec![refusal])).collect())
        }
    }
}

/// ACTIVE instances, and whether each is what the request asks for: that stays the same from task to task.
type Right<'a> = Vec<(&'a ContainerInstance, Result<(), Refusal>)>;

fn right<'a>(
    snapshot: &'a Snapshot<'_>,
    request: &Request,
    network: &address::Choice<'_>,
) -> Result<Right<'a>, BadRequest> {
    let all = snapshot.instances.iter().map(|instance| &**instance);
    let is_external = request.launch_type == LaunchType::External;
    let is_meant = |one: &&ContainerInstance| one.is_external() == is_external;
    let active = all.filter(|instance| instance.status == ContainerInstanceStatus::Active).filter(is_meant);
    let right: Right<'a> = active.map(|one| (one, choose::is_right(one, request, network))).collect();
    if right.is_empty() && request.launch_type != LaunchType::ManagedInstances {
        return Err(BadRequest::NoContainerInstances);
    }
    Ok(right)
}

/// Equal tasks that go wherever they fit, one after the other.
struct Anywhere<'a> {
    snapshot: &'a Snapshot<'a>,
    request: &'a Request,
    network: &'a address::Choice<'a>,
    right: Right<'a>,
    /// Where one was refused there is no room for those behind it either.
    refused: HashMap<Option<&'a Pool>, Vec<Refusal>>,
}

impl Anywhere<'_> {
    fn next(&mut self, number: usize, ledger: &mut Ledger<'_>, seed: &mut Seed) -> Result<Placed, Vec<Refusal>> {
        let request = self.request;
        let pool = request.pools.get(number).and_then(Option::as_ref);
        if let Some(refusals) = self.refused.get(&pool) {
            return Err(refusals.clone());
        }
        let is_managed = request.launch_type == LaunchType::ManagedInstances;
        if is_managed {
            host_room(self.snapshot, request, ledger).map_err(|refusal| vec![refusal])?;
        }
        let (candidates, wrong) = open(&self.right, pool);
        if candidates.is_empty() && wrong.is_empty() {
            let detail = is_managed.then(|| NOTHING_MADE.to_owned());
            return Err(vec![Refusal { arn: None, reason: Reason::NoCapacity, detail }]);
        }
        place_one(candidates, self.snapshot, request, self.network, ledger, seed)
            .map_err(|refusals| wrong.into_iter().cloned().chain(refusals).collect())
            .inspect_err(|refusals: &Vec<Refusal>| drop(self.refused.insert(pool, refusals.clone())))
    }
}

/// The instances of the pool that are right, and what is wrong with the others. A managed one takes only what was meant for
/// it.
fn open<'a, 'b>(right: &'b Right<'a>, pool: Option<&Pool>) -> (Vec<&'a ContainerInstance>, Vec<&'b Refusal>) {
    let is_open = |one: &ContainerInstance| pool.map_or(one.managed_by.is_none(), |pool| pool.has(one));
    let (mut candidates, mut wrong) = (Vec::with_capacity(right.len()), Vec::new());
    for (instance, is_right) in right.iter().filter(|(one, _)| is_open(one)) {
        match is_right {
            Ok(()) => candidates.push(*instance),
            Err(refusal) => wrong.push(refusal),
        }
    }
    (candidates, wrong)
}

/// Tries the instance that the strategies like best, then the next: one may have room, and its zone no address.
fn place_one(
    mut candidates: Vec<&ContainerInstance>,
    snapshot: &Snapshot<'_>,
    request: &Request,
    network: &address::Choice<'_>,
    ledger: &mut Ledger<'_>,
    seed: &mut Seed,
) -> Result<Placed, Vec<Refusal>> {
    let mut failed = Vec::new();
    loop {
        let (fitting, refusals) = choose::fitting(&candidates, request, ledger);
        let Some(at) = choose::best(&fitting, request, &snapshot.instances, ledger, seed) else {
            return Err(refusals.into_iter().chain(failed).collect());
        };
        let best = fitting[at].0;
        match assign(best, snapshot, request, network, ledger, seed) {
            Ok(placed) => return Ok(placed),
            // They are the node's: what this one cannot have, no other can.
            Err(refusal) if refusal.reason == Reason::Ports => {
                let has_reason = |arn: &String| refusals.iter().any(|known| known.arn.as_ref() == Some(arn));
                let others = candidates.iter().map(|one| one.arn()).filter(|arn| !has_reason(arn));
                let same = others.map(|arn| Refusal { arn: Some(arn), ..refusal.clone() }).collect::<Vec<_>>();
                return Err(refusals.into_iter().chain(failed).chain(same).collect());
            }
            // Nothing was taken.
            Err(refusal) => failed.push(refusal),
        }
        candidates.retain(|instance| instance.id != best.id);
    }
}

fn named<'a>(snapshot: &'a Snapshot<'_>, request: &Request, id: &str) -> Result<&'a ContainerInstance, Refusal> {
    let arn = || Some(container_instance_arn(&request.tenant, &request.cluster, id));
    let found = snapshot.instances.iter().find(|instance| instance.id == id);
    let instance = found.ok_or_else(|| Refusal { arn: arn(), reason: Reason::Missing, detail: None })?;
    match instance.status {
        ContainerInstanceStatus::Active => Ok(instance),
        ContainerInstanceStatus::Draining | ContainerInstanceStatus::Inactive => {
            Err(Refusal { arn: arn(), reason: Reason::Inactive, detail: None })
        }
    }
}

/// Takes ports and an address on an instance that has room, and writes it all down.
fn assign(
    instance: &ContainerInstance,
    snapshot: &Snapshot<'_>,
    request: &Request,
    network: &address::Choice<'_>,
    ledger: &mut Ledger<'_>,
    seed: &mut Seed,
) -> Result<Placed, Refusal> {
    let refuse = |reason, detail| Refusal { arn: Some(instance.arn()), reason, detail };
    let of_ports = |detail| refuse(Reason::Ports, Some(detail));
    let (ports, network) = if instance.is_elsewhere() {
        (port::fixed(request, ledger, instance).map_err(of_ports)?, address::elsewhere(request))
    } else {
        let ports = port::choose(request, snapshot.host, ledger, seed).map_err(of_ports)?;
        let zone = Some(instance.availability_zone.as_str());
        let network = network.take(request, zone, ledger, seed);
        (ports, network.map_err(|detail| refuse(Reason::Eni, Some(detail)))?)
    };
    ledger.take_ports(request.network_mode, instance, &ports);
    let gpus = ledger.take_instance(instance, request);
    let placement = Placement {
        launch_type: request.launch_type,
        container_instance: Some(instance.id.clone()),
        capacity_provider: None,
        availability_zone: instance.availability_zone.clone(),
        platform_version: None,
        platform_family: None,
        cpu: request.cpu,
        memory_mib: request.memory_mib,
        elsewhere: instance.is_elsewhere(),
    };
    Ok(Placed { placement, network, ports, gpus })
}

/// Whether the host has memory for one more task on capacity that nobody declared: Fargate, managed instances.
fn host_room(snapshot: &Snapshot<'_>, request: &Request, ledger: &Ledger<'_>) -> Result<(), Refusal> {
    let free = snapshot.host.fargate_memory_mib() - ledger.host_memory_mib();
    if request.memory_mib <= free {
        return Ok(());
    }
    let detail =
        format!("the task needs {} MiB, {} MiB are left for Fargate on this host", request.memory_mib, free.max(0));
    Err(Refusal { arn: None, reason: Reason::Memory, detail: Some(detail) })
}

/// Fargate: no instance; the host's memory is promised up to the overcommit, CPU is shared.
fn fargate(
    snapshot: &Snapshot<'_>,
    request: &Request,
    network: &address::Choice<'_>,
    zones: &mut address::Zones,
    ledger: &mut Ledger<'_>,
    seed: &mut Seed,
) -> Result<Placed, Vec<Refusal>> {
    let refuse = |reason, detail| vec![Refusal { arn: None, reason, detail: Some(detail) }];
    host_room(snapshot, request, ledger).map_err(|refusal| vec![refusal])?;
    let ports = port::choose(request, snapshot.host, ledger, seed).map_err(|detail| refuse(Reason::Ports, detail))?;
    let network = zones.take(network, request, ledger, seed).map_err(|detail| refuse(Reason::Eni, detail))?;
    ledger.take_host(request);
    let placement = Placement {
        launch_type: LaunchType::Fargate,
        container_instance: None,
        capacity_provider: None,
        availability_zone: zone_of(snapshot, &network),
        platform_version: Some(PLATFORM_VERSION.to_owned()),
        platform_family: Some(PLATFORM_FAMILY.to_owned()),
        cpu: request.cpu,
        memory_mib: request.memory_mib,
        elsewhere: false,
    };
    Ok(Placed { placement, network, ports, gpus: vec![Vec::new(); request.gpus.len()] })
}

fn zone_of(snapshot: &Snapshot<'_>, network: &TaskNetwork) -> String {
    let TaskNetwork::Awsvpc(ElasticNetworkInterface { subnet_id, .. }) = network else { return String::new() };
    let subnet = snapshot.subnets.iter().find(|subnet| subnet.id == *subnet_id);
    subnet.map_or_else(String::new, |subnet| subnet.availability_zone.clone())
}
