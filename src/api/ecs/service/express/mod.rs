//! Express services: a container image in, a service out that ECS manages.
//!
//! One is a service as every other, on Fargate, with a task definition and a log group of its own: the operations on
//! services see it and change it, as on AWS.
//! Absent: what needs a load balancer (the endpoint, canary deployments, health checks by path) or scaling (more tasks
//! than the fewest that are asked for). Both are kept and shown as they were asked for; the status says that nothing
//! comes of them, and what would be a lie is left out.

mod create;
mod delete;
mod describe;
mod document;
mod settings;
mod show;
mod update;

pub(in crate::ecs) use create::create;
pub(in crate::ecs) use delete::delete;
pub(in crate::ecs) use describe::describe;
pub(in crate::ecs) use update::update;

use std::sync::Arc;

use cove_model::arn::Tenant;
use cove_model::service::{Service, ServiceStatus};
use cove_store::{Read, keys};

use crate::ecs::error::EcsError;

/// An Express service that can be changed.
fn changeable(store: &impl Read, tenant: &Tenant, cluster: &str, name: &str) -> Result<Arc<Service>, EcsError> {
    let missing = || EcsError::parameter("Resource not found.");
    let service = store.get::<Service>(&keys::service(tenant, cluster, name)).ok_or_else(missing)?;
    check_express(&service)?;
    match service.status {
        ServiceStatus::Active => Ok(service),
        ServiceStatus::Draining => Err(EcsError::ServiceNotActiveBecause("Service is in DRAINING status.")),
        ServiceStatus::Inactive => {
            Err(EcsError::ServiceNotActiveBecause("Cannot perform this operation on a service in INACTIVE status."))
        }
    }
}

fn check_express(service: &Service) -> Result<(), EcsError> {
    if service.express.is_some() {
        return Ok(());
    }
    Err(EcsError::parameter(format!("The service {} is not an Express service.", service.name)))
}
