//! Makes the record of a task: with its place and everything that its containers need to be started, or waiting for one.
//!
//! In: template, definition, the place. Out: a [`Task`] for the same transaction, and its log streams.

use cove_base::Timestamp;
use cove_base::ids::{random_hex, uuid};
use cove_model::arn::Tenant;
use cove_model::logs::{LogGroup, LogStream};
use cove_model::task::{
    Container, ContainerLog, ContainerSeen, Desired, Health, Observed, Placement, Task, TaskNetwork, TaskStatus,
};
use cove_model::task_definition::{
    Attribute, ContainerDefinition, LogConfiguration, LogDriver, TaskDefinition, VersionConsistency,
};
use cove_model::task_template::TaskTemplate;
use cove_store::{Read, Tx, keys};

use super::credentials;
use crate::place::Placed;

/// Puts the task and its log streams into the transaction.
pub(super) fn placed(
    tx: &mut Tx<'_>,
    template: &TaskTemplate,
    definition: &TaskDefinition,
    provider: Option<String>,
    placed: Placed,
) -> Task {
    let mut task = without_place(template, definition, provider, tx.now());
    give_place(tx, &mut task, template, definition, placed);
    tx.put(task.clone());
    task
}

/// Puts a task into the transaction that has no place yet.
pub(super) fn waiting(
    tx: &mut Tx<'_>,
    template: &TaskTemplate,
    definition: &TaskDefinition,
    provider: Option<String>,
) -> Task {
    let mut task = without_place(template, definition, provider, tx.now());
    task.unplaced = Some(Box::new(template.clone()));
    tx.put(task.clone());
    task
}

/// The waiting task has its place, and from now on an agent.
pub(super) fn settle(
    tx: &mut Tx<'_>,
    waiting: &Task,
    template: &TaskTemplate,
    definition: &TaskDefinition,
    placed: Placed,
) {
    let mut task = Task { unplaced: None, version: waiting.version + 1, ..waiting.clone() };
    // Earlier versions kept none for tasks that wait.
    if task.containers.is_empty() {
        task.containers = containers(template, definition);
    }
    give_place(tx, &mut task, template, definition, placed);
    tx.put(task);
}

/// Everything that does not depend on the place.
fn without_place(
    template: &TaskTemplate,
    definition: &TaskDefinition,
    provider: Option<String>,
    now: Timestamp,
) -> Task {
    Task {
        tenant: template.tenant.clone(),
        cluster: template.cluster.clone(),
        id: random_hex(16),
        family: template.family.clone(),
        revision: template.revision,
        placement: Placement {
            launch_type: template.placing.launch_type,
            container_instance: None,
            capacity_provider: provider,
            availability_zone: String::new(),
            platform_version: None,
            platform_family: None,
            cpu: template.size.cpu,
            memory_mib: template.size.memory_mib,
            elsewhere: false,
        },
        unplaced: None,
        group: template.group.clone(),
        started_by: template.started_by.clone(),
        keeper: template.keeper.clone(),
        overrides: template.overrides.clone(),
        enable_execute_command: template.enable_execute_command,
        tags: template.tags.clone(),
        attributes: vec![architecture()],
        cpu: template.size.task_cpu.clone(),
        memory: template.size.task_memory.clone(),
        ephemeral_storage_gib: template.size.ephemeral_storage_gib,
        observed: Observed::new(TaskStatus::Provisioning),
        network: TaskNetwork::None,
        task_role: template.task_role.clone().map(credentials::of_role),
        execution_role_arn: template.execution_role.clone(),
        created_at: now,
        desired: Desired::Running,
        protected_until: None,
        containers: containers(template, definition),
        version: 1,
    }
}

/// The place, and what is chosen with it: network, ports, GPUs and log streams.
fn give_place(tx: &mut Tx<'_>, task: &mut Task, template: &TaskTemplate, definition: &TaskDefinition, placed: Placed) {
    let given = placed.ports.into_iter().zip(placed.gpus);
    let containers = task.containers.iter_mut().zip(&definition.document.container_definitions);
    for ((container, document), (ports, gpu_ids)) in containers.zip(given) {
        (container.ports, container.gpu_ids) = (ports, gpu_ids);
        let elsewhere = placed.placement.elsewhere;
        container.log = match &document.log_configuration {
            // As with Docker, whose driver is json-file where nothing is said. Another host keeps its own.
            None => (!elsewhere).then(|| local_log(container)),
            Some(log) => match log.log_driver {
                Some(LogDriver::Awslogs) => {
                    Some(log_stream(tx, &template.tenant, log, container, (&task.id, elsewhere)))
                }
                Some(LogDriver::JsonFile) => (!elsewhere).then(|| local_log(container)),
                Some(
                    LogDriver::Syslog
                    | LogDriver::Journald
                    | LogDriver::Gelf
                    | LogDriver::Fluentd
                    | LogDriver::Splunk
                    | LogDriver::Awsfirelens,
                )
                | None => None,
            },
        };
    }
    let provider = task.placement.capacity_provider.take();
    task.placement = Placement { capacity_provider: provider, ..placed.placement };
    if task.placement.platform_version.is_some() {
        let named = template.placing.platform_version.clone();
        task.placement.platform_version = named.or(task.placement.platform_version.take());
    }
    task.observed = first_seen(&placed.network);
    task.network = placed.network;
}

/// awsvpc tasks begin with their interface.
fn first_seen(network: &TaskNetwork) -> Observed {
    Observed::new(match network {
        TaskNetwork::Awsvpc(_) => TaskStatus::Provisioning,
        TaskNetwork::None | TaskNetwork::Host | TaskNetwork::Bridge { .. } => TaskStatus::Pending,
    })
}

fn architecture() -> Attribute {
    let value = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    Attribute { name: Some("ecs.cpu-architecture".to_owned()), value: Some(value.to_owned()), ..Attribute::default() }
}

/// The containers as they are before their task has a place.
fn containers(template: &TaskTemplate, definition: &TaskDefinition) -> Vec<Container> {
    definition.document.container_definitions.iter().map(|it| container(template, it)).collect()
}

fn container(template: &TaskTemplate, document: &ContainerDefinition) -> Container {
    let given = template.overrides.of_container(document.name.as_deref());
    let text = |value: Option<i32>| value.map(|number| number.to_string());
    Container {
        name: document.name.clone().unwrap_or_default(),
        id: uuid(),
        image: document.image.clone().unwrap_or_default(),
        pinned_digest: pinned(template, document),
        essential: document.essential.unwrap_or(true),
        log: None,
        cpu: text(given.and_then(|it| it.cpu).or(document.cpu).or(Some(0))),
        memory: text(given.and_then(|it| it.memory).or(document.memory)),
        memory_reservation: text(given.and_then(|it| it.memory_reservation).or(document.memory_reservation)),
        ports: Vec::new(),
        gpu_ids: Vec::new(),
        seen: ContainerSeen { health: is_checked(document).then_some(Health::Unknown), ..ContainerSeen::default() },
    }
}

/// Whether the definition gives the container a health check. An image's own is never run.
fn is_checked(document: &ContainerDefinition) -> bool {
    document.health_check.as_ref().and_then(|check| check.command.first()).is_some_and(|kind| kind != "NONE")
}

/// The digest that the tag is taken for, unless the container wants its tag looked up each time.
fn pinned(template: &TaskTemplate, document: &ContainerDefinition) -> Option<String> {
    if document.version_consistency == Some(VersionConsistency::Disabled) {
        return None;
    }
    let known = template.pinned.iter().find(|it| Some(&it.container) == document.name.as_ref())?;
    Some(known.digest.clone())
}

/// The container's log stream. Its record is made only when the group exists or may be created: the agent looks for
/// the record when it starts the container, and stops the task with ResourceInitializationError when there is none.
fn log_stream(
    tx: &mut Tx<'_>,
    tenant: &Tenant,
    log: &LogConfiguration,
    container: &Container,
    (task_id, elsewhere): (&str, bool),
) -> ContainerLog {
    let option = |name: &str| log.options.get(name).map(String::as_str);
    let group = option("awslogs-group").unwrap_or_default().to_owned();
    // Streams may be in another region of the account than the task.
    let region = option("awslogs-region").unwrap_or(&tenant.region);
    let tenant = Tenant::new(tenant.account.clone(), region);
    let stream = match option("awslogs-stream-prefix").filter(|prefix| !prefix.is_empty()) {
        Some(prefix) => format!("{prefix}/{}/{task_id}", container.name),
        None => container.id.clone(),
    };
    let directory = random_hex(16);
    // Another host's log driver makes its stream itself.
    if elsewhere {
        return ContainerLog { group, stream, directory };
    }
    let now = tx.now();
    let may_create = option("awslogs-create-group").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let exists = tx.get::<LogGroup>(&keys::log_group(&tenant, &group)).is_some();
    if !exists && may_create {
        tx.put(log_group(&tenant, &group, now));
    }
    if exists || may_create {
        tx.put(LogStream {
            tenant,
            group: group.clone(),
            name: stream.clone(),
            created_at: now,
            directory: directory.clone(),
        });
    }
    ContainerLog { group, stream, directory }
}

/// A file of the node's, as Docker keeps one.
fn local_log(container: &Container) -> ContainerLog {
    ContainerLog { group: String::new(), stream: container.id.clone(), directory: random_hex(16) }
}

fn log_group(tenant: &Tenant, name: &str, now: Timestamp) -> LogGroup {
    LogGroup {
        tenant: tenant.clone(),
        name: name.to_owned(),
        created_at: now,
        retention_days: None,
        tags: Vec::new(),
        class: "STANDARD".to_owned(),
    }
}
