//! Container instances: what they are, and what is left on them right now.

use cove_model::arn::Tenant;
use cove_model::capacity_provider::CapacityProvider;
use cove_model::container_instance::{ContainerInstance, ContainerInstanceStatus, Resources, container_instance_arn};
use cove_model::task::Task;
use cove_scheduler::fleet::{self, Refused, Verb};
use cove_scheduler::place::{Expression, Occupancy, remaining};
use cove_store::{Prefix, Read, keys};

use super::cluster::{self, Phase, phase};
use super::daemon::health::{self, Health};
use super::error::EcsError;
use super::page::{Direction, Listing, PAGE_MAX};
use super::reference;
use super::wire::{
    self, ContainerInstancesOut, DeregisterContainerInstanceIn, DeregisterContainerInstanceOut,
    DescribeContainerInstancesIn, Failure, HealthCheckResult, InstanceField, InstanceHealth, InstanceStatus,
    ListContainerInstancesIn, ListContainerInstancesOut, Resource, UpdateContainerInstancesStateIn, VersionInfo,
};
use crate::Context;

/// ECS's limit of one UpdateContainerInstancesState.
const UPDATE_MAX: usize = 10;

/// ListContainerInstances.
pub(super) fn list(cx: &Context, input: ListContainerInstancesIn) -> Result<ListContainerInstancesOut, EcsError> {
    let tenant = &cx.tenant;
    let name = reference::cluster(tenant, input.cluster.as_deref())?;
    let filter = input.filter.as_deref().map(Expression::parse).transpose();
    let filter = filter.map_err(|bad| EcsError::parameter(format!("Invalid filter expression: {bad}")))?;
    let inside = Prefix::parent(tenant, &name);
    let wanted = |it: &ContainerInstance| match input.status {
        // AWS lists all but those that are gone.
        None => it.is_registered(),
        Some(InstanceStatus::Active) => it.status == ContainerInstanceStatus::Active,
        Some(InstanceStatus::Draining) => it.status == ContainerInstanceStatus::Draining,
        // Instances are declared, so they never pass through these.
        Some(InstanceStatus::Registering | InstanceStatus::Deregistering | InstanceStatus::RegistrationFailed) => false,
    };
    let items = cx.store.read(|view| {
        cluster::active(view, tenant, &name)?;
        let taken = view.sum::<Task>();
        let passes = |it: &ContainerInstance| {
            let there = || Occupancy::of([taken.published.on(it), taken.changes.on(it)]);
            filter.as_ref().is_none_or(|filter| filter.matches(it, &there()))
        };
        let instances = view.scan::<ContainerInstance>(&inside);
        let found = instances.iter().filter(|it| wanted(it) && passes(it));
        Ok::<_, EcsError>(found.map(|it| (it.id.clone(), it.arn())).collect())
    })?;
    let (container_instance_arns, next_token) = Listing::of("instances").cut(&input.page, Direction::Up, items)?;
    Ok(ListContainerInstancesOut { container_instance_arns, next_token })
}

/// DescribeContainerInstances.
pub(super) fn describe(cx: &Context, input: DescribeContainerInstancesIn) -> Result<ContainerInstancesOut, EcsError> {
    let tenant = &cx.tenant;
    let name = reference::cluster(tenant, input.cluster.as_deref())?;
    let ids = ids(tenant, &name, &input.container_instances, PAGE_MAX)?;
    cx.store.read(|view| {
        cluster::active(view, tenant, &name)?;
        let mut out = ContainerInstancesOut { container_instances: Vec::new(), failures: Vec::new() };
        for id in &ids {
            match view.get::<ContainerInstance>(&keys::container_instance(tenant, &name, id)) {
                Some(instance) => out.container_instances.push(show(view, &instance, &input.include)),
                None => out.failures.push(Failure::missing(container_instance_arn(tenant, &name, id))),
            }
        }
        Ok(out)
    })
}

/// UpdateContainerInstancesState. A DRAINING instance gets no new tasks; those that run there go on.
pub(super) async fn update_state(
    cx: &Context,
    input: UpdateContainerInstancesStateIn,
) -> Result<ContainerInstancesOut, EcsError> {
    let tenant = cx.tenant.clone();
    let name = reference::cluster(&tenant, input.cluster.as_deref())?;
    let ids = ids(&tenant, &name, &input.container_instances, UPDATE_MAX)?;
    let verb = match input.status {
        InstanceStatus::Active => Verb::Activate,
        InstanceStatus::Draining => Verb::Drain,
        InstanceStatus::Registering | InstanceStatus::Deregistering | InstanceStatus::RegistrationFailed => {
            return Err(EcsError::parameter("Container instance status should be one of [ACTIVE,DRAINING]."));
        }
    };
    cx.store
        .write(move |tx| {
            cluster::active(tx, &tenant, &name)?;
            let mut out = ContainerInstancesOut { container_instances: Vec::new(), failures: Vec::new() };
            for id in &ids {
                let Some(found) = tx.get::<ContainerInstance>(&keys::container_instance(&tenant, &name, id)) else {
                    out.failures.push(Failure::missing(container_instance_arn(&tenant, &name, id)));
                    continue;
                };
                match fleet::apply(tx, &found, verb) {
                    Ok(instance) => out.container_instances.push(show(tx, &instance, &[])),
                    Err(Refused::Gone(_)) => out.failures.push(Failure::inactive(found.arn())),
                    Err(Refused::Leaving(_)) => out.failures.push(Failure::draining(found.arn())),
                    Err(refused) => return Err(EcsError::parameter(refused.to_string())),
                }
            }
            Ok(out)
        })
        .await
}

/// DeregisterContainerInstance. Tasks are in the way unless it is forced; then they are stopped.
pub(super) async fn deregister(
    cx: &Context,
    input: DeregisterContainerInstanceIn,
) -> Result<DeregisterContainerInstanceOut, EcsError> {
    let tenant = cx.tenant.clone();
    let name = reference::cluster(&tenant, input.cluster.as_deref())?;
    let id = reference::container_instance(&tenant, &name, &input.container_instance)?;
    let container_instance = cx
        .store
        .write(move |tx| {
            cluster::active(tx, &tenant, &name)?;
            let found = tx
                .get::<ContainerInstance>(&keys::container_instance(&tenant, &name, &id))
                .filter(|instance| instance.is_registered())
                .ok_or_else(|| EcsError::parameter("The referenced container instance was not found."))?;
            let gone = fleet::apply(tx, &found, Verb::Remove { force: input.force })
                .map_err(|refused| EcsError::parameter(refused.to_string()))?;
            Ok::<_, EcsError>(show(tx, &gone, &[]))
        })
        .await?;
    Ok(DeregisterContainerInstanceOut { container_instance })
}

fn ids(tenant: &Tenant, cluster: &str, texts: &[String], max: usize) -> Result<Vec<String>, EcsError> {
    if texts.is_empty() {
        return Err(EcsError::parameter("Container instance cannot be empty."));
    }
    if texts.len() > max {
        return Err(EcsError::parameter(format!("Container instances cannot have more than {max} elements.")));
    }
    texts.iter().map(|text| reference::container_instance(tenant, cluster, text)).collect()
}

/// ECS shape `ContainerInstance`.
pub(super) fn show(store: &impl Read, it: &ContainerInstance, include: &[InstanceField]) -> wire::ContainerInstance {
    let here = store.listed::<Task>(&keys::tasks_on(&it.tenant, &it.cluster, &it.id));
    let count = |wanted: Phase| here.iter().filter(|task| phase(task) == wanted).count();
    let health = include.contains(&InstanceField::ContainerInstanceHealth);
    wire::ContainerInstance {
        container_instance_arn: it.arn(),
        ec2_instance_id: it.ec2_instance_id.clone(),
        version: it.version,
        version_info: version_info(it),
        remaining_resources: show_resources(&remaining(it, here.iter().map(|task| &**task))),
        registered_resources: show_resources(&it.registered),
        status: it.status.as_str(),
        agent_connected: it.is_connected(),
        running_tasks_count: count(Phase::Running),
        pending_tasks_count: count(Phase::Pending),
        attributes: it.attributes.clone(),
        registered_at: it.registered_at.epoch_seconds(),
        attachments: Vec::new(),
        tags: if include.contains(&InstanceField::Tags) { it.tags.clone() } else { Vec::new() },
        capacity_provider_name: provider_of(store, it),
        health_status: health.then(|| show_health(store, it)),
    }
}

/// What daemons say, of one that has some: nothing else is looked at.
fn show_health(store: &impl Read, it: &ContainerInstance) -> InstanceHealth {
    if !it.is_connected() {
        return InstanceHealth { overall_status: "INSUFFICIENT_DATA", details: Vec::new() };
    }
    let found = health::of(store, it);
    let details = found.map(|health| HealthCheckResult { kind: "DAEMON", status: health.as_str() });
    InstanceHealth {
        overall_status: found.map_or(it.health().as_str(), Health::as_str),
        details: details.into_iter().collect(),
    }
}

fn version_info(it: &ContainerInstance) -> VersionInfo {
    let agent = it.agent.clone().unwrap_or_default();
    VersionInfo {
        agent_version: it.agent_version().map(str::to_owned),
        agent_hash: agent.hash,
        docker_version: agent.docker_version,
    }
}

/// The capacity provider that stands for the instance.
fn provider_of(store: &impl Read, it: &ContainerInstance) -> Option<String> {
    if it.managed_by.is_some() {
        return it.managed_by.clone();
    }
    it.asg.as_ref()?;
    let known = store.scan::<CapacityProvider>(&Prefix::tenant(&it.tenant));
    known.iter().find(|provider| provider.is_active() && provider.pool().has(it)).map(|provider| provider.name.clone())
}

fn show_resources(it: &Resources) -> Vec<Resource> {
    let number = |name, value| Resource {
        name,
        kind: "INTEGER",
        double_value: 0.0,
        long_value: 0,
        integer_value: value,
        string_set_value: None,
    };
    let set = |name, values: Vec<String>| Resource {
        name,
        kind: "STRINGSET",
        double_value: 0.0,
        long_value: 0,
        integer_value: 0,
        string_set_value: Some(values),
    };
    let ports = |ports: &[u16]| ports.iter().map(u16::to_string).collect();
    let mut all = vec![
        number("CPU", it.cpu),
        number("MEMORY", it.memory_mib),
        set("PORTS", ports(&it.ports_tcp)),
        set("PORTS_UDP", ports(&it.ports_udp)),
    ];
    if !it.gpus.is_empty() {
        all.push(set("GPU", it.gpus.clone()));
    }
    all
}
