//! A task as DescribeTasks shows it.

use cove_model::container_instance::container_instance_arn;
use cove_model::task::{Container, ContainerState, Health, LaunchType, StopOrder, Task, TaskNetwork};
use cove_model::task_definition::EphemeralStorage;
use cove_model::task_override::ContainerOverride;
use serde_json::{Value, json};

use crate::ecs::wire;
use crate::ecs::wire::Pair;

/// Whether tags are part of the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tags {
    Shown,
    Hidden,
}

/// ECS shape `Task`.
pub(crate) fn show(task: &Task, tags: Tags) -> wire::Task {
    let seen = &task.observed;
    let order = task.desired.order();
    let at = |moment: Option<cove_base::Timestamp>| moment.map(cove_base::Timestamp::epoch_seconds);
    let storage = task.ephemeral_storage_gib.and_then(|gib| i32::try_from(gib).ok());
    let storage = storage.map(|gib| EphemeralStorage { size_in_gi_b: Some(gib) });
    let placement = &task.placement;
    wire::Task {
        attachments: attachment(task).into_iter().collect(),
        attributes: task.attributes.clone(),
        availability_zone: placement.availability_zone.clone(),
        capacity_provider_name: placement.capacity_provider.clone(),
        cluster_arn: task.cluster_arn(),
        connectivity: seen.connectivity_at.map(|_| "CONNECTED"),
        connectivity_at: at(seen.connectivity_at),
        container_instance_arn: placement
            .container_instance
            .as_deref()
            .map(|id| container_instance_arn(&task.tenant, &task.cluster, id)),
        containers: task.containers.iter().map(|container| show_container(task, container)).collect(),
        cpu: task.cpu.clone().or_else(|| Some(placement.cpu.to_string())),
        created_at: task.created_at.epoch_seconds(),
        desired_status: if task.is_stopping() { "STOPPED" } else { "RUNNING" },
        enable_execute_command: task.enable_execute_command,
        execution_stopped_at: at(seen.execution_stopped_at),
        group: task.group.clone(),
        health_status: task.health().as_str(),
        last_status: seen.status.as_str(),
        launch_type: placement.launch_type,
        memory: task.memory.clone().or_else(|| Some(placement.memory_mib.to_string())),
        overrides: show_overrides(task),
        platform_version: placement.platform_version.clone(),
        platform_family: placement.platform_family.clone(),
        pull_started_at: at(seen.pull_started_at),
        pull_stopped_at: at(seen.pull_stopped_at),
        started_at: at(seen.started_at),
        started_by: task.started_by.clone(),
        stop_code: seen.stop_code.or(order.map(|order| order.code)),
        stopped_at: at(seen.stopped_at),
        stopped_reason: seen.stopped_reason.clone().or_else(|| order.map(|order: &StopOrder| order.reason.clone())),
        stopping_at: at(seen.stopping_at),
        tags: if tags == Tags::Shown { task.tags.clone() } else { Vec::new() },
        task_arn: task.arn(),
        task_definition_arn: task.definition_arn(),
        version: task.version,
        fargate_ephemeral_storage: storage.clone().filter(|_| placement.launch_type == LaunchType::Fargate),
        ephemeral_storage: storage,
    }
}

fn attachment(task: &Task) -> Option<wire::Attachment> {
    let TaskNetwork::Awsvpc(eni) = &task.network else { return None };
    Some(wire::Attachment {
        id: eni.attachment_id.clone(),
        kind: "ElasticNetworkInterface",
        status: task.attachment_status()?,
        details: eni.details(&task.tenant.region).into_iter().map(|(name, value)| Pair::new(name, value)).collect(),
    })
}

fn show_container(task: &Task, container: &Container) -> wire::Container {
    let seen = &container.seen;
    let interfaces = match &task.network {
        TaskNetwork::Awsvpc(eni) => vec![wire::NetworkInterface {
            attachment_id: eni.attachment_id.clone(),
            private_ipv4_address: eni.address.to_string(),
        }],
        TaskNetwork::None | TaskNetwork::Host | TaskNetwork::Bridge { .. } => Vec::new(),
    };
    // Commands are carried out in containers of this node alone.
    let agents = task.enable_execute_command && !task.placement.elsewhere;
    wire::Container {
        container_arn: task.container_arn(container),
        task_arn: task.arn(),
        name: container.name.clone(),
        image: container.image.clone(),
        image_digest: seen.image_digest.clone(),
        runtime_id: seen.runtime_id.clone(),
        last_status: seen.state.as_str(),
        exit_code: seen.exit_code,
        reason: seen.reason.clone(),
        managed_agents: agents.then(|| agent(container)).into_iter().collect(),
        network_bindings: bindings(task, container),
        network_interfaces: interfaces,
        health_status: seen.health.unwrap_or(Health::Unknown).as_str(),
        cpu: container.cpu.clone(),
        memory: container.memory.clone(),
        memory_reservation: container.memory_reservation.clone(),
        gpu_ids: container.gpu_ids.clone(),
    }
}

/// AWS's agent inside a container that commands may be executed in. Here it is the task's shim, which is there whenever
/// the container runs.
fn agent(container: &Container) -> wire::ManagedAgent {
    let last_status = match container.seen.state {
        ContainerState::Running => "RUNNING",
        ContainerState::Stopped => "STOPPED",
        ContainerState::Pending | ContainerState::Pulled => "PENDING",
    };
    let last_started_at = container.seen.started_at.map(cove_base::Timestamp::epoch_seconds);
    wire::ManagedAgent { name: "ExecuteCommandAgent", last_status, last_started_at }
}

/// Published ports, from the moment that the container runs. An awsvpc task publishes none: its ports are its own.
fn bindings(task: &Task, container: &Container) -> Vec<wire::NetworkBinding> {
    let publishes = match &task.network {
        TaskNetwork::Host | TaskNetwork::Bridge { .. } => true,
        TaskNetwork::None | TaskNetwork::Awsvpc(_) => false,
    };
    if !publishes || !container.has_run() {
        return Vec::new();
    }
    let binding = |port: &cove_model::task::NetworkBinding| {
        let (container_port_range, host_port_range) = port.ranges().unzip();
        let is_one = host_port_range.is_none();
        wire::NetworkBinding {
            bind_ip: "0.0.0.0",
            container_port: is_one.then_some(port.container_port),
            host_port: is_one.then_some(port.host_port),
            protocol: port.protocol,
            container_port_range,
            host_port_range,
        }
    };
    container.ports.iter().map(binding).collect()
}

/// What the request overrode; every container has an entry, if only its name.
fn show_overrides(task: &Task) -> Value {
    let given = &task.overrides;
    let entry = |container: &Container| {
        let own = given.container_overrides.iter().find(|it| it.name.as_ref() == Some(&container.name));
        own.cloned().unwrap_or_else(|| ContainerOverride { name: Some(container.name.clone()), ..Default::default() })
    };
    let entries: Vec<_> = task.containers.iter().map(entry).collect();
    let mut shown = serde_json::to_value(given).expect("an override holds nothing that JSON lacks");
    shown["containerOverrides"] = serde_json::to_value(entries).expect("an override holds nothing that JSON lacks");
    shown["inferenceAcceleratorOverrides"] = json!(given.inference_accelerator_overrides);
    shown
}
