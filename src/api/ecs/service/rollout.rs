//! Service deployments and service revisions: looked at, stopped, continued.

use cove_model::arn::Tenant;
use cove_model::service::{
    BreakerCount, DeploymentConfiguration, HookAction, HookStatus, Service, ServiceDeployment,
    ServiceDeploymentStatus as Status, ServiceRevision, revision_arn,
};
use cove_store::{Prefix, Read, keys};

use super::show::{self, Counts};
use crate::Context;
use crate::ecs::error::EcsError;
use crate::ecs::page::{Direction, Listing, PAGE_MAX};
use crate::ecs::wire;
use crate::ecs::wire::{
    AlarmsSeen, Breaker, ContinueServiceDeploymentIn, DeploymentBrief, DescribeServiceDeploymentsIn,
    DescribeServiceDeploymentsOut, DescribeServiceRevisionsIn, DescribeServiceRevisionsOut, Failure, HookDetail,
    ListServiceDeploymentsIn, ListServiceDeploymentsOut, RevisionSummary, ServiceDeploymentArnOut,
    StopServiceDeploymentIn, StopType,
};
use crate::ecs::{cluster, reference};

/// ECS's limit of one request, and its usual page.
const ARNS_MAX: usize = 20;
const PAGE: usize = 20;

/// ListServiceDeployments, the newest first.
pub(in crate::ecs) fn list_deployments(
    cx: &Context,
    input: ListServiceDeploymentsIn,
) -> Result<ListServiceDeploymentsOut, EcsError> {
    let tenant = &cx.tenant;
    let cluster = reference::cluster(tenant, input.cluster.as_deref())?;
    let name = reference::service(tenant, &cluster, &input.service)?;
    let found = cx.store.read(|view| {
        cluster::active(view, tenant, &cluster)?;
        super::known(view, tenant, &cluster, &name)?;
        Ok::<_, EcsError>(
            view.scan::<ServiceDeployment>(&Prefix::parent(tenant, &keys::service_parent(&cluster, &name))),
        )
    })?;
    let between = input.created_at.unwrap_or_default();
    let mut found: Vec<_> = found
        .into_iter()
        .filter(|it| input.status.is_empty() || input.status.contains(&it.status))
        .filter(|it| between.after.is_none_or(|after| it.created_at.epoch_seconds() > after))
        .filter(|it| between.before.is_none_or(|before| it.created_at.epoch_seconds() < before))
        .map(|it| (format!("{:020}\0{}", it.created_at.millis(), it.id), it))
        .collect();
    found.sort_by(|left, right| right.0.cmp(&left.0));
    let listing = Listing { name: "service-deployments", default: PAGE, max: PAGE_MAX };
    let (page, next_token) = listing.cut(&input.page, Direction::Down, found)?;
    Ok(ListServiceDeploymentsOut { service_deployments: page.iter().map(|it| brief(it)).collect(), next_token })
}

fn brief(it: &ServiceDeployment) -> DeploymentBrief {
    DeploymentBrief {
        service_deployment_arn: it.arn(),
        service_arn: cove_model::service::service_arn(&it.tenant, &it.cluster, &it.service),
        cluster_arn: cove_model::cluster::cluster_arn(&it.tenant, &it.cluster),
        started_at: it.started_at.map(cove_base::Timestamp::epoch_seconds),
        created_at: it.created_at.epoch_seconds(),
        finished_at: it.finished_at.map(cove_base::Timestamp::epoch_seconds),
        target_service_revision_arn: revision_arn(&it.tenant, &it.cluster, &it.service, &it.target_revision),
        status: it.status,
        status_reason: it.status_reason.clone(),
    }
}

/// DescribeServiceDeployments.
pub(in crate::ecs) fn describe_deployments(
    cx: &Context,
    input: DescribeServiceDeploymentsIn,
) -> Result<DescribeServiceDeploymentsOut, EcsError> {
    let arns = input.service_deployment_arns;
    check_number(arns.len(), "serviceDeploymentArns")?;
    let parsed = arns.iter().map(|arn| Of::parse(&cx.tenant, "service-deployment", arn));
    let parsed: Vec<Of> = parsed.collect::<Result<_, _>>()?;
    cx.store.read(|view| {
        let mut out = DescribeServiceDeploymentsOut { service_deployments: Vec::new(), failures: Vec::new() };
        for (arn, of) in arns.iter().zip(&parsed) {
            let service = view.get::<Service>(&keys::service(&cx.tenant, &of.cluster, &of.service));
            match (of.deployment(view, &cx.tenant), service) {
                (Some(found), Some(service)) => out.service_deployments.push(show_one(view, &service, &found)),
                (None, _) | (_, None) => out.failures.push(Failure::missing(arn.clone())),
            }
        }
        Ok(out)
    })
}

fn show_one(store: &impl Read, service: &Service, it: &ServiceDeployment) -> wire::ServiceDeployment {
    let tasks = show::tasks(store, service);
    let of_revision = |id: &String, percent: f64| {
        let deployment = service.deployments.iter().find(|deployment| deployment.revision == *id);
        let counts = Counts::of_deployment(&tasks, deployment.map_or("", |deployment| &deployment.id));
        RevisionSummary {
            arn: revision_arn(&it.tenant, &it.cluster, &it.service, id),
            requested_task_count: counts.wanted,
            running_task_count: counts.running,
            pending_task_count: counts.pending,
            requested_production_traffic_weight: percent,
        }
    };
    let failed_tasks = service
        .deployments
        .iter()
        .find(|deployment| deployment.service_deployment == it.id && deployment.revision == it.target_revision)
        .map_or(0, |deployment| deployment.failed_tasks);
    // Of several that there were, one has the traffic: where it goes back to, what was completed, else the newest.
    let completed = it.source_revisions.iter().find(|id| Some(*id) == service.completed_revision.as_ref());
    let carrier = it.rollback.as_ref().map(|back| &back.revision).or(completed).or(it.source_revisions.first());
    let brief = brief(it);
    wire::ServiceDeployment {
        service_deployment_arn: brief.service_deployment_arn,
        service_arn: brief.service_arn,
        cluster_arn: brief.cluster_arn,
        created_at: brief.created_at,
        started_at: brief.started_at,
        finished_at: brief.finished_at,
        stopped_at: it.stopped_at.map(cove_base::Timestamp::epoch_seconds),
        updated_at: it.updated_at.epoch_seconds(),
        source_service_revisions: it
            .source_revisions
            .iter()
            .map(|id| of_revision(id, if carrier == Some(id) { 100.0 - it.production_percent } else { 0.0 }))
            .collect(),
        target_service_revision: of_revision(&it.target_revision, it.production_percent),
        status: it.status,
        status_reason: it.status_reason.clone(),
        lifecycle_stage: it.stage,
        lifecycle_hook_details: it
            .hooks
            .iter()
            .map(|hook| HookDetail {
                hook_id: hook.id.clone(),
                target_type: "PAUSE",
                status: hook.status,
                expires_at: hook.expires_at.map(cove_base::Timestamp::epoch_seconds),
                timeout_action: hook.on_timeout,
            })
            .collect(),
        deployment_configuration: it.configuration.clone(),
        rollback: it.rollback.as_ref().map(|back| wire::Rollback {
            reason: back.reason.clone(),
            started_at: back.started_at.epoch_seconds(),
            service_revision_arn: revision_arn(&it.tenant, &it.cluster, &it.service, &back.revision),
        }),
        deployment_circuit_breaker: breaker(service, it, failed_tasks),
        alarms: alarms(it),
    }
}

fn breaker(service: &Service, it: &ServiceDeployment, failed_tasks: u32) -> Breaker {
    let now = BreakerCount {
        failures: failed_tasks,
        threshold: DeploymentConfiguration::breaker_threshold(service.desired_count),
    };
    let BreakerCount { failures: failure_count, threshold } = it.failed_at.unwrap_or(now);
    let enabled = it.configuration.deployment_circuit_breaker.as_ref().is_some_and(|breaker| breaker.enable);
    let status = match (enabled, it.is_open()) {
        (false, _) => "DISABLED",
        (true, _) if failure_count >= threshold => "TRIGGERED",
        (true, true) => "MONITORING",
        (true, false) => "MONITORING_COMPLETE",
    };
    Breaker { status, failure_count, threshold }
}

fn alarms(it: &ServiceDeployment) -> Option<AlarmsSeen> {
    let alarms = it.configuration.alarms.as_ref()?;
    let status = match (alarms.enable, it.triggered_alarms.is_empty(), it.is_open()) {
        (false, _, _) => "DISABLED",
        (true, false, _) => "TRIGGERED",
        (true, true, true) => "MONITORING",
        (true, true, false) => "MONITORING_COMPLETE",
    };
    let (alarm_names, triggered_alarm_names) = (alarms.alarm_names.clone(), it.triggered_alarms.clone());
    Some(AlarmsSeen { status, alarm_names, triggered_alarm_names })
}

/// DescribeServiceRevisions.
pub(in crate::ecs) fn describe_revisions(
    cx: &Context,
    input: DescribeServiceRevisionsIn,
) -> Result<DescribeServiceRevisionsOut, EcsError> {
    let arns = input.service_revision_arns;
    check_number(arns.len(), "serviceRevisionArns")?;
    let parsed = arns.iter().map(|arn| Of::parse(&cx.tenant, "service-revision", arn));
    let parsed: Vec<Of> = parsed.collect::<Result<_, _>>()?;
    Ok(cx.store.read(|view| {
        let mut out = DescribeServiceRevisionsOut { service_revisions: Vec::new(), failures: Vec::new() };
        for (arn, of) in arns.iter().zip(&parsed) {
            let key = keys::service_revision(&cx.tenant, &of.cluster, &of.service, &of.id);
            match view.get::<ServiceRevision>(&key) {
                Some(found) => out.service_revisions.push(show_revision(view, &found)),
                None => out.failures.push(Failure::missing(arn.clone())),
            }
        }
        out
    }))
}

fn show_revision(store: &impl Read, it: &ServiceRevision) -> wire::ServiceRevision {
    let template = &it.template;
    let key = keys::definition(&it.tenant, &template.family, template.revision);
    let definition = store.get::<cove_model::task_definition::TaskDefinition>(&key);
    let containers = definition.iter().flat_map(|definition| &definition.document.container_definitions);
    let image = |name: &str, image: &str| wire::ContainerImage {
        container_name: name.to_owned(),
        image_digest: it.images.iter().find(|pinned| pinned.container == name).map(|pinned| pinned.digest.clone()),
        image: image.to_owned(),
    };
    wire::ServiceRevision {
        service_revision_arn: it.arn(),
        service_arn: cove_model::service::service_arn(&it.tenant, &it.cluster, &it.service),
        cluster_arn: cove_model::cluster::cluster_arn(&it.tenant, &it.cluster),
        task_definition: template.definition_arn(),
        capacity_provider_strategy: show::strategy(it),
        launch_type: show::launch_type(it),
        platform_version: show::platform_version(it),
        platform_family: show::platform_family(it),
        network_configuration: it.network_configuration.clone(),
        container_images: containers
            .map(|container| {
                image(container.name.as_deref().unwrap_or_default(), container.image.as_deref().unwrap_or_default())
            })
            .collect(),
        guard_duty_enabled: false,
        created_at: it.created_at.epoch_seconds(),
    }
}

/// StopServiceDeployment. Rolls back unless it is to be aborted; the scheduler does it.
pub(in crate::ecs) async fn stop_deployment(
    cx: &Context,
    input: StopServiceDeploymentIn,
) -> Result<ServiceDeploymentArnOut, EcsError> {
    let status = match input.stop_type.unwrap_or(StopType::Rollback) {
        StopType::Abort => Status::StopRequested,
        StopType::Rollback => Status::RollbackRequested,
    };
    change(cx, input.service_deployment_arn, move |deployment| match deployment.status {
        Status::Pending | Status::InProgress => {
            deployment.status = status;
            Ok(())
        }
        // It goes on stopping, or going back.
        Status::StopRequested | Status::RollbackRequested | Status::RollbackInProgress => Ok(()),
        Status::Successful | Status::Stopped | Status::RollbackSuccessful | Status::RollbackFailed => {
            Err(EcsError::parameter("The service deployment is not in progress."))
        }
    })
    .await
}

/// ContinueServiceDeployment: the answer to a PAUSE hook.
pub(in crate::ecs) async fn continue_deployment(
    cx: &Context,
    input: ContinueServiceDeploymentIn,
) -> Result<ServiceDeploymentArnOut, EcsError> {
    let status = match input.action.unwrap_or(HookAction::Continue) {
        HookAction::Continue => HookStatus::Succeeded,
        HookAction::Rollback => HookStatus::Failed,
    };
    let hook_id = input.hook_id;
    change(cx, input.service_deployment_arn, move |deployment| {
        let hook = deployment.hooks.iter_mut().find(|hook| hook.id == hook_id);
        let hook = hook.ok_or_else(|| EcsError::parameter(format!("The hook {hook_id} was not found.")))?;
        if hook.status != HookStatus::AwaitingAction {
            return Err(EcsError::parameter("The hook is not awaiting an action."));
        }
        hook.status = status;
        Ok(())
    })
    .await
}

async fn change(
    cx: &Context,
    arn: String,
    apply: impl FnOnce(&mut ServiceDeployment) -> Result<(), EcsError> + Send + 'static,
) -> Result<ServiceDeploymentArnOut, EcsError> {
    let tenant = cx.tenant.clone();
    let of = Of::parse(&tenant, "service-deployment", &arn)?;
    cx.store
        .write(move |tx| {
            let found = of.deployment(tx, &tenant).ok_or(EcsError::ServiceDeploymentNotFound)?;
            let mut deployment = (*found).clone();
            apply(&mut deployment)?;
            deployment.updated_at = tx.now();
            tx.put(deployment);
            Ok::<_, EcsError>(())
        })
        .await?;
    Ok(ServiceDeploymentArnOut { service_deployment_arn: arn })
}

fn check_number(number: usize, member: &str) -> Result<(), EcsError> {
    match number {
        0 => Err(EcsError::parameter(format!("{member} cannot be empty."))),
        1..=ARNS_MAX => Ok(()),
        _ => Err(EcsError::parameter(format!("{member} cannot have more than {ARNS_MAX} elements."))),
    }
}

/// What the ARN of a revision or a deployment says.
struct Of {
    cluster: String,
    service: String,
    id: String,
}

impl Of {
    fn parse(tenant: &Tenant, kind: &str, arn: &str) -> Result<Self, EcsError> {
        let path = reference::of_kind(tenant, kind, arn)?;
        let mut parts = path.split('/').map(str::to_owned);
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(cluster), Some(service), Some(id), None) => Ok(Self { cluster, service, id }),
            _ => Err(EcsError::parameter(format!("Invalid identifier: {arn} is no ARN of a {kind}."))),
        }
    }

    fn deployment(&self, store: &impl Read, tenant: &Tenant) -> Option<std::sync::Arc<ServiceDeployment>> {
        store.get(&keys::service_deployment(tenant, &self.cluster, &self.service, &self.id))
    }
}
