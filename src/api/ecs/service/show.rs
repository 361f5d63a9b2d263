//! A service as clients see it; counts are taken from its tasks now.

use std::sync::Arc;

use cove_model::service::{
    Deployment, EVENTS_MAX, Service, ServiceEvent, ServiceRevision, TaskSet, TaskSetStatus, revision_arn,
};
use cove_model::task::{LaunchType, Task};
use cove_store::{Prefix, Read, keys};

use crate::ecs::cluster::{Phase, phase};
use crate::ecs::wire;
use crate::ecs::wire::{Controller, CurrentRevision, Switch};

const PLATFORM_FAMILY: &str = "Linux";
const PLATFORM_LATEST: &str = "LATEST";

/// ECS shape `Service`.
pub(super) fn show(store: &impl Read, service: &Service, with_tags: bool) -> wire::Service {
    let tasks = tasks(store, service);
    let revision = revision_in_force(store, service);
    let revision = revision.as_deref();
    let counts = Counts::of(&tasks, |_| true);
    wire::Service {
        service_arn: service.arn(),
        service_name: service.name.clone(),
        cluster_arn: service.cluster_arn(),
        load_balancers: Vec::new(),
        service_registries: Vec::new(),
        status: service.status,
        desired_count: service.desired_count,
        running_count: counts.running,
        pending_count: counts.pending,
        launch_type: revision.and_then(launch_type),
        capacity_provider_strategy: revision.map(strategy).unwrap_or_default(),
        platform_version: revision.and_then(platform_version),
        platform_family: revision.and_then(platform_family),
        task_definition: revision.map(|it| it.template.definition_arn()),
        deployment_configuration: service.configuration.clone(),
        task_sets: super::task_set::shown(store, service, with_tags),
        deployments: (0..)
            .zip(&service.deployments)
            .map(|(at, it)| deployment(store, service, at, it, &tasks))
            .collect(),
        events: events(store, service),
        created_at: service.created_at.epoch_seconds(),
        current_service_deployment: service.primary().map(|primary| deployment_arn(service, primary)),
        current_service_revisions: service.deployments.iter().map(|it| current(service, it, &tasks)).collect(),
        placement_constraints: service.constraints.clone(),
        placement_strategy: service.strategies.clone(),
        network_configuration: revision.and_then(|it| it.network_configuration.clone()),
        health_check_grace_period_seconds: service.health_check_grace_secs,
        scheduling_strategy: service.scheduling,
        deployment_controller: Controller { kind: service.controller },
        tags: if with_tags { service.tags.clone() } else { Vec::new() },
        created_by: service.created_by.clone(),
        enable_ecs_managed_tags: service.managed_tags,
        propagate_tags: service.propagates,
        enable_execute_command: service.enable_execute_command,
        resource_management_type: management(service),
        availability_zone_rebalancing: if service.rebalances_zones { Switch::Enabled } else { Switch::Disabled },
    }
}

/// Who manages what belongs to a service.
pub(super) const fn management(service: &Service) -> &'static str {
    if service.express.is_some() { "ECS" } else { "CUSTOMER" }
}

/// Of the service deployment that a deployment of a service belongs to.
pub(super) fn deployment_arn(service: &Service, deployment: &Deployment) -> String {
    let id = &deployment.service_deployment;
    service.tenant.arn("ecs", format_args!("service-deployment/{}/{}/{id}", service.cluster, service.name))
}

/// Live tasks that the service keeps.
pub(super) fn tasks(store: &impl Read, service: &Service) -> Vec<Arc<Task>> {
    store.listed::<Task>(&keys::tasks_of(&service.tenant, &service.cluster, &service.name))
}

pub(super) fn revision(store: &impl Read, service: &Service, id: &str) -> Option<Arc<ServiceRevision>> {
    store.get(&keys::service_revision(&service.tenant, &service.cluster, &service.name, id))
}

/// What the service shows as its own: of ECS's deployments the PRIMARY one's, else the PRIMARY task set's.
pub(in crate::ecs) fn revision_in_force(store: &impl Read, service: &Service) -> Option<Arc<ServiceRevision>> {
    if let Some(primary) = service.primary() {
        return revision(store, service, &primary.revision);
    }
    let inside = Prefix::parent(&service.tenant, &keys::service_parent(&service.cluster, &service.name));
    let sets = store.scan::<TaskSet>(&inside);
    let primary = sets.iter().find(|set| set.status == TaskSetStatus::Primary)?;
    revision(store, service, &primary.revision)
}

/// Tasks by phase.
pub(super) struct Counts {
    pub(super) running: usize,
    pub(super) pending: usize,
    /// Those that nobody wants to stop.
    pub(super) wanted: usize,
}

impl Counts {
    pub(super) fn of(tasks: &[Arc<Task>], which: impl Fn(&Task) -> bool) -> Self {
        let mut counts = Self { running: 0, pending: 0, wanted: 0 };
        for task in tasks.iter().filter(|task| which(task)) {
            match phase(task) {
                Phase::Pending => counts.pending += 1,
                Phase::Running => counts.running += 1,
                Phase::Ending => {}
            }
            counts.wanted += usize::from(phase(task) != Phase::Ending && !task.desired.is_stopped());
        }
        counts
    }

    pub(super) fn of_deployment(tasks: &[Arc<Task>], id: &str) -> Self {
        Self::of(tasks, |task| task.started_by.as_deref() == Some(id))
    }
}

/// The PRIMARY one wants what the service wants; of an older one as many are wanted as are left.
fn deployment(
    store: &impl Read,
    service: &Service,
    place: usize,
    it: &Deployment,
    tasks: &[Arc<Task>],
) -> wire::Deployment {
    let counts = Counts::of_deployment(tasks, &it.id);
    let revision = revision(store, service, &it.revision);
    let revision = revision.as_deref();
    wire::Deployment {
        id: it.id.clone(),
        status: if place == 0 { "PRIMARY" } else { "ACTIVE" },
        task_definition: revision.map(|it| it.template.definition_arn()).unwrap_or_default(),
        desired_count: if place == 0 { service.desired_count as usize } else { counts.wanted },
        pending_count: counts.pending,
        running_count: counts.running,
        failed_tasks: it.failed_tasks,
        created_at: it.created_at.epoch_seconds(),
        updated_at: it.updated_at.epoch_seconds(),
        capacity_provider_strategy: revision.map(strategy).unwrap_or_default(),
        launch_type: revision.and_then(launch_type),
        platform_version: revision.and_then(platform_version),
        platform_family: revision.and_then(platform_family),
        network_configuration: revision.and_then(|it| it.network_configuration.clone()),
        rollout_state: it.rollout,
        rollout_state_reason: it.rollout_reason.clone(),
    }
}

fn current(service: &Service, it: &Deployment, tasks: &[Arc<Task>]) -> CurrentRevision {
    let counts = Counts::of_deployment(tasks, &it.id);
    CurrentRevision {
        arn: revision_arn(&service.tenant, &service.cluster, &service.name, &it.revision),
        requested_task_count: counts.wanted,
        running_task_count: counts.running,
        pending_task_count: counts.pending,
    }
}

/// Absent where capacity providers decide.
pub(super) fn launch_type(revision: &ServiceRevision) -> Option<LaunchType> {
    let placing = &revision.template.placing;
    placing.strategy.is_empty().then_some(placing.launch_type)
}

pub(super) fn strategy(revision: &ServiceRevision) -> Vec<cove_model::cluster::CapacityProviderStrategyItem> {
    revision.template.placing.strategy.clone()
}

fn is_fargate(revision: &ServiceRevision) -> bool {
    revision.template.placing.launch_type == LaunchType::Fargate
}

pub(super) fn platform_version(revision: &ServiceRevision) -> Option<String> {
    let given = revision.platform_version.clone();
    is_fargate(revision).then(|| given.unwrap_or_else(|| PLATFORM_LATEST.to_owned()))
}

pub(super) fn platform_family(revision: &ServiceRevision) -> Option<&'static str> {
    is_fargate(revision).then_some(PLATFORM_FAMILY)
}

/// The newest first.
fn events(store: &impl Read, service: &Service) -> Vec<wire::ServiceEvent> {
    let inside = Prefix::parent(&service.tenant, &keys::service_parent(&service.cluster, &service.name));
    let mut events = store.scan::<ServiceEvent>(&inside);
    events.retain(|event| event.at >= service.created_at);
    let newest = events.iter().rev().take(usize::try_from(EVENTS_MAX).unwrap_or(usize::MAX));
    newest
        .map(|event| wire::ServiceEvent {
            id: event.id.clone(),
            created_at: event.at.epoch_seconds(),
            message: event.message.clone(),
        })
        .collect()
}
