//! DeleteService. The scheduler stops its tasks; with the last one the service is INACTIVE.

use cove_model::service::{SchedulingStrategy, Service, ServiceStatus};
use cove_scheduler::services::end_open;
use cove_store::Tx;

use super::show::show;
use crate::Context;
use crate::ecs::error::EcsError;
use crate::ecs::wire::{DeleteServiceIn, ServiceOut};
use crate::ecs::{cluster, reference};

/// Why a deployment that was open is not any more.
const DELETED: &str = "The service was deleted.";

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
    end_open(tx, &service, DELETED);
    tx.put(service.clone());
    service
}
