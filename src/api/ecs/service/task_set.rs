//! Task sets of services that an EXTERNAL controller deploys.

use std::sync::Arc;

use cove_model::arn::Tenant;
use cove_model::service::{DeploymentController, Service, TaskSet, TaskSetStatus, service_arn};
use cove_scheduler::services::put_revision;
use cove_store::{Prefix, Read, Tx, keys};

use super::ask::{Rules, Workload, ask};
use super::create::own_rules_aside;
use super::show::{self, Counts};
use crate::Context;
use crate::ecs::error::EcsError;
use crate::ecs::task::{reach_of, resolve};
use crate::ecs::wire;
use crate::ecs::wire::{
    CreateTaskSetIn, DeleteTaskSetIn, DescribeTaskSetsIn, DescribeTaskSetsOut, Failure, Scale, TagsField, TaskSetOut,
    UpdatePrimaryTaskSetIn, UpdateTaskSetIn,
};
use crate::ecs::{cluster, reference, tag};

/// ECS's quota of task sets of a service.
const SETS_MAX: usize = 5;
const TOKEN_MAX: usize = 36;
const PERCENT: &str = "PERCENT";

/// CreateTaskSet.
pub(in crate::ecs) async fn create(cx: &Context, input: CreateTaskSetIn) -> Result<TaskSetOut, EcsError> {
    check(&input)?;
    let scale_percent = percent(input.scale.as_ref())?;
    let (tenant, host, reach) = (cx.tenant.clone(), Arc::clone(&cx.settings.host), reach_of(cx));
    let task_set = cx
        .store
        .write(move |tx| {
            let service = external(tx, &tenant, &input.cluster, &input.service)?;
            let sets = all(tx, &service);
            let same = |set: &&TaskSet| set.client_token.is_some() && set.client_token == input.client_token;
            if let Some(known) = sets.iter().find(same) {
                return Ok(show(tx, &service, known, true));
            }
            if sets.len() >= SETS_MAX {
                return Err(EcsError::LimitExceeded(format!("A service can have at most {SETS_MAX} task sets.")));
            }
            let workload = Workload {
                launch_type: input.launch_type,
                capacity_provider_strategy: input.capacity_provider_strategy,
                platform_version: input.platform_version,
                network_configuration: input.network_configuration,
                express: None,
            };
            let rules = Rules {
                cluster: &service.cluster,
                name: &service.name,
                constraints: &service.constraints,
                strategies: &service.strategies,
                enable_execute_command: service.enable_execute_command,
            };
            let ask = ask(&workload, reference::definition(&tenant, &input.task_definition)?, &rules)?;
            let template = own_rules_aside(resolve(tx, &tenant, &host, &ask, reach)?, service.constraints.len());
            let now = tx.now();
            let revision = workload.revision(&service, template, now);
            let set = TaskSet {
                tenant: tenant.clone(),
                cluster: service.cluster.clone(),
                service: service.name.clone(),
                id: format!("ecs-svc/{}", revision.id),
                external_id: input.external_id,
                status: TaskSetStatus::Active,
                revision: revision.id.clone(),
                scale_percent,
                is_steady: false,
                stability_at: now,
                tags: input.tags,
                client_token: input.client_token,
                created_at: now,
                updated_at: now,
            };
            tx.put(set.clone());
            put_revision(tx, &service, revision);
            Ok::<_, EcsError>(show(tx, &service, &set, true))
        })
        .await?;
    Ok(TaskSetOut { task_set })
}

fn check(input: &CreateTaskSetIn) -> Result<(), EcsError> {
    tag::check(&input.tags)?;
    let given = [
        ("loadBalancers", !input.load_balancers.is_empty()),
        ("serviceRegistries", !input.service_registries.is_empty()),
    ];
    let names: Vec<&str> = given.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name).collect();
    if !names.is_empty() {
        let names = names.join(", ");
        return Err(EcsError::UnsupportedFeature(format!("This version of Cove does not carry out: {names}.")));
    }
    let good = |token: &String| !token.is_empty() && token.len() <= TOKEN_MAX;
    if input.client_token.as_ref().is_some_and(|token| !good(token)) {
        return Err(EcsError::parameter("clientToken must have between 1 and 36 printable ASCII characters."));
    }
    Ok(())
}

/// ECS's default is the whole.
fn percent(scale: Option<&Scale>) -> Result<f64, EcsError> {
    let Some(scale) = scale else { return Ok(100.0) };
    if !(0.0..=100.0).contains(&scale.value) || scale.unit.as_deref().is_some_and(|unit| unit != PERCENT) {
        return Err(EcsError::parameter("scale must be a PERCENT between 0 and 100."));
    }
    Ok(scale.value)
}

/// The service, which must be deployed by somebody else.
fn external(store: &impl Read, tenant: &Tenant, cluster: &str, service: &str) -> Result<Arc<Service>, EcsError> {
    let cluster = reference::cluster(tenant, Some(cluster))?;
    cluster::active(store, tenant, &cluster)?;
    let name = reference::service(tenant, &cluster, service)?;
    let service = super::active(store, tenant, &cluster, &name)?;
    match service.controller {
        DeploymentController::External => Ok(service),
        DeploymentController::Ecs | DeploymentController::CodeDeploy => Err(EcsError::parameter(
            "Task sets are only supported for services with the EXTERNAL deployment controller.",
        )),
    }
}

fn all(store: &impl Read, service: &Service) -> Vec<TaskSet> {
    let inside = Prefix::parent(&service.tenant, &keys::service_parent(&service.cluster, &service.name));
    store.scan::<TaskSet>(&inside).iter().map(|set| (**set).clone()).collect()
}

/// From an id or an ARN.
fn find(store: &impl Read, service: &Service, text: &str) -> Result<TaskSet, EcsError> {
    let id = text.rsplit('/').next().unwrap_or(text);
    let key = keys::task_set(&service.tenant, &service.cluster, &service.name, id);
    let set = store.get::<TaskSet>(&key).map(|set| (*set).clone());
    set.filter(|set| text.len() == id.len() || text == set.id || text == set.arn()).ok_or(EcsError::TaskSetNotFound)
}

/// UpdateTaskSet.
pub(in crate::ecs) async fn update(cx: &Context, input: UpdateTaskSetIn) -> Result<TaskSetOut, EcsError> {
    let scale_percent = percent(Some(&input.scale))?;
    change(cx, input.cluster, input.service, input.task_set, move |_, set| {
        set.scale_percent = scale_percent;
        Ok(())
    })
    .await
}

/// UpdateServicePrimaryTaskSet. The one that was PRIMARY is ACTIVE now.
pub(in crate::ecs) async fn make_primary(cx: &Context, input: UpdatePrimaryTaskSetIn) -> Result<TaskSetOut, EcsError> {
    change(cx, input.cluster, input.service, input.primary_task_set, |others, set| {
        if set.status == TaskSetStatus::Draining {
            return Err(EcsError::parameter("The task set is being deleted."));
        }
        for other in others.iter_mut().filter(|other| other.status == TaskSetStatus::Primary) {
            other.status = TaskSetStatus::Active;
        }
        set.status = TaskSetStatus::Primary;
        Ok(())
    })
    .await
}

/// DeleteTaskSet. The scheduler stops its tasks; with the last one it is gone.
pub(in crate::ecs) async fn delete(cx: &Context, input: DeleteTaskSetIn) -> Result<TaskSetOut, EcsError> {
    let force = input.force;
    change(cx, input.cluster, input.service, input.task_set, move |_, set| {
        if !force && set.scale_percent > 0.0 && set.status != TaskSetStatus::Draining {
            return Err(EcsError::parameter("The task set cannot be deleted while it is scaled above 0."));
        }
        set.status = TaskSetStatus::Draining;
        Ok(())
    })
    .await
}

async fn change(
    cx: &Context,
    cluster: String,
    service: String,
    task_set: String,
    apply: impl FnOnce(&mut [TaskSet], &mut TaskSet) -> Result<(), EcsError> + Send + 'static,
) -> Result<TaskSetOut, EcsError> {
    let tenant = cx.tenant.clone();
    let task_set = cx
        .store
        .write(move |tx| {
            let service = external(tx, &tenant, &cluster, &service)?;
            let mut set = find(tx, &service, &task_set)?;
            let before: Vec<TaskSet> = all(tx, &service).into_iter().filter(|other| other.id != set.id).collect();
            let mut others = before.clone();
            apply(&mut others, &mut set)?;
            set.updated_at = tx.now();
            put_changed(tx, &before, others);
            tx.put(set.clone());
            Ok::<_, EcsError>(show(tx, &service, &set, true))
        })
        .await?;
    Ok(TaskSetOut { task_set })
}

fn put_changed(tx: &mut Tx<'_>, before: &[TaskSet], after: Vec<TaskSet>) {
    for (mut set, _) in after.into_iter().zip(before).filter(|(after, before)| after != *before) {
        set.updated_at = tx.now();
        tx.put(set);
    }
}

/// DescribeTaskSets: the named ones, or all.
pub(in crate::ecs) fn describe(cx: &Context, input: DescribeTaskSetsIn) -> Result<DescribeTaskSetsOut, EcsError> {
    let with_tags = input.include.contains(&TagsField::Tags);
    cx.store.read(|view| {
        let service = external(view, &cx.tenant, &input.cluster, &input.service)?;
        let mut out = DescribeTaskSetsOut { task_sets: Vec::new(), failures: Vec::new() };
        if input.task_sets.is_empty() {
            out.task_sets = shown(view, &service, with_tags);
        }
        for text in &input.task_sets {
            match find(view, &service, text) {
                Ok(set) => out.task_sets.push(show(view, &service, &set, with_tags)),
                Err(_) => out.failures.push(Failure::missing(text.clone())),
            }
        }
        Ok(out)
    })
}

/// All sets of a service, as DescribeServices shows them, too.
pub(super) fn shown(store: &impl Read, service: &Service, with_tags: bool) -> Vec<wire::TaskSet> {
    all(store, service).iter().map(|set| show(store, service, set, with_tags)).collect()
}

fn show(store: &impl Read, service: &Service, set: &TaskSet, with_tags: bool) -> wire::TaskSet {
    let counts = Counts::of_deployment(&show::tasks(store, service), &set.id);
    let revision = show::revision(store, service, &set.revision);
    let revision = revision.as_deref();
    wire::TaskSet {
        id: set.id.clone(),
        task_set_arn: set.arn(),
        service_arn: service_arn(&set.tenant, &set.cluster, &set.service),
        cluster_arn: service.cluster_arn(),
        external_id: set.external_id.clone(),
        status: set.status,
        task_definition: revision.map(|it| it.template.definition_arn()).unwrap_or_default(),
        computed_desired_count: set.computed_desired_count(service.desired_count),
        pending_count: counts.pending,
        running_count: counts.running,
        created_at: set.created_at.epoch_seconds(),
        updated_at: set.updated_at.epoch_seconds(),
        launch_type: revision.and_then(show::launch_type),
        capacity_provider_strategy: revision.map(show::strategy).unwrap_or_default(),
        platform_version: revision.and_then(show::platform_version),
        platform_family: revision.and_then(show::platform_family),
        network_configuration: revision.and_then(|it| it.network_configuration.clone()),
        load_balancers: Vec::new(),
        service_registries: Vec::new(),
        scale: Scale { value: set.scale_percent, unit: Some(PERCENT.to_owned()) },
        stability_status: if set.is_steady { "STEADY_STATE" } else { "STABILIZING" },
        stability_status_at: set.stability_at.epoch_seconds(),
        tags: if with_tags { set.tags.clone() } else { Vec::new() },
    }
}
