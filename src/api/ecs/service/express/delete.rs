//! DeleteExpressGatewayService: the service drains; its log group and its task definitions stay.

use super::changeable;
use super::show::show;
use crate::Context;
use crate::ecs::error::EcsError;
use crate::ecs::service::delete::drain;
use crate::ecs::wire::{DeleteExpressIn, ExpressOut};
use crate::ecs::{cluster, reference};

/// DeleteExpressGatewayService, however many tasks it keeps.
pub(in crate::ecs) async fn delete(cx: &Context, input: DeleteExpressIn) -> Result<ExpressOut, EcsError> {
    let tenant = cx.tenant.clone();
    let service = cx
        .store
        .write(move |tx| {
            let (cluster, name) = reference::express_service(&tenant, &input.service_arn)?;
            cluster::active(tx, &tenant, &cluster)?;
            let mut service = (*changeable(tx, &tenant, &cluster, &name)?).clone();
            let mut express = service.express.clone().ok_or(EcsError::ServiceNotFound)?;
            express.updated_at = tx.now();
            service.express = Some(express.clone());
            let service = drain(tx, service);
            Ok::<_, EcsError>(show(tx, &service, &express, true))
        })
        .await?;
    Ok(ExpressOut { service })
}
