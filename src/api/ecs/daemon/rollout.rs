//! Daemon deployments and daemon revisions, looked at.

use cove_base::Timestamp;
use cove_model::capacity_provider::capacity_provider_arn;
use cove_model::cluster::cluster_arn;
use cove_model::container_instance::{ContainerInstance, ContainerInstanceStatus};
use cove_model::daemon::{
    DaemonDeployment, DaemonDeploymentStatus as Status, DaemonRevision, daemon_arn, daemon_revision_arn,
};
use cove_model::service::DeploymentConfiguration;
use cove_model::task::{Task, TaskStatus};
use cove_model::task_definition::TaskDefinition;
use cove_store::{Prefix, Read, keys};

use super::known;
use crate::Context;
use crate::ecs::error::EcsError;
use crate::ecs::page::{Direction, Listing, PAGE_MAX};
use crate::ecs::wire::{
    AlarmsSeen, Breaker, DaemonContainerImage, DaemonDeploymentOut, DaemonDeploymentSummary, DaemonPropagateTags,
    DaemonRevisionOut, DaemonRollback, DeployedProvider, DeployedRevision, DeploymentTimes,
    DescribeDaemonDeploymentsIn, DescribeDaemonDeploymentsOut, DescribeDaemonRevisionsIn, DescribeDaemonRevisionsOut,
    Failure, ListDaemonDeploymentsIn, ListDaemonDeploymentsOut,
};
use crate::ecs::{cluster, reference};

/// ECS's limit of one request, and its usual page.
const ARNS_MAX: usize = 20;
const PAGE: usize = 20;

/// ListDaemonDeployments, the newest first.
pub(in crate::ecs) fn list(cx: &Context, input: ListDaemonDeploymentsIn) -> Result<ListDaemonDeploymentsOut, EcsError> {
    let tenant = &cx.tenant;
    let (cluster, name) = reference::daemon(tenant, &input.daemon_arn)?;
    let found = cx.store.read(|view| {
        cluster::active(view, tenant, &cluster)?;
        // The operation knows no DaemonNotFoundException.
        known(view, tenant, &cluster, &name).map_err(|error| EcsError::parameter(error.to_string()))?;
        Ok::<_, EcsError>(view.scan::<DaemonDeployment>(&Prefix::parent(tenant, &keys::daemon_parent(&cluster, &name))))
    })?;
    let between = input.created_at.unwrap_or_default();
    let mut found: Vec<_> = found
        .iter()
        .filter(|it| input.status.is_empty() || input.status.contains(&it.status))
        .filter(|it| between.after.is_none_or(|after| it.created_at.epoch_seconds() > after))
        .filter(|it| between.before.is_none_or(|before| it.created_at.epoch_seconds() < before))
        .map(|it| (format!("{:020}\0{}", it.created_at.millis(), it.id), summary(it)))
        .collect();
    found.sort_by(|left, right| right.0.cmp(&left.0));
    let listing = Listing { name: "daemon-deployments", default: PAGE, max: PAGE_MAX };
    let (daemon_deployments, next_token) = listing.cut(&input.page, Direction::Down, found)?;
    Ok(ListDaemonDeploymentsOut { daemon_deployments, next_token })
}

fn summary(it: &DaemonDeployment) -> DaemonDeploymentSummary {
    DaemonDeploymentSummary {
        daemon_deployment_arn: it.arn(),
        daemon_arn: daemon_arn(&it.tenant, &it.cluster, &it.daemon),
        cluster_arn: cluster_arn(&it.tenant, &it.cluster),
        status: it.status,
        status_reason: it.status_reason.clone(),
        target_daemon_revision_arn: it.target_revision.as_deref().map(|id| revision_arn(it, id)),
        times: times(it),
    }
}

fn revision_arn(it: &DaemonDeployment, id: &str) -> String {
    daemon_revision_arn(&it.tenant, &it.cluster, &it.daemon, id)
}

fn times(it: &DaemonDeployment) -> DeploymentTimes {
    DeploymentTimes {
        created_at: it.created_at.epoch_seconds(),
        started_at: it.started_at.map(Timestamp::epoch_seconds),
        stopped_at: it.stopped_at.map(Timestamp::epoch_seconds),
        finished_at: it.finished_at.map(Timestamp::epoch_seconds),
    }
}

fn check_number(arns: &[String], member: &str) -> Result<(), EcsError> {
    match arns.len() {
        0 => Err(EcsError::parameter(format!("{member} cannot be empty."))),
        1..=ARNS_MAX => Ok(()),
        _ => Err(EcsError::parameter(format!("{member} cannot have more than {ARNS_MAX} elements."))),
    }
}

/// DescribeDaemonDeployments. Unknown ones are among the failures.
pub(in crate::ecs) fn describe(
    cx: &Context,
    input: DescribeDaemonDeploymentsIn,
) -> Result<DescribeDaemonDeploymentsOut, EcsError> {
    let arns = input.daemon_deployment_arns;
    check_number(&arns, "daemonDeploymentArns")?;
    let parts = arns.iter().map(|arn| reference::daemon_part(&cx.tenant, "daemon-deployment", arn));
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    cx.store.read(|view| {
        let mut out = DescribeDaemonDeploymentsOut::default();
        for (arn, [cluster, daemon, id]) in arns.into_iter().zip(parts) {
            match view.get::<DaemonDeployment>(&keys::daemon_part(&cx.tenant, &cluster, &daemon, &id)) {
                Some(found) => out.daemon_deployments.push(show(view, &found)),
                None => out.failures.push(Failure::missing(arn)),
            }
        }
        Ok(out)
    })
}

fn show(view: &impl Read, it: &DaemonDeployment) -> DaemonDeploymentOut {
    let revision = |id: &str| deployed(view, it, id);
    let rollback = it.rollback.as_ref().map(|back| {
        let target = revision(&back.revision);
        DaemonRollback {
            reason: back.reason.clone(),
            started_at: back.started_at.epoch_seconds(),
            rollback_target_daemon_revision_arn: target.arn,
            rollback_capacity_providers: target.capacity_providers.into_iter().map(|one| one.arn).collect(),
        }
    });
    DaemonDeploymentOut {
        daemon_deployment_arn: it.arn(),
        cluster_arn: cluster_arn(&it.tenant, &it.cluster),
        status: it.status,
        status_reason: it.status_reason.clone(),
        target_daemon_revision: it.target_revision.as_deref().map(revision),
        source_daemon_revisions: it.source_revisions.iter().map(|id| revision(id)).collect(),
        circuit_breaker: breaker(it),
        alarms: alarms(it),
        rollback,
        deployment_configuration: it.configuration.clone(),
        times: times(it),
    }
}

/// Status of a monitor that has fired or not.
fn monitor(it: &DaemonDeployment, has_fired: bool) -> &'static str {
    if has_fired {
        return "TRIGGERED";
    }
    match it.status {
        Status::Pending | Status::InProgress | Status::StopRequested => "MONITORING",
        Status::RollbackInProgress
        | Status::Successful
        | Status::Stopped
        | Status::RollbackSuccessful
        | Status::RollbackFailed => "MONITORING_COMPLETE",
    }
}

fn breaker(it: &DaemonDeployment) -> Breaker {
    let threshold = DeploymentConfiguration::breaker_threshold(it.instances);
    let went_back = it.rollback.is_some() && it.triggered_alarms.is_empty();
    Breaker {
        status: monitor(it, went_back || it.failed_tasks >= threshold),
        failure_count: it.tripped_at.unwrap_or(it.failed_tasks),
        threshold,
    }
}

fn alarms(it: &DaemonDeployment) -> AlarmsSeen {
    let watched = it.configuration.watched_alarms();
    AlarmsSeen {
        status: watched.map_or("DISABLED", |_| monitor(it, !it.triggered_alarms.is_empty())),
        alarm_names: watched.unwrap_or_default().to_vec(),
        triggered_alarm_names: it.triggered_alarms.clone(),
    }
}

/// Where a revision runs, and where it is on its way out: each task of a daemon stands for its instance.
fn deployed(view: &impl Read, it: &DaemonDeployment, id: &str) -> DeployedRevision {
    let (tenant, cluster) = (&it.tenant, &it.cluster);
    let revision = view.get::<DaemonRevision>(&keys::daemon_part(tenant, cluster, &it.daemon, id));
    let by = cove_model::daemon::daemon_started_by(id);
    let mut tasks = view.listed::<Task>(&keys::tasks_of_daemon(tenant, cluster, &it.daemon));
    tasks.retain(|task| task.started_by.as_deref() == Some(&*by));
    let is_draining = |task: &Task| {
        let instance = task.placement.container_instance.as_deref().unwrap_or_default();
        let instance = view.get::<ContainerInstance>(&keys::container_instance(tenant, cluster, instance));
        task.is_stopping() || instance.is_some_and(|it| it.status == ContainerInstanceStatus::Draining)
    };
    let is_of = |task: &Task, name: &String| task.placement.capacity_provider.as_ref() == Some(name);
    let is_running = |task: &Task| task.observed.status == TaskStatus::Running && !is_draining(task);
    let provider = |name: &String| DeployedProvider {
        arn: capacity_provider_arn(tenant, name),
        running_instance_count: tasks.iter().filter(|task| is_of(task, name) && is_running(task)).count(),
        draining_instance_count: tasks.iter().filter(|task| is_of(task, name) && is_draining(task)).count(),
    };
    DeployedRevision {
        arn: revision_arn(it, id),
        capacity_providers: revision.iter().flat_map(|it| it.capacity_providers.iter().map(provider)).collect(),
        total_running_instance_count: tasks.iter().filter(|task| is_running(task)).count(),
        total_draining_instance_count: tasks.iter().filter(|task| is_draining(task)).count(),
    }
}

/// DescribeDaemonRevisions. Unknown ones are among the failures.
pub(in crate::ecs) fn describe_revisions(
    cx: &Context,
    input: DescribeDaemonRevisionsIn,
) -> Result<DescribeDaemonRevisionsOut, EcsError> {
    let arns = input.daemon_revision_arns;
    check_number(&arns, "daemonRevisionArns")?;
    let parts = arns.iter().map(|arn| reference::daemon_part(&cx.tenant, "daemon-revision", arn));
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    cx.store.read(|view| {
        let mut out = DescribeDaemonRevisionsOut::default();
        for (arn, [cluster, daemon, id]) in arns.into_iter().zip(parts) {
            match view.get::<DaemonRevision>(&keys::daemon_part(&cx.tenant, &cluster, &daemon, &id)) {
                Some(found) => out.daemon_revisions.push(show_revision(view, &found)),
                None => out.failures.push(Failure::missing(arn)),
            }
        }
        Ok(out)
    })
}

fn show_revision(view: &impl Read, it: &DaemonRevision) -> DaemonRevisionOut {
    let template = &it.template;
    let definition =
        view.get::<TaskDefinition>(&keys::definition(&template.tenant, &template.family, template.revision));
    let containers = definition.iter().flat_map(|it| it.document.container_definitions.iter());
    let images = containers.map(|container| {
        let container_name = container.name.clone().unwrap_or_default();
        let pinned = it.images.iter().find(|image| image.container == container_name);
        DaemonContainerImage {
            image_digest: pinned.map(|image| image.digest.clone()),
            image: container.image.clone().unwrap_or_default(),
            container_name,
        }
    });
    DaemonRevisionOut {
        daemon_revision_arn: it.arn(),
        cluster_arn: cluster_arn(&it.tenant, &it.cluster),
        daemon_arn: daemon_arn(&it.tenant, &it.cluster, &it.daemon),
        daemon_task_definition_arn: template.definition_arn(),
        created_at: it.created_at.epoch_seconds(),
        container_images: images.collect(),
        propagate_tags: if it.propagates_tags { DaemonPropagateTags::Daemon } else { DaemonPropagateTags::None },
        enable_ecs_managed_tags: it.managed_tags,
        enable_execute_command: template.enable_execute_command,
    }
}
