//! CreateService.

use std::sync::Arc;

use cove_model::arn::Tenant;
use cove_model::service::{
    DeploymentConfiguration, DeploymentController, Express, ExpressRevision, PropagateTags, SchedulingStrategy,
    Service, ServiceStatus, ServiceToken,
};
use cove_model::task::LaunchType;
use cove_model::task_template::TaskTemplate;
use cove_scheduler::HostFacts;
use cove_scheduler::services::begin;
use cove_store::{Read, Tx, keys};
use sha2::{Digest, Sha256};

use super::ask::{Rules, Workload, ask, check_members, check_placing, check_strategy};
use super::rebalancing;
use super::show::show;
use crate::Context;
use crate::ecs::definition::is_name;
use crate::ecs::error::EcsError;
use crate::ecs::task::{Reach, check_rules, reach_of, resolve};
use crate::ecs::wire::{CreateServiceIn, ServiceOut};
use crate::ecs::{cluster, reference, tag};

/// ECS's limit of a client token, and its quota of tasks per service.
const TOKEN_MAX: usize = 36;
const DESIRED_MAX: i32 = 5000;
const GRACE_MAX: i32 = i32::MAX;

/// CreateService. The same request again shows the service that it made.
pub(in crate::ecs) async fn create(cx: &Context, input: CreateServiceIn) -> Result<ServiceOut, EcsError> {
    check(&input)?;
    let by = By::caller(cx);
    let service = cx
        .store
        .write(move |tx| {
            let name = reference::cluster(&by.tenant, input.cluster.as_deref())?;
            cluster::active(tx, &by.tenant, &name)?;
            let token = token(&input);
            if let Some(known) = created_before(tx, &by.tenant, &name, &input.service_name, &token)? {
                return Ok::<_, EcsError>(show(tx, &known, true));
            }
            let service = make(tx, &by, &name, input, token, None)?;
            Ok(show(tx, &service, true))
        })
        .await?;
    Ok(ServiceOut { service })
}

/// On whose behalf a service is made or changed.
pub(super) struct By {
    pub(super) tenant: Tenant,
    pub(super) host: Arc<HostFacts>,
    pub(super) reach: Reach,
    /// The caller's ARN.
    pub(super) principal: String,
}

impl By {
    pub(super) fn caller(cx: &Context) -> Self {
        Self {
            tenant: cx.tenant.clone(),
            host: Arc::clone(&cx.settings.host),
            reach: reach_of(cx),
            principal: cx.caller.arn.clone(),
        }
    }
}

/// What needs no store.
fn check(input: &CreateServiceIn) -> Result<(), EcsError> {
    if !is_name(&input.service_name) {
        return Err(EcsError::parameter("Service name contains invalid characters."));
    }
    check_members(&input.to_come, input.deployment_configuration.as_ref())?;
    tag::check(&input.tags)?;
    check_count(input.desired_count)?;
    check_grace(input.health_check_grace_period_seconds)?;
    let good = |token: &String| {
        !token.is_empty() && token.len() <= TOKEN_MAX && token.bytes().all(|byte| (33..=126).contains(&byte))
    };
    if input.client_token.as_ref().is_some_and(|token| !good(token)) {
        return Err(EcsError::parameter("clientToken must have between 1 and 36 printable ASCII characters."));
    }
    match controller(input) {
        DeploymentController::Ecs => {}
        DeploymentController::External => check_external(input)?,
        DeploymentController::CodeDeploy => {
            return Err(EcsError::UnsupportedFeature(
                "This version of Cove does not carry out: deploymentController CODE_DEPLOY.".to_owned(),
            ));
        }
    }
    match input.scheduling_strategy.unwrap_or(SchedulingStrategy::Replica) {
        SchedulingStrategy::Replica if input.desired_count.is_none() => {
            Err(EcsError::parameter("desiredCount is required for a service with the REPLICA scheduling strategy."))
        }
        SchedulingStrategy::Replica => Ok(()),
        SchedulingStrategy::Daemon => check_daemon(input),
    }
}

fn controller(input: &CreateServiceIn) -> DeploymentController {
    input.deployment_controller.map_or(DeploymentController::Ecs, |given| given.kind)
}

/// What the tasks are, each task set says for itself.
fn check_external(input: &CreateServiceIn) -> Result<(), EcsError> {
    let given = [
        ("taskDefinition", input.task_definition.is_some()),
        ("networkConfiguration", input.network_configuration.is_some()),
        ("launchType", input.launch_type.is_some()),
        ("capacityProviderStrategy", !input.capacity_provider_strategy.is_empty()),
        ("platformVersion", input.platform_version.is_some()),
    ];
    if let Some((name, _)) = given.into_iter().find(|(_, is_given)| *is_given) {
        return Err(EcsError::parameter(format!(
            "{name} is not supported for services with the EXTERNAL deployment controller: give it to CreateTaskSet."
        )));
    }
    if input.scheduling_strategy == Some(SchedulingStrategy::Daemon) {
        return Err(EcsError::parameter(
            "The EXTERNAL deployment controller supports the REPLICA scheduling strategy only.",
        ));
    }
    check_rules(&input.placement_constraints, &input.placement_strategy)
}

fn check_daemon(input: &CreateServiceIn) -> Result<(), EcsError> {
    if input.desired_count.is_some() {
        return Err(EcsError::parameter(
            "The daemon scheduling strategy does not support a desired count for services. Remove the desired count value and try again.",
        ));
    }
    if !input.placement_strategy.is_empty() {
        return Err(EcsError::parameter(
            "The daemon scheduling strategy does not support placement strategies. Remove the placement strategies and try again.",
        ));
    }
    if input.launch_type == Some(LaunchType::Fargate) {
        return Err(EcsError::parameter(
            "The daemon scheduling strategy is not supported for the Fargate launch type.",
        ));
    }
    Ok(())
}

/// Tasks that a service may be asked to keep.
pub(super) fn check_count(count: Option<i32>) -> Result<(), EcsError> {
    match count {
        Some(count) if count < 0 => Err(EcsError::parameter("Desired count can not be negative.")),
        Some(count) if count > DESIRED_MAX => {
            Err(EcsError::parameter(format!("Desired count must not be greater than {DESIRED_MAX}.")))
        }
        Some(_) | None => Ok(()),
    }
}

pub(super) fn check_grace(secs: Option<i32>) -> Result<(), EcsError> {
    if secs.is_some_and(|secs| !(0..=GRACE_MAX).contains(&secs)) {
        return Err(EcsError::parameter(format!("healthCheckGracePeriodSeconds must be between 0 and {GRACE_MAX}.")));
    }
    Ok(())
}

/// Of a request as JSON.
pub(super) fn digest(input: &impl serde::Serialize) -> String {
    let json = serde_json::to_vec(input).expect("a request read from JSON can be written as JSON");
    hex::encode(Sha256::digest(json))
}

fn token(input: &CreateServiceIn) -> ServiceToken {
    ServiceToken { token: input.client_token.clone().unwrap_or_default(), request_digest: digest(input) }
}

/// The service that this very request has made already.
pub(super) fn created_before(
    tx: &Tx<'_>,
    tenant: &Tenant,
    cluster: &str,
    name: &str,
    token: &ServiceToken,
) -> Result<Option<Arc<Service>>, EcsError> {
    let Some(known) = tx.get::<Service>(&keys::service(tenant, cluster, name)) else {
        return Ok(None);
    };
    match known.status {
        ServiceStatus::Inactive => Ok(None),
        ServiceStatus::Draining => Err(EcsError::parameter("Unable to Start a service that is still Draining.")),
        ServiceStatus::Active => {
            if known.client_token.as_ref() == Some(token) {
                return Ok(Some(known));
            }
            Err(EcsError::parameter("Creation of service was not idempotent."))
        }
    }
}

/// The service with its first deployment. `express` makes it one that ECS manages.
pub(super) fn make(
    tx: &mut Tx<'_>,
    by: &By,
    cluster: &str,
    input: CreateServiceIn,
    token: ServiceToken,
    express: Option<(Express, ExpressRevision)>,
) -> Result<Service, EcsError> {
    let (express, express_revision) = express.unzip();
    let tenant = &by.tenant;
    let controller = controller(&input);
    let scheduling = input.scheduling_strategy.unwrap_or(SchedulingStrategy::Replica);
    let given = input.deployment_configuration.unwrap_or_default();
    let configuration = DeploymentConfiguration::default().updated(given, scheduling);
    configuration.check(scheduling).map_err(|error| EcsError::parameter(error.to_string()))?;
    let workload = Workload {
        launch_type: input.launch_type,
        capacity_provider_strategy: input.capacity_provider_strategy,
        platform_version: input.platform_version,
        network_configuration: input.network_configuration,
        express: express_revision,
    };
    let propagates = input.propagate_tags.unwrap_or(PropagateTags::None);
    let rules = Rules {
        cluster,
        name: &input.service_name,
        constraints: &input.placement_constraints,
        strategies: &input.placement_strategy,
        enable_execute_command: input.enable_execute_command,
    };
    let template = match controller {
        DeploymentController::External => None,
        DeploymentController::Ecs | DeploymentController::CodeDeploy => {
            let definition = input.task_definition.as_deref();
            let definition = definition.ok_or_else(|| EcsError::parameter("TaskDefinition can not be null."))?;
            check_strategy(scheduling, &workload.capacity_provider_strategy)?;
            let ask = ask(&workload, reference::definition(tenant, definition)?, &rules)?;
            Some(own_rules_aside(resolve(tx, tenant, &by.host, &ask, by.reach)?, rules.constraints.len()))
        }
    };
    if let Some(template) = &template {
        check_placing(scheduling, &template.placing)?;
    }
    let mut service = Service {
        tenant: tenant.clone(),
        cluster: cluster.to_owned(),
        status: ServiceStatus::Active,
        controller,
        scheduling,
        desired_count: u32::try_from(input.desired_count.unwrap_or(0)).unwrap_or(0),
        configuration,
        rebalances_zones: false,
        rebalancing: None,
        health_check_grace_secs: input.health_check_grace_period_seconds.and_then(|secs| u32::try_from(secs).ok()),
        constraints: input.placement_constraints,
        strategies: input.placement_strategy,
        propagates,
        managed_tags: input.enable_ecs_managed_tags,
        enable_execute_command: input.enable_execute_command,
        tags: input.tags,
        created_at: tx.now(),
        created_by: by.principal.clone(),
        deployments: Vec::new(),
        pacing_of: Default::default(),
        trouble: None,
        completed_revision: None,
        is_steady: false,
        next_event: next_event(tx, tenant, cluster, &input.service_name),
        client_token: Some(token),
        gone_at: None,
        express,
        name: input.service_name,
    };
    service.rebalances_zones = rebalancing::wanted(input.availability_zone_rebalancing, &service)?;
    if let Some(template) = template {
        let revision = workload.revision(&service, template, tx.now());
        begin(tx, &mut service, revision);
    }
    tx.put(service.clone());
    Ok(service)
}

/// The service's own rules may change without a new deployment, so that they are no part of a revision.
pub(super) fn own_rules_aside(mut template: TaskTemplate, constraints: usize) -> TaskTemplate {
    template.constraints.drain(..constraints);
    template.strategies.clear();
    template
}

/// A name that is used again goes on where the deleted service's events end.
fn next_event(tx: &Tx<'_>, tenant: &Tenant, cluster: &str, name: &str) -> u64 {
    tx.get::<Service>(&keys::service(tenant, cluster, name)).map_or(0, |old| old.next_event)
}
