//! CreateDaemon, UpdateDaemon, DeleteDaemon: each begins a deployment.

use std::sync::Arc;

use cove_base::ids::random_u64;
use cove_model::arn::Tenant;
use cove_model::capacity_provider::is_fargate;
use cove_model::daemon::{
    Daemon, DaemonConfiguration, DaemonDeployment, DaemonDeploymentStatus as Status, DaemonRevision, DaemonStatus,
};
use cove_model::service::ServiceToken;
use cove_model::task::LaunchType;
use cove_model::task_override::TaskOverride;
use cove_model::task_template::TaskTemplate;
use cove_scheduler::HostFacts;
use cove_scheduler::deploy::digits;
use cove_store::{Prefix, Read, Tx, keys};
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
/// Deployments and revisions that are kept for each daemon, as for a service.
const HISTORY_MAX: usize = 100;
/// Why a deployment that was open is not any more.
const SUPERSEDED: &str = "Replaced by a newer deployment.";
const DELETED: &str = "The daemon is being deleted.";

/// What resolving a workload needs beside the request.
struct Around<'a> {
    tenant: &'a Tenant,
    host: &'a HostFacts,
    reach: Reach,
    cluster: &'a str,
    daemon: &'a str,
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
            let name = input.daemon_name.clone();
            let around = Around { tenant: &tenant, host: &host, reach, cluster: &cluster, daemon: &name };
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
    let revision = revision(tx, around, input.workload, None)?;
    let mut daemon = Daemon {
        tenant: around.tenant.clone(),
        cluster: around.cluster.to_owned(),
        name: input.daemon_name,
        status: DaemonStatus::Active,
        revision: revision.id.clone(),
        deployment: String::new(),
        completed_revision: None,
        configuration,
        tags: input.tags,
        pacing: Default::default(),
        trouble: None,
        created_at: tx.now(),
        updated_at: tx.now(),
        client_token,
    };
    tx.put(revision);
    begin(tx, &mut daemon, Vec::new());
    tx.put(daemon.clone());
    Ok(daemon)
}

/// UpdateDaemon: another revision, and a deployment that brings it. What is not given stays as it was.
pub(in crate::ecs) async fn update(cx: &Context, input: UpdateDaemonIn) -> Result<DaemonChangedOut, EcsError> {
    check_configuration(input.workload.deployment_configuration.as_ref())?;
    let (tenant, host, reach) = (cx.tenant.clone(), Arc::clone(&cx.settings.host), reach_of(cx));
    let (cluster, name) = reference::daemon(&tenant, &input.daemon_arn)?;
    cx.store
        .write(move |tx| {
            cluster::active(tx, &tenant, &cluster)?;
            let mut daemon = (*active(tx, &tenant, &cluster, &name)?).clone();
            let around = Around { tenant: &tenant, host: &host, reach, cluster: &cluster, daemon: &name };
            let before = tx.get::<DaemonRevision>(&keys::daemon_part(&tenant, &cluster, &name, &daemon.revision));
            if let Some(given) = input.workload.deployment_configuration.clone() {
                daemon.configuration = given.filled();
            }
            let revision = revision(tx, &around, input.workload, before.as_deref())?;
            let source = std::mem::replace(&mut daemon.revision, revision.id.clone());
            tx.put(revision);
            supersede(tx, &daemon, SUPERSEDED);
            begin(tx, &mut daemon, vec![source]);
            tx.put(daemon.clone());
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
            let mut daemon = (*active(tx, &tenant, &cluster, &name)?).clone();
            supersede(tx, &daemon, DELETED);
            daemon.status = DaemonStatus::DeleteInProgress;
            let source = daemon.revision.clone();
            begin(tx, &mut daemon, vec![source]);
            tx.put(daemon.clone());
            Ok::<_, EcsError>(shown(tx, &daemon, true))
        })
        .await
}

/// The deployment that was open ends where it is.
fn supersede(tx: &mut Tx<'_>, daemon: &Daemon, reason: &str) {
    let key = keys::daemon_part(&daemon.tenant, &daemon.cluster, &daemon.name, &daemon.deployment);
    let Some(open) = tx.get::<DaemonDeployment>(&key).filter(|it| it.status.is_open()) else { return };
    let status_reason = Some(reason.to_owned());
    let stopped_at = Some(tx.now());
    tx.put(DaemonDeployment { status: Status::Stopped, status_reason, stopped_at, ..(*open).clone() });
}

/// A deployment of the daemon's revision; of a deleted one, to nothing.
fn begin(tx: &mut Tx<'_>, daemon: &mut Daemon, source_revisions: Vec<String>) {
    let now = tx.now();
    let deployment = DaemonDeployment {
        tenant: daemon.tenant.clone(),
        cluster: daemon.cluster.clone(),
        daemon: daemon.name.clone(),
        id: digits(random_u64()),
        source_revisions,
        target_revision: daemon.is_active().then(|| daemon.revision.clone()),
        configuration: daemon.configuration.clone(),
        status: Status::Pending,
        status_reason: None,
        failed_tasks: 0,
        instances: 0,
        triggered_alarms: Vec::new(),
        rollback: None,
        baking_since: None,
        created_at: now,
        started_at: None,
        finished_at: None,
        stopped_at: None,
    };
    daemon.deployment.clone_from(&deployment.id);
    daemon.updated_at = now;
    daemon.pacing = Default::default();
    tx.put(deployment);
    forget_history(tx, daemon);
}

/// Drops the oldest; the deployment that has just begun, and what runs or may be gone back to, stays.
fn forget_history(tx: &mut Tx<'_>, daemon: &Daemon) {
    let (tenant, cluster, name) = (&daemon.tenant, &daemon.cluster, &daemon.name);
    let inside = Prefix::parent(tenant, &keys::daemon_parent(cluster, name));
    let mut deployments = tx.scan::<DaemonDeployment>(&inside);
    deployments.sort_by_key(|one| (one.id != daemon.deployment, std::cmp::Reverse(one.created_at)));
    for old in deployments.iter().skip(HISTORY_MAX).filter(|one| !one.status.is_open()) {
        tx.delete::<DaemonDeployment>(&keys::daemon_part(tenant, cluster, name, &old.id));
    }
    let runs = |id: &String| daemon.revision == *id || daemon.completed_revision.as_ref() == Some(id);
    let mut revisions = tx.scan::<DaemonRevision>(&inside);
    revisions.sort_by_key(|one| (!runs(&one.id), std::cmp::Reverse(one.created_at)));
    for old in revisions.iter().skip(HISTORY_MAX).filter(|one| !runs(&one.id)) {
        tx.delete::<DaemonRevision>(&keys::daemon_part(tenant, cluster, name, &old.id));
    }
}

/// The revision that a request asks for, on top of what there was.
fn revision(
    tx: &Tx<'_>,
    around: &Around<'_>,
    workload: DaemonWorkloadIn,
    before: Option<&DaemonRevision>,
) -> Result<DaemonRevision, EcsError> {
    let Around { tenant, cluster, daemon, .. } = *around;
    let providers = providers(tx, tenant, cluster, &workload.capacity_provider_arns)?;
    let enables = workload.enable_execute_command;
    let enables = enables.unwrap_or_else(|| before.is_some_and(|it| it.template.enable_execute_command));
    let propagates = workload.propagate_tags.map(|given| given == DaemonPropagateTags::Daemon);
    let managed = workload.enable_ecs_managed_tags;
    Ok(DaemonRevision {
        tenant: tenant.clone(),
        cluster: cluster.to_owned(),
        daemon: daemon.to_owned(),
        id: digits(random_u64()),
        template: template(tx, around, &workload.daemon_task_definition_arn, enables)?,
        capacity_providers: providers,
        propagates_tags: propagates.unwrap_or_else(|| before.is_some_and(|it| it.propagates_tags)),
        managed_tags: managed.unwrap_or_else(|| before.is_some_and(|it| it.managed_tags)),
        images: Vec::new(),
        created_at: tx.now(),
    })
}

fn template(tx: &Tx<'_>, around: &Around<'_>, definition: &str, enables: bool) -> Result<TaskTemplate, EcsError> {
    let ask = Ask {
        cluster: around.cluster.to_owned(),
        definition: reference::daemon_definition(around.tenant, definition)?,
        placing: PlacingWish::LaunchType(LaunchType::Ec2),
        platform_version: None,
        constraints: Vec::new(),
        strategies: Vec::new(),
        network: None,
        overrides: TaskOverride::default(),
        group: Some(format!("daemon:{}", around.daemon)),
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

/// Names of providers that the cluster has.
fn providers(tx: &Tx<'_>, tenant: &Tenant, cluster: &str, given: &[String]) -> Result<Vec<String>, EcsError> {
    if given.is_empty() {
        return Err(EcsError::parameter("capacityProviderArns cannot be empty."));
    }
    let cluster = cluster::active(tx, tenant, cluster)?;
    let mut names = Vec::new();
    for text in given {
        let name = reference::capacity_provider(tenant, text)?;
        if is_fargate(&name) {
            return Err(EcsError::parameter(format!(
                "Daemons are not supported for the capacity provider '{name}': it has no container instances."
            )));
        }
        if capacity_provider::find(tx, tenant, &name).is_none() {
            return Err(EcsError::parameter(format!("The specified capacity provider '{name}' was not found.")));
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
