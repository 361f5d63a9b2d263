//! Checks a task definition as RegisterTaskDefinition does, and fills in what AWS fills in.
//!
//! In: the client's document. Out: the document as ECS shows it from then on, with what it requires and where it can
//! run; or the refusal, in AWS's words where they are known. No clock, no store.
//!
//! Holds: a document that passes has at least one essential container, unique container names, known volumes and
//! dependencies, and a size that its compatibilities allow. Checking a checked document changes nothing.

use std::collections::BTreeSet;

use cove_model::arn::Arn;
use cove_model::task_definition::{Attribute, Compatibility, ContainerDefinition, NetworkMode, TaskDefinitionDocument};
use cove_scheduler::place::Expression;

use super::{attributes, container, dependency, fargate, managed, port, size, volume};
use crate::ecs::error::EcsError;

/// ECS's quota of containers per task definition.
const CONTAINERS_MAX: usize = 10;
/// ECS's quota of placement constraints, here and at run time together.
pub(crate) const CONSTRAINTS_MAX: usize = 10;
/// IAM's longest name of a role, and the longest path before it.
const ROLE_MAX: usize = 64;
const ROLE_PATH_MAX: usize = 512;
/// Names of families, containers and volumes.
const NAME_MAX: usize = 255;

/// ECS's limit of a task definition in bytes.
const LENGTH_MAX: usize = 65_536;

/// A document that may be registered.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) document: TaskDefinitionDocument,
    pub(crate) requires_attributes: Vec<Attribute>,
    pub(crate) compatibilities: Vec<Compatibility>,
}

/// The family and the sizes that a task-level member or an override gave, as numbers.
pub(super) struct TaskSize {
    pub(super) cpu: Option<i64>,
    pub(super) memory_mib: Option<i64>,
}

/// Checks and normalises the whole document.
pub(crate) fn check(mut document: TaskDefinitionDocument) -> Result<Checked, EcsError> {
    check_family(document.family.as_deref())?;
    check_length(&document)?;
    let size = normalise_size(&mut document)?;
    managed::normalise(&mut document);
    check_container_list(&document.container_definitions)?;
    volume::check_volumes(&mut document)?;
    let mode = document.network_mode.unwrap_or(NetworkMode::Bridge);
    let has_execution_role = document.execution_role_arn.is_some();
    for definition in &mut document.container_definitions {
        container::normalise(definition);
        container::check(definition, size.memory_mib.is_some(), has_execution_role)?;
        port::normalise(definition, mode)?;
        port::check_network_members(definition, mode)?;
    }
    port::check_host_ports(&document.container_definitions, mode)?;
    port::check_number(&document.container_definitions, mode)?;
    volume::check_mounts(&document)?;
    dependency::check(&document.container_definitions)?;
    check_sums(&document, &size)?;
    check_task_members(&document, mode)?;
    if document.requires_compatibilities.contains(&Compatibility::Fargate) {
        fargate::check(&document, &size)?;
    }
    managed::check(&document, mode)?;
    let requires_attributes = attributes::required(&document);
    let compatibilities = attributes::compatibilities(&document, &size);
    Ok(Checked { document, requires_attributes, compatibilities })
}

/// As JSON without blanks.
fn check_length(document: &TaskDefinitionDocument) -> Result<(), EcsError> {
    let length = serde_json::to_vec(document).map_or(usize::MAX, |json| json.len());
    if length <= LENGTH_MAX {
        return Ok(());
    }
    Err(EcsError::client(format!("Actual length: '{length}'. Max allowed length is '{LENGTH_MAX}' bytes.")))
}

/// Letters, digits, hyphens and underscores.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= NAME_MAX
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// An IAM role's ARN or name, or its name with its path.
fn is_role(text: &str) -> bool {
    let is_account = |text: &str| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    let whole = match Arn::parse(text) {
        Some(arn) if arn.service == "iam" && arn.region.is_empty() && is_account(arn.account) => arn.path_of("role"),
        Some(_) => None,
        None => Some(text),
    };
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
    whole.is_some_and(|whole| {
        let (path, name) = whole.rsplit_once('/').unwrap_or(("", whole));
        let is_path = path.len() <= ROLE_PATH_MAX && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
        is_path && (1..=ROLE_MAX).contains(&name.len()) && name.bytes().all(in_name)
    })
}

fn check_family(family: Option<&str>) -> Result<(), EcsError> {
    match family {
        None | Some("") => Err(EcsError::client("Family can not be blank.")),
        Some(family) if family.len() > NAME_MAX => Err(EcsError::client("Family longer than 255.")),
        Some(family) if !is_name(family) => Err(EcsError::client("Family contains invalid characters.")),
        Some(_) => Ok(()),
    }
}

fn normalise_size(document: &mut TaskDefinitionDocument) -> Result<TaskSize, EcsError> {
    let cpu = document.cpu.as_deref().map(size::parse_cpu).transpose()?;
    let memory_mib = document.memory.as_deref().map(size::parse_memory).transpose()?;
    document.cpu = cpu.map(|units| units.to_string());
    document.memory = memory_mib.map(|mib| mib.to_string());
    Ok(TaskSize { cpu, memory_mib })
}

fn check_container_list(containers: &[ContainerDefinition]) -> Result<(), EcsError> {
    if containers.is_empty() {
        return Err(EcsError::client("Container list cannot be empty."));
    }
    if containers.len() > CONTAINERS_MAX {
        return Err(EcsError::client("Too many containers."));
    }
    let mut names = BTreeSet::new();
    for definition in containers {
        let name = definition.name.as_deref().unwrap_or_default();
        if name.is_empty() {
            return Err(EcsError::client("Container.name should not be null or empty."));
        }
        if !is_name(name) {
            return Err(EcsError::client("Container.name contains invalid characters."));
        }
        if !names.insert(name) {
            return Err(EcsError::client("Container names must be unique."));
        }
    }
    if containers.iter().any(|definition| definition.essential.unwrap_or(true)) {
        return Ok(());
    }
    Err(EcsError::client("Task definition must have at least one essential container."))
}

/// What containers reserve must fit into the task. A container that names a soft limit reserves that.
fn check_sums(document: &TaskDefinitionDocument, size: &TaskSize) -> Result<(), EcsError> {
    let containers = &document.container_definitions;
    for definition in containers {
        let name = definition.name.as_deref().unwrap_or_default();
        let over = |setting: &str, value: Option<i32>, limit: Option<i64>| match (value, limit) {
            (Some(value), Some(limit)) if i64::from(value) > limit => Err(EcsError::client(format!(
                "The '{setting}' setting for container '{name}' is greater than for the task."
            ))),
            _ => Ok(()),
        };
        over("cpu", definition.cpu, size.cpu)?;
        over("memory", definition.memory, size.memory_mib)?;
        over("memoryReservation", definition.memory_reservation, size.memory_mib)?;
    }
    let cpu: i64 = containers.iter().filter_map(|it| it.cpu).map(i64::from).sum();
    if size.cpu.is_some_and(|limit| cpu > limit) {
        return Err(sum_text("cpu"));
    }
    let memory: i64 = containers.iter().filter_map(|it| it.memory_reservation.or(it.memory)).map(i64::from).sum();
    if size.memory_mib.is_some_and(|limit| memory > limit) {
        return Err(sum_text("memory"));
    }
    Ok(())
}

fn sum_text(setting: &str) -> EcsError {
    EcsError::client(format!(
        "The sum of all container '{setting}' values cannot be greater than the value of the task '{setting}'."
    ))
}

fn check_task_members(document: &TaskDefinitionDocument, mode: NetworkMode) -> Result<(), EcsError> {
    for role in [&document.task_role_arn, &document.execution_role_arn].into_iter().flatten() {
        if !is_role(role) {
            return Err(EcsError::client("Role is not valid"));
        }
    }
    if document.placement_constraints.len() > CONSTRAINTS_MAX {
        return Err(EcsError::client("Too many placement constraints."));
    }
    for constraint in &document.placement_constraints {
        if constraint.kind.is_none() {
            return Err(EcsError::client("Placement constraint type should not be null."));
        }
        if constraint.expression.as_deref().is_none_or(|text| text.trim().is_empty() || text.len() > 2000) {
            return Err(EcsError::client("Placement constraint of type 'memberOf' requires an expression."));
        }
        if let Some(Err(error)) = constraint.expression.as_deref().map(Expression::parse) {
            return Err(EcsError::client(format!("Invalid expression: {error}")));
        }
    }
    if let Some(storage) = &document.ephemeral_storage
        && !storage.size_in_gi_b.is_some_and(|gib| (21..=200).contains(&gib))
    {
        return Err(EcsError::client("Ephemeral storage size must be between 21 and 200 GiB."));
    }
    if let Some(proxy) = &document.proxy_configuration {
        if mode != NetworkMode::Awsvpc {
            return Err(EcsError::client("Proxy configurations are only supported when networkMode=awsvpc."));
        }
        let named = |it: &ContainerDefinition| it.name == proxy.container_name;
        if !document.container_definitions.iter().any(named) {
            return Err(EcsError::client(
                "The container of the proxy configuration does not exist in the task definition.",
            ));
        }
    }
    Ok(())
}
