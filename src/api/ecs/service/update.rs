//! UpdateService: what changes the workload begins a deployment; the rest is in force at once.

use cove_model::service::{DeploymentController, ExpressRevision, SchedulingStrategy, Service, ServiceRevision};
use cove_model::task::LaunchType;
use cove_scheduler::services::begin;
use cove_store::{Read, Tx, keys};

use super::ask::{Rules, Workload, ask, check_members, check_placing, check_strategy};
use super::create::{By, check_count, check_grace, own_rules_aside};
use super::rebalancing;
use super::show::show;
use crate::Context;
use crate::ecs::error::EcsError;
use crate::ecs::reference::DefinitionRef;
use crate::ecs::task::{check_rules, resolve};
use crate::ecs::wire::{ServiceOut, Switch, UpdateServiceIn};
use crate::ecs::{cluster, reference};

/// UpdateService.
pub(in crate::ecs) async fn update(cx: &Context, input: UpdateServiceIn) -> Result<ServiceOut, EcsError> {
    check_members(&input.to_come, input.deployment_configuration.as_ref())?;
    check_count(input.desired_count)?;
    check_grace(input.health_check_grace_period_seconds)?;
    let by = By::caller(cx);
    let service = cx
        .store
        .write(move |tx| {
            let cluster = reference::cluster(&by.tenant, input.cluster.as_deref())?;
            cluster::active(tx, &by.tenant, &cluster)?;
            let name = reference::service(&by.tenant, &cluster, &input.service)?;
            let service = (*super::active(tx, &by.tenant, &cluster, &name)?).clone();
            let service = change(tx, &by, service, &input, None)?;
            Ok::<_, EcsError>(show(tx, &service, true))
        })
        .await?;
    Ok(ServiceOut { service })
}

/// Where a service goes back to from its capacity providers, whatever the cluster's own are: an empty strategy says so.
/// Managed instances have no launch type that a service could name.
const fn launch_type_of(revision: &ServiceRevision) -> Option<LaunchType> {
    match revision.template.placing.launch_type {
        LaunchType::ManagedInstances => None,
        it @ (LaunchType::Ec2 | LaunchType::Fargate | LaunchType::External) => Some(it),
    }
}

/// `express` is what the next revision of an Express service says beside its workload; absent, what the last one says.
pub(super) fn change(
    tx: &mut Tx<'_>,
    by: &By,
    mut service: Service,
    input: &UpdateServiceIn,
    express: Option<ExpressRevision>,
) -> Result<Service, EcsError> {
    let tenant = &by.tenant;
    if input.deployment_controller.is_some_and(|given| given.kind != service.controller) {
        return Err(EcsError::UnsupportedFeature(
            "This version of Cove does not carry out: another deploymentController of a service that is there."
                .to_owned(),
        ));
    }
    in_force_at_once(&mut service, input)?;
    if service.controller == DeploymentController::External {
        return by_others(tx, service, input);
    }
    let primary = service.primary().map(|primary| primary.revision.clone()).unwrap_or_default();
    let key = keys::service_revision(tenant, &service.cluster, &service.name, &primary);
    let before = tx.get::<ServiceRevision>(&key).ok_or(EcsError::ServiceNotFound)?;
    let mut workload = Workload::of(&before);
    if let Some(strategy) = &input.capacity_provider_strategy {
        check_strategy(service.scheduling, strategy)?;
        if *strategy != before.capacity_provider_strategy && !input.force_new_deployment {
            return Err(EcsError::parameter(
                "When switching from launch type to capacity provider strategy on an existing service, or making a change to a capacity provider strategy on a service that is already using one, you must force a new deployment.",
            ));
        }
        workload.capacity_provider_strategy.clone_from(strategy);
        workload.launch_type = if strategy.is_empty() { launch_type_of(&before) } else { None };
    }
    if let Some(version) = &input.platform_version {
        workload.platform_version = Some(version.clone());
    }
    if let Some(network) = &input.network_configuration {
        workload.network_configuration = Some(network.clone());
    }
    let keeps_express = express.is_none() || express == before.express;
    workload.express = express.or(workload.express);
    let definition = match &input.task_definition {
        Some(text) => reference::definition(tenant, text)?,
        None => DefinitionRef::Revision { family: before.template.family.clone(), revision: before.template.revision },
    };
    let rules = Rules {
        cluster: &service.cluster,
        name: &service.name,
        constraints: &service.constraints,
        strategies: &service.strategies,
        enable_execute_command: service.enable_execute_command,
    };
    let ask = ask(&workload, definition, &rules)?;
    // A definition that was deregistered meanwhile goes on, as long as nothing of the workload changes.
    let keeps = input.task_definition.is_none()
        && input.capacity_provider_strategy.is_none()
        && input.platform_version.is_none()
        && input.network_configuration.is_none()
        && keeps_express;
    let has_rules = !service.constraints.is_empty() || !service.strategies.is_empty();
    if keeps && has_rules && before.template.placing.launch_type == LaunchType::Fargate {
        return Err(EcsError::parameter(
            "Placement constraints and strategies are not supported with FARGATE launch type.",
        ));
    }
    let is_managed = before.template.placing.launch_type == LaunchType::ManagedInstances;
    if keeps && is_managed && !service.strategies.is_empty() {
        return Err(EcsError::parameter("Placement strategies are not supported with MANAGED_INSTANCES launch type."));
    }
    if !keeps || input.force_new_deployment {
        let mut template = own_rules_aside(resolve(tx, tenant, &by.host, &ask, by.reach)?, service.constraints.len());
        check_placing(service.scheduling, &template.placing)?;
        // It is the service's, and in force with the next task.
        template.enable_execute_command = before.template.enable_execute_command;
        // What resolves to the same is another configuration all the same: it is what clients read back.
        let keeps_network = workload.network() == before.network_configuration;
        if template != before.template || !keeps_network || input.force_new_deployment || !keeps_express {
            let revision = workload.revision(&service, template, tx.now());
            begin(tx, &mut service, revision);
        }
    }
    tx.put(service.clone());
    Ok(service)
}

/// Of a service that an EXTERNAL controller deploys, ECS changes nothing of its tasks.
fn by_others(tx: &mut Tx<'_>, service: Service, input: &UpdateServiceIn) -> Result<Service, EcsError> {
    check_rules(&service.constraints, &service.strategies)?;
    let deploys = input.task_definition.is_some()
        || input.capacity_provider_strategy.is_some()
        || input.platform_version.is_some()
        || input.network_configuration.is_some()
        || input.force_new_deployment;
    if deploys {
        return Err(EcsError::parameter(
            "Only the desired count and settings of a service with the EXTERNAL deployment controller can be updated.",
        ));
    }
    tx.put(service.clone());
    Ok(service)
}

fn in_force_at_once(service: &mut Service, input: &UpdateServiceIn) -> Result<(), EcsError> {
    if let Some(count) = input.desired_count {
        if service.scheduling == SchedulingStrategy::Daemon {
            return Err(EcsError::parameter(
                "The daemon scheduling strategy does not support a desired count for services. Remove the desired count value and try again.",
            ));
        }
        service.desired_count = u32::try_from(count).unwrap_or(0);
    }
    if let Some(given) = &input.deployment_configuration {
        let configuration = service.configuration.updated(given.clone(), service.scheduling);
        configuration.check(service.scheduling).map_err(|error| EcsError::parameter(error.to_string()))?;
        service.configuration = configuration;
    }
    if let Some(constraints) = &input.placement_constraints {
        service.constraints.clone_from(constraints);
    }
    if let Some(strategies) = &input.placement_strategy {
        if service.scheduling == SchedulingStrategy::Daemon && !strategies.is_empty() {
            return Err(EcsError::parameter(
                "The daemon scheduling strategy does not support placement strategies. Remove the placement strategies and try again.",
            ));
        }
        service.strategies.clone_from(strategies);
    }
    if let Some(secs) = input.health_check_grace_period_seconds {
        service.health_check_grace_secs = u32::try_from(secs).ok();
    }
    if let Some(switch) = input.availability_zone_rebalancing {
        service.rebalances_zones = switch == Switch::Enabled;
    }
    rebalancing::check(service)?;
    service.enable_execute_command = input.enable_execute_command.unwrap_or(service.enable_execute_command);
    service.managed_tags = input.enable_ecs_managed_tags.unwrap_or(service.managed_tags);
    service.propagates = input.propagate_tags.unwrap_or(service.propagates);
    Ok(())
}
