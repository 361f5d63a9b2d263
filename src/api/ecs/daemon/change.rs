//! CreateDaemon, UpdateDaemon, DeleteDaemon: each begins a deployment.

use std::sync::Arc;

use cove_base::ids::random_u64;
use cove_model::arn::Tenant;
use cove_model::capacity_provider::is_fargate;
use cove_model::daemon::{Daemon, DaemonConfiguration, DaemonDeployment, DaemonRevision, DaemonStatus};
use cove_model::service::ServiceToken;
use cove_model::task::LaunchType;
use cove_model::task_override::TaskOverride;
use cove_model::task_template::TaskTemplate;
use cove_scheduler::HostFacts;
use cove_scheduler::daemons::{begin, retire};
use cove_scheduler::deploy::digits;
use cove_store::{Read, Tx, keys};
use sha2::{Digest, Sha256};

use super::active;
use crate::Context;
use crate::ecs::definition::is_name;
use crate::ecs::error::EcsError;
use crate::ecs::task::{Ask, PlacingWish, Reach, reach_of, resolve};
use crate::ecs::wire::{
    CreateDaemonIn, DaemonChangedOut, DaemonIn, DaemonPropagateTags, DaemonWorkloadIn, UpdateDaemonIn,
};
use crate::ecs::{capacity_provider, cluster, reference, tag};

/// ECS's limit of a client token.
const TOKEN_MAX: usize = 36;

/// What resolving a workload needs beside the request.
struct Around<'a> {
    tenant: &'a Tenant,
    host: &'a HostFacts,
    reach: Reach,
    cluster: &'a str,
}

/// CreateDaemon. The same request again shows the daemon that it made.
pub(in crate::ecs) async fn create(cx: &Context, input: CreateDaemonIn) -> Result<DaemonChangedOut, EcsError> {
    check(&input)?;
    let (tenant, host, reach) = (cx.tenant.clone(), Arc::clone(&cx.settings.host), reach_of(cx));
    cx.store
        .write(move |tx| {
            let cluster = reference::cluster(&tenant, input.cluster_arn.as_deref())?;
            cluster::active(tx, &tenant, &cluster)?;
            if let Some(known) = created_before(tx, &tenant, &cluster, &input)? {
                return Ok(shown(tx, &known, false));
            }
            let around = Around { tenant: &tenant, host: &host, reach, cluster: &cluster };
            let daemon = make(tx, &around, input)?;
            Ok::<_, EcsError>(shown(tx, &daemon, false))
        })
        .await
}

/// What needs no store.
fn check(input: &CreateDaemonIn) -> Result<(), EcsError> {
    if !is_name(&input.daemon_name) {
        return Err(EcsError::parameter("Daemon name contains invalid characters."));
    }
    tag::check(&input.tags)?;
    let good = |token: &String| {
        !token.is_empty() && token.len() <= TOKEN_MAX && token.bytes().all(|byte| (33..=126).contains(&byte))
    };
    if input.client_token.as_ref().is_some_and(|token| !good(token)) {
        return Err(EcsError::parameter("clientToken must have between 1 and 36 printable ASCII characters."));
    }
    check_configuration(input.workload.deployment_configuration.as_ref())
}

fn check_configuration(given: Option<&DaemonConfiguration>) -> Result<(), EcsError> {
    given.map_or(Ok(()), |given| given.check().map_err(|error| EcsError::parameter(error.to_string())))
}

fn token(input: &CreateDaemonIn) -> ServiceToken {
    let json = serde_json::to_vec(input).expect("a request read from JSON can be written as JSON");
    let request_digest = hex::encode(Sha256::digest(json));
    ServiceToken { token: input.client_token.clone().unwrap_or_default(), request_digest }
}

/// The daemon that this very request has made already.
fn created_before(
    tx: &Tx<'_>,
    tenant: &Tenant,
    cluster: &str,
    input: &CreateDaemonIn,
) -> Result<Option<Arc<Daemon>>, EcsError> {
    let Some(known) = tx.get::<Daemon>(&keys::daemon(tenant, cluster, &input.daemon_name)) else { return Ok(None) };
    match known.status {
        DaemonStatus::DeleteInProgress => {
            Err(EcsError::parameter("Unable to create a daemon that is still being deleted."))
        }
        DaemonStatus::Active if known.client_token == Some(token(input)) => Ok(Some(known)),
        DaemonStatus::Active => Err(EcsError::parameter("Creation of daemon was not idempotent.")),
    }
}

fn make(tx: &mut Tx<'_>, around: &Around<'_>, input: CreateDaemonIn) -> Result<Daemon, EcsError> {
    let client_token = Some(token(&input));
    let configuration = input.workload.deployment_configuration.clone().unwrap_or_default().filled();
    let fresh = Daemon::new(around.tenant.clone(), around.cluster, &input.daemon_name, configuration, tx.now());
    let mut daemon = Daemon { tags: input.tags, client_token, ..fresh };
    let revision = revision(tx, around, &daemon, input.workload)?;
    begin(tx, &mut daemon, revision);
    Ok(daemon)
}

/// UpdateDaemon: another revision, and a deployment that brings it.
pub(in crate::ecs) async fn update(cx: &Context, input: UpdateDaemonIn) -> Result<DaemonChangedOut, EcsError> {
    check_configuration(input.workload.deployment_configuration.as_ref())?;
    let (tenant, host, reach) = (cx.tenant.clone(), Arc::clone(&cx.settings.host), reach_of(cx));
    let (cluster, name) = reference::daemon(&tenant, &input.daemon_arn)?;
    cx.store
        .write(move |tx| {
            cluster::active(tx, &tenant, &cluster)?;
            let mut daemon = (*active(tx, &tenant, &cluster, &name)?).clone();
            let around = Around { tenant: &tenant, host: &host, reach, cluster: &cluster };
            if let Some(given) = input.workload.deployment_configuration.clone() {
                daemon.configuration = given.filled();
            }
            let revision = revision(tx, &around, &daemon, input.workload)?;
            begin(tx, &mut daemon, revision);
            Ok::<_, EcsError>(shown(tx, &daemon, true))
        })
        .await
}

/// DeleteDaemon. Its tasks stop; with the last of them it is gone.
pub(in crate::ecs) async fn delete(cx: &Context, input: DaemonIn) -> Result<DaemonChangedOut, EcsError> {
    let tenant = cx.tenant.clone();
    let (cluster, name) = reference::daemon(&tenant, &input.daemon_arn)?;
    cx.store
        .write(move |tx| {
            cluster::active(tx, &tenant, &cluster)?;
            let mut daemon = (*super::known(tx, &tenant, &cluster, &name)?).clone();
            if !daemon.is_active() {
                return Err(EcsError::parameter("The daemon's deployment deletion is ongoing."));
            }
            retire(tx, &mut daemon);
            Ok(shown(tx, &daemon, true))
        })
        .await
}

/// The revision that a request asks for. Unlike a service's, the switches have no third state: not given they are off.
fn revision(
    tx: &Tx<'_>,
    around: &Around<'_>,
    daemon: &Daemon,
    workload: DaemonWorkloadIn,
) -> Result<DaemonRevision, EcsError> {
    let providers = providers(tx, around.tenant, around.cluster, &workload.capacity_provider_arns)?;
    let definition = &workload.daemon_task_definition_arn;
    let template = template(tx, around, daemon, definition, workload.enable_execute_command)?;
    Ok(DaemonRevision {
        propagates_tags: workload.propagate_tags == Some(DaemonPropagateTags::Daemon),
        managed_tags: workload.enable_ecs_managed_tags,
        ..DaemonRevision::new(daemon, &digits(random_u64()), template, providers, tx.now())
    })
}

fn template(
    tx: &Tx<'_>,
    around: &Around<'_>,
    daemon: &Daemon,
    definition: &str,
    enables: bool,
) -> Result<TaskTemplate, EcsError> {
    let ask = Ask {
        cluster: around.cluster.to_owned(),
        definition: reference::daemon_definition(around.tenant, definition)?,
        placing: PlacingWish::LaunchType(LaunchType::Ec2),
        platform_version: None,
        constraints: Vec::new(),
        strategies: Vec::new(),
        network: None,
        overrides: TaskOverride::default(),
        group: Some(daemon.group()),
        started_by: None,
        tags: Vec::new(),
        propagates_definition_tags: false,
        managed_tags: false,
        enable_execute_command: enables,
        has_volume_configurations: false,
        has_reference_id: false,
    };
    resolve(tx, around.tenant, around.host, &ask, around.reach)
}

/// Names of providers of managed instances that the cluster has.
fn providers(tx: &Tx<'_>, tenant: &Tenant, cluster: &str, given: &[String]) -> Result<Vec<String>, EcsError> {
    if given.is_empty() {
        return Err(EcsError::parameter("capacityProviderArns cannot be empty."));
    }
    let cluster = cluster::active(tx, tenant, cluster)?;
    let mut names = Vec::new();
    for text in given {
        let name = reference::capacity_provider(tenant, text)?;
        let known = capacity_provider::find(tx, tenant, &name);
        if !is_fargate(&name) && known.is_none() {
            return Err(EcsError::parameter(format!("The specified capacity provider '{name}' was not found.")));
        }
        if known.is_none_or(|it| it.managed.is_none()) {
            return Err(EcsError::parameter(format!(
                "Daemons are only supported for Amazon ECS Managed Instances capacity providers: '{name}' is none."
            )));
        }
        if !cluster.capacity_providers.contains(&name) {
            return Err(EcsError::parameter(format!(
                "The capacity provider '{name}' is not associated with the cluster. Associate it and try again."
            )));
        }
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

fn shown(tx: &Tx<'_>, daemon: &Daemon, is_changed: bool) -> DaemonChangedOut {
    let key = keys::daemon_part(&daemon.tenant, &daemon.cluster, &daemon.name, &daemon.deployment);
    DaemonChangedOut {
        daemon_arn: daemon.arn(),
        status: daemon.status,
        created_at: daemon.created_at.epoch_seconds(),
        updated_at: is_changed.then(|| daemon.updated_at.epoch_seconds()),
        deployment_arn: tx.get::<DaemonDeployment>(&key).map(|it| it.arn()).unwrap_or_default(),
    }
}
