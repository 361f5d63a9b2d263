//! Begins a deployment: a revision, a service deployment and the PRIMARY deployment of the service, together.

use cove_base::ids::random_hex;
use cove_model::service::{
    Deployment, DeploymentStrategy, LifecycleStage, RolloutState, Service, ServiceDeployment, ServiceDeploymentStatus,
    ServiceRevision, TaskSet,
};
use cove_store::{Prefix, Read, Tx, keys};

use crate::deploy;

/// Deployments and revisions that are kept for each service; AWS keeps them for 90 days.
const HISTORY_MAX: usize = 100;
const SUPERSEDED: &str = "Superseded by a newer service deployment.";

/// Puts the records in; the service itself is the caller's to put.
pub fn begin(tx: &mut Tx<'_>, service: &mut Service, revision: ServiceRevision) {
    let now = tx.now();
    end_open(tx, service, SUPERSEDED);
    let rollout = ServiceDeployment {
        tenant: service.tenant.clone(),
        cluster: service.cluster.clone(),
        service: service.name.clone(),
        id: random_hex(8),
        source_revisions: service.deployments.iter().map(|it| it.revision.clone()).collect(),
        target_revision: revision.id.clone(),
        configuration: service.configuration.clone(),
        status: ServiceDeploymentStatus::Pending,
        status_reason: None,
        stage: first_stage(service),
        stage_since: Some(now),
        shift_since: None,
        production_percent: if service.deployments.is_empty() { 100.0 } else { 0.0 },
        hooks: Vec::new(),
        rollback: None,
        triggered_alarms: Vec::new(),
        failed_at: None,
        baking_since: None,
        created_at: now,
        started_at: None,
        finished_at: None,
        stopped_at: None,
        updated_at: now,
    };
    // By these digits clients find the deployment's revision.
    let id = format!("ecs-svc/{}", revision.id);
    let deployment = Deployment {
        rollout_reason: deploy::in_progress(&id),
        id,
        revision: revision.id.clone(),
        service_deployment: rollout.id.clone(),
        failed_tasks: 0,
        rollout: RolloutState::InProgress,
        created_at: now,
        updated_at: now,
    };
    service.deployments.insert(0, deployment);
    service.trouble = None;
    service.is_steady = false;
    tx.put(revision);
    tx.put(rollout);
    forget_history(tx, service);
}

/// Puts a revision in that a task set is to have; the set itself is the caller's to put before.
pub fn put_revision(tx: &mut Tx<'_>, service: &Service, revision: ServiceRevision) {
    tx.put(revision);
    forget_history(tx, service);
}

/// What was still going on ends where it is.
pub fn end_open(tx: &mut Tx<'_>, service: &Service, reason: &str) {
    let inside = Prefix::parent(&service.tenant, &keys::service_parent(&service.cluster, &service.name));
    let now = tx.now();
    for open in tx.live::<ServiceDeployment>(&inside) {
        let mut open = (*open).clone();
        open.status = ServiceDeploymentStatus::Stopped;
        open.give_hooks_up();
        open.status_reason = Some(reason.to_owned());
        (open.stopped_at, open.finished_at, open.updated_at) = (Some(now), Some(now), now);
        tx.put(open);
    }
}

fn first_stage(service: &Service) -> Option<LifecycleStage> {
    match service.configuration.strategy() {
        DeploymentStrategy::Rolling => None,
        DeploymentStrategy::BlueGreen | DeploymentStrategy::Linear | DeploymentStrategy::Canary => {
            // More than one revision that runs has to be sorted out first.
            let several = service.deployments.len() > 1;
            Some(if several { LifecycleStage::ReconcileService } else { LifecycleStage::PreScaleUp })
        }
    }
}

/// Drops the oldest; what still runs stays.
fn forget_history(tx: &mut Tx<'_>, service: &Service) {
    let inside = Prefix::parent(&service.tenant, &keys::service_parent(&service.cluster, &service.name));
    let mut rollouts = tx.scan::<ServiceDeployment>(&inside);
    rollouts.sort_by_key(|one| std::cmp::Reverse(one.created_at));
    for old in rollouts.iter().skip(HISTORY_MAX).filter(|one| !one.is_open()) {
        tx.delete::<ServiceDeployment>(&keys::service_deployment(&old.tenant, &old.cluster, &old.service, &old.id));
    }
    let sets = tx.scan::<TaskSet>(&inside);
    let runs = |id: &String| {
        service.deployments.iter().any(|it| it.revision == *id)
            || service.completed_revision.as_ref() == Some(id)
            || sets.iter().any(|set| set.revision == *id)
    };
    let mut revisions = tx.scan::<ServiceRevision>(&inside);
    revisions.sort_by_key(|one| std::cmp::Reverse(one.created_at));
    for old in revisions.iter().skip(HISTORY_MAX).filter(|one| !runs(&one.id)) {
        tx.delete::<ServiceRevision>(&keys::service_revision(&old.tenant, &old.cluster, &old.service, &old.id));
    }
}
