//! Starts tasks from a template: place, record, log streams, in the caller's transaction.
//!
//! In: a [`TaskTemplate`], how many or where. Out: the tasks that have a place or wait for one, and a refusal for each of
//! the others.
//!
//! Holds: a task is in the store with its place, its ports and its address, or it waits for the group of its capacity
//! provider to grow ([`waiting`]); of what was refused nothing is left.
//! Why here and not in the API: RunTask, the service scheduler, daemons and scheduled tasks all start tasks this way.

mod credentials;
mod provider;
mod record;
mod reservation;
mod scaling;
mod waiting;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use cove_model::container_instance::ContainerInstance;
use cove_model::task::{LaunchType, Task};
use cove_model::task_definition::{
    ContainerDefinition, PortMapping, ResourceRequirement, ResourceType, TaskDefinition, TransportProtocol,
};
use cove_model::task_template::{
    PlacementConstraint, PlacementConstraintType, PlacementStrategy, PlacementStrategyType, TaskTemplate,
};
use cove_store::{Read, Tx, keys};

use crate::host::HostFacts;
use crate::place::{
    self, BadExpression, BadRequest, Constraint, Expression, PortRequest, Reason, Refusal, Request, Snapshot, Strategy,
    Target,
};

pub use provider::Shares;
pub use reservation::reservations;
pub use waiting::watch_waiting;
#[cfg(test)]
pub(crate) use waiting::{place_waiting, waiting};

/// What came of it.
#[derive(Debug, Default)]
pub struct Launched {
    pub tasks: Vec<Task>,
    pub refusals: Vec<Refusal>,
}

/// A template that nothing can be started from.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// Of the request, as it stands in this cluster.
    #[error(transparent)]
    Place(#[from] BadRequest),
    #[error("The task definition {0} does not exist")]
    NoDefinition(String),
    #[error("Invalid expression: {0}")]
    Expression(#[from] BadExpression),
    #[error("Invalid field '{field}' for placement strategy '{kind}'.")]
    Strategy { kind: &'static str, field: String },
}

/// Starts tasks. `shares` says what each capacity provider has of the same template already.
///
/// # Errors
/// When the template makes no sense here; nothing was written then.
pub fn launch(
    tx: &mut Tx<'_>,
    host: &HostFacts,
    template: &TaskTemplate,
    target: Target,
    shares: &Shares,
    seed: u64,
) -> Result<Launched, LaunchError> {
    start(tx, host, template, target, Lack::Waits, shares, seed)
}

/// As [`launch`]; what has no place, although its group may have grown for it, is refused and does not wait.
///
/// # Errors
/// As [`launch`].
pub(crate) fn launch_now(
    tx: &mut Tx<'_>,
    host: &HostFacts,
    template: &TaskTemplate,
    target: Target,
    shares: &Shares,
    seed: u64,
) -> Result<Launched, LaunchError> {
    start(tx, host, template, target, Lack::Refused, shares, seed)
}

/// What becomes of tasks that lack a place on a group that grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lack {
    Waits,
    Refused,
}

fn start(
    tx: &mut Tx<'_>,
    host: &HostFacts,
    template: &TaskTemplate,
    target: Target,
    lack: Lack,
    shares: &Shares,
    seed: u64,
) -> Result<Launched, LaunchError> {
    let definition = definition(tx, template)?;
    let count = target.count();
    let may_wait = matches!(target, Target::Count(_)) && lack == Lack::Waits;
    let providers = provider::divide(&template.placing.strategy, shares, count);
    let growing = if may_wait { scaling::growing(tx, &template.tenant, &providers) } else { BTreeSet::new() };
    let pools = provider::pools(tx, template, &providers);
    let request = Request { pools, ..request(template, &definition, target, seed)? };
    let there = tx.sum::<Task>().number(|taken| taken.tasks);
    let room = host.tasks_max.saturating_sub(usize::try_from(there).unwrap_or(0));
    let mut placed = match scaling::place(tx, host, &request, &providers) {
        // Those of other providers hear that theirs has nothing.
        Err(BadRequest::NoContainerInstances) if !growing.is_empty() => vec![Err(vec![no_capacity()]); count],
        placed => placed?,
    };
    let mut launched = Launched::default();
    for _ in placed.drain(room.min(placed.len())..) {
        launched.refusals.push(at_the_limit(host.tasks_max));
    }
    let mut seats = None;
    let mut providers = providers.into_iter();
    for placed in placed {
        let provider = providers.next();
        let waits = provider.as_ref().is_some_and(|name| growing.contains(name));
        match placed {
            Ok(placed) => launched.tasks.push(record::placed(tx, template, &definition, provider, placed)),
            Err(refusals) if waits && !scaling::is_in_vain(&refusals) => {
                let seats = seats.get_or_insert_with(|| waiting::seats(tx, &template.tenant, &template.cluster));
                if let Some(left) = seats.checked_sub(1) {
                    *seats = left;
                    launched.tasks.push(record::waiting(tx, template, &definition, provider));
                } else {
                    launched.refusals.push(too_many_wait());
                }
            }
            Err(refusals) => launched.refusals.extend(refusals),
        }
    }
    Ok(launched)
}

fn definition(tx: &Tx<'_>, template: &TaskTemplate) -> Result<Arc<TaskDefinition>, LaunchError> {
    let key = keys::definition(&template.tenant, &template.family, template.revision);
    tx.get::<TaskDefinition>(&key).ok_or_else(|| LaunchError::NoDefinition(template.definition_arn()))
}

/// What placement is asked.
fn request(
    template: &TaskTemplate,
    definition: &TaskDefinition,
    target: Target,
    seed: u64,
) -> Result<Request, LaunchError> {
    let interface = template.interface.as_ref();
    Ok(Request {
        tenant: template.tenant.clone(),
        cluster: template.cluster.clone(),
        target,
        pools: Vec::new(),
        launch_type: template.placing.launch_type,
        network_mode: template.network_mode,
        cpu: template.size.cpu,
        memory_mib: template.size.memory_mib,
        ports: definition.document.container_definitions.iter().map(ports).collect(),
        gpus: definition.document.container_definitions.iter().map(|it| gpus(template, it)).collect(),
        group: template.group.clone(),
        constraints: template.constraints.iter().map(constraint).collect::<Result<_, _>>()?,
        strategies: strategies(template)?,
        required_attributes: definition.requires_attributes.clone(),
        subnets: interface.map(|it| it.subnets.clone()).unwrap_or_default(),
        security_groups: interface.map(|it| it.security_groups.clone()).unwrap_or_default(),
        assign_public_ip: interface.is_some_and(|it| it.assign_public_ip),
        seed,
    })
}

/// The template's; on managed instances ECS's own: over the zones, and then close together.
fn strategies(template: &TaskTemplate) -> Result<Vec<Strategy>, LaunchError> {
    if template.placing.launch_type == LaunchType::ManagedInstances {
        return Ok(vec![Strategy::Spread("attribute:ecs.availability-zone".to_owned()), Strategy::BinpackMemory]);
    }
    template.strategies.iter().map(strategy).collect()
}

/// Asks for one task more without starting it: why there is no place, or nothing when there is one.
///
/// # Errors
/// As [`launch`].
pub fn probe(
    source: &impl Read,
    host: &HostFacts,
    template: &TaskTemplate,
    definition: &TaskDefinition,
) -> Result<Vec<Refusal>, LaunchError> {
    let providers = provider::divide(&template.placing.strategy, &Shares::default(), 1);
    let pools = provider::pools(source, template, &providers);
    let request = Request { pools, ..request(template, definition, Target::Count(1), 0)? };
    let snapshot = Snapshot::read(source, host, &template.tenant, &template.cluster);
    let placed = place::place(&snapshot, &request)?;
    Ok(placed.into_iter().filter_map(Result::err).flatten().collect())
}

/// What an instance must be for a template, however much is left of it.
pub struct Suitability {
    /// `None`: they make no sense, and no instance is suitable.
    constraints: Option<Vec<Constraint>>,
    definition: Arc<TaskDefinition>,
}

impl Suitability {
    /// Read once, to be asked of many instances. `constraints`: all that are to be met.
    #[must_use]
    pub fn of<'a>(
        constraints: impl IntoIterator<Item = &'a PlacementConstraint>,
        definition: Arc<TaskDefinition>,
    ) -> Self {
        Self { constraints: constraints.into_iter().map(constraint).collect::<Result<_, _>>().ok(), definition }
    }

    /// Whether the instance is that.
    #[must_use]
    pub fn holds(&self, instance: &ContainerInstance) -> bool {
        let required = &self.definition.requires_attributes;
        self.constraints.as_ref().is_some_and(|all| place::is_suitable(instance, required, all))
    }
}

/// Reads a constraint; one without a type holds nothing back.
///
/// # Errors
/// When the expression of a `memberOf` makes no sense.
pub fn constraint(given: &PlacementConstraint) -> Result<Constraint, LaunchError> {
    match given.kind {
        Some(PlacementConstraintType::DistinctInstance) => Ok(Constraint::DistinctInstance),
        Some(PlacementConstraintType::MemberOf) | None => {
            Ok(Constraint::MemberOf(Expression::parse(given.expression.as_deref().unwrap_or_default())?))
        }
    }
}

/// Reads a strategy.
///
/// # Errors
/// When AWS has no such strategy.
pub fn strategy(given: &PlacementStrategy) -> Result<Strategy, LaunchError> {
    let kind = given.kind.map_or("null", PlacementStrategyType::as_str);
    let field = given.field.as_deref();
    let unknown = || LaunchError::Strategy { kind, field: field.unwrap_or("null").to_owned() };
    Strategy::parse(kind, field).ok_or_else(unknown)
}

/// What the container publishes, if it has a network; registration has checked the numbers.
fn ports(document: &ContainerDefinition) -> Vec<PortRequest> {
    if document.disable_networking == Some(true) {
        return Vec::new();
    }
    let port = |value: Option<i32>| value.and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0);
    let read = |mapping: &PortMapping| {
        let (first, more) = match mapping.port_range() {
            Some((first, last)) => (first, Some(last - first)),
            None => (port(mapping.container_port)?, None),
        };
        Some(PortRequest {
            container_port: first,
            host_port: port(mapping.host_port),
            protocol: mapping.protocol.unwrap_or(TransportProtocol::Tcp),
            more,
        })
    };
    document.port_mappings.iter().filter_map(read).collect()
}

/// How many GPUs the container wants: what the override says, else the definition; registration has checked the number.
fn gpus(template: &TaskTemplate, document: &ContainerDefinition) -> usize {
    let given = template.overrides.of_container(document.name.as_deref()).map(|it| &it.resource_requirements);
    let wanted = given.filter(|given| !given.is_empty()).unwrap_or(&document.resource_requirements);
    let is_gpu = |it: &&ResourceRequirement| it.kind == Some(ResourceType::Gpu);
    let count = |it: &ResourceRequirement| it.value.as_deref()?.parse::<usize>().ok();
    wanted.iter().filter(is_gpu).filter_map(count).sum()
}

const fn no_capacity() -> Refusal {
    Refusal { arn: None, reason: Reason::NoCapacity, detail: None }
}

const fn too_many_wait() -> Refusal {
    Refusal { arn: None, reason: Reason::ProvisioningLimit, detail: None }
}

fn at_the_limit(tasks_max: usize) -> Refusal {
    let detail = format!("this node runs at most {tasks_max} tasks (tasks_max)");
    Refusal { arn: None, reason: Reason::TaskLimit, detail: Some(detail) }
}
