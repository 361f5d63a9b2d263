//! Daemons: made, changed, deleted, looked at; their task definitions, deployments and revisions.
//!
//! Holds: operations write what is wanted, a revision and an open deployment; the scheduler does the rest. A definition
//! of a daemon is a task definition under a family that no other can have, so that everything that runs tasks knows it.

pub(super) mod change;
pub(super) mod definition;
pub(super) mod health;
pub(super) mod look;
pub(super) mod rollout;

use std::sync::Arc;

use cove_model::arn::Tenant;
use cove_model::daemon::Daemon;
use cove_store::{Prefix, Read, keys};

use super::error::EcsError;

/// A daemon of that name, whatever its status.
pub(super) fn known(store: &impl Read, tenant: &Tenant, cluster: &str, name: &str) -> Result<Arc<Daemon>, EcsError> {
    store.get::<Daemon>(&keys::daemon(tenant, cluster, name)).ok_or(EcsError::DaemonNotFound)
}

/// One that is ACTIVE.
pub(super) fn active(store: &impl Read, tenant: &Tenant, cluster: &str, name: &str) -> Result<Arc<Daemon>, EcsError> {
    let daemon = known(store, tenant, cluster, name)?;
    if daemon.is_active() { Ok(daemon) } else { Err(EcsError::DaemonNotActive) }
}

/// How many a cluster has.
pub(super) fn count(store: &impl Read, tenant: &Tenant, cluster: &str) -> usize {
    store.scan::<Daemon>(&Prefix::parent(tenant, cluster)).len()
}
