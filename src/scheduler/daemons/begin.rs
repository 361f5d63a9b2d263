//! Begins a deployment of a daemon: its records and the daemon's own, together.
//!
//! Holds: the deployment that was open ends where it is; what runs, and what may be gone back to, is kept.

use cove_base::ids::random_u64;
use cove_model::daemon::{Daemon, DaemonDeployment, DaemonDeploymentStatus as Status, DaemonRevision, DaemonStatus};
use cove_store::{Prefix, Read, Tx, keys};

use crate::deploy::digits;

/// Deployments and revisions that are kept for each daemon, as for a service.
const HISTORY_MAX: usize = 100;
/// Why a deployment that was open is not any more.
const SUPERSEDED: &str = "Replaced by a newer deployment.";
const DELETED: &str = "The daemon is being deleted.";

/// From now on the daemon is to run that revision.
pub fn begin(tx: &mut Tx<'_>, daemon: &mut Daemon, revision: DaemonRevision) {
    let before = std::mem::replace(&mut daemon.revision, revision.id.clone());
    tx.put(revision);
    supersede(tx, daemon, SUPERSEDED);
    let source = if before.is_empty() { Vec::new() } else { vec![before] };
    deploy(tx, daemon, source);
}

/// From now on it is to run nothing; with the last of its tasks it is gone.
pub fn retire(tx: &mut Tx<'_>, daemon: &mut Daemon) {
    supersede(tx, daemon, DELETED);
    daemon.status = DaemonStatus::DeleteInProgress;
    let source = vec![daemon.revision.clone()];
    deploy(tx, daemon, source);
}

/// The deployment that was open ends where it is.
fn supersede(tx: &mut Tx<'_>, daemon: &Daemon, reason: &str) {
    let key = keys::daemon_part(&daemon.tenant, &daemon.cluster, &daemon.name, &daemon.deployment);
    let Some(open) = tx.get::<DaemonDeployment>(&key).filter(|it| it.status.is_open()) else { return };
    let status_reason = Some(reason.to_owned());
    let stopped_at = Some(tx.now());
    tx.put(DaemonDeployment { status: Status::Stopped, status_reason, stopped_at, ..(*open).clone() });
}

fn deploy(tx: &mut Tx<'_>, daemon: &mut Daemon, source_revisions: Vec<String>) {
    let now = tx.now();
    let deployment = DaemonDeployment::new(daemon, &digits(random_u64()), source_revisions, now);
    daemon.deployment.clone_from(&deployment.id);
    daemon.updated_at = now;
    daemon.pacing = Default::default();
    tx.put(deployment);
    tx.put(daemon.clone());
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
