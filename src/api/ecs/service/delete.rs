//! DeleteService. The scheduler stops its tasks; with the last one the service is INACTIVE.

use cove_model::service::{SchedulingStrategy, Service, ServiceDeployment, ServiceDeploymentStatus, ServiceStatus};
use cove_store::{Prefix, Read, Tx, keys};

use super::show::show;
use crate::Context;
use crate::ecs::error::EcsError;
use crate::ecs::wire::{DeleteServiceIn, ServiceOut};
use crate::ecs::{cluster, reference};

/// DeleteService.
pub(in crate::ecs) async fn delete(cx: &Context, input: DeleteServiceIn) -> Result<ServiceOut, EcsError> {
    let tenant = cx.tenant.clone();
    let service = cx
        .store
        .write(move |tx| {
            let cluster = reference::cluster(&tenant, input.cluster.as_deref())?;
            cluster::active(tx, &tenant, &cluster)?;
            let name = reference::service(&tenant, &cluster, &input.service)?;
            let known = super::known(tx, &tenant, &cluster, &name)?;
            let service = (*known).clone();
            match service.status {
                ServiceStatus::Inactive => return Err(EcsError::ServiceNotFound),
                ServiceStatus::Draining => return Ok(show(tx, &service, true)),
                ServiceStatus::Active => {}
            }
            let is_scaled = service.scheduling == SchedulingStrategy::Replica && service.desired_count > 0;
            if is_scaled && !input.force {
                return Err(EcsError::parameter("The service cannot be stopped while it is scaled above 0."));
            }
            let service = drain(tx, service);
            Ok::<_, EcsError>(show(tx, &service, true))
        })
        .await?;
    Ok(ServiceOut { service })
}

/// Nothing is wanted of it any more.
pub(super) fn drain(tx: &mut Tx<'_>, mut service: Service) -> Service {
    service.status = ServiceStatus::Draining;
    service.desired_count = 0;
    end_deployments(tx, &service);
    tx.put(service.clone());
    service
}

fn end_deployments(tx: &mut Tx<'_>, service: &Service) {
    let inside = Prefix::parent(&service.tenant, &keys::service_parent(&service.cluster, &service.name));
    for open in tx.live::<ServiceDeployment>(&inside) {
        let mut open = (*open).clone();
        open.status = ServiceDeploymentStatus::Stopped;
        open.status_reason = Some("The service was deleted.".to_owned());
        open.stopped_at = Some(tx.now());
        open.finished_at = Some(tx.now());
        open.updated_at = tx.now();
        tx.put(open);
    }
}
