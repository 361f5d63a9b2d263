//! Services and their deployments. The operations record what is wanted; the scheduler does it.

mod ask;
mod create;
mod delete;
mod describe;
pub(super) mod express;
mod list;
mod rebalancing;
mod rollout;
mod show;
mod task_set;
mod update;

pub(super) use create::create;
pub(super) use delete::delete;
pub(super) use describe::describe;
pub(super) use list::{list, list_by_namespace};
pub(super) use rollout::{
    continue_deployment, describe_deployments, describe_revisions, list_deployments, stop_deployment,
};
pub(super) use show::revision_in_force;
pub(super) use task_set::{
    create as create_task_set, delete as delete_task_set, describe as describe_task_sets,
    make_primary as update_primary_task_set, update as update_task_set,
};
pub(super) use update::update;

use std::sync::Arc;

use cove_model::arn::Tenant;
use cove_model::service::{Service, ServiceStatus};
use cove_store::{Read, keys};

use super::error::EcsError;

/// A service that can be changed.
pub(super) fn active(store: &impl Read, tenant: &Tenant, cluster: &str, name: &str) -> Result<Arc<Service>, EcsError> {
    let service = known(store, tenant, cluster, name)?;
    match service.status {
        ServiceStatus::Active => Ok(service),
        ServiceStatus::Draining | ServiceStatus::Inactive => Err(EcsError::ServiceNotActive),
    }
}

/// A service in any state.
pub(super) fn known(store: &impl Read, tenant: &Tenant, cluster: &str, name: &str) -> Result<Arc<Service>, EcsError> {
    store.get::<Service>(&keys::service(tenant, cluster, name)).ok_or(EcsError::ServiceNotFound)
}

/// How many services of a cluster are not INACTIVE.
pub(super) fn count(store: &impl Read, tenant: &Tenant, cluster: &str) -> usize {
    store.live::<Service>(&cove_store::Prefix::parent(tenant, cluster)).len()
}
