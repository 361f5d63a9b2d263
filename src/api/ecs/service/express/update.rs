//! UpdateExpressGatewayService: another revision of the task definition where the container changes, and a deployment
//! where the workload does.

use cove_model::service::{Service, ServiceRevision};
use cove_model::task_definition::{TaskDefinition, TaskDefinitionStatus};
use cove_store::{Read, Tx, keys};

use super::show::show_updated;
use super::{changeable, document, settings};
use crate::Context;
use crate::ecs::error::EcsError;
use crate::ecs::service::create::By;
use crate::ecs::service::update::change;
use crate::ecs::wire::{ExpressWish, UpdateExpressIn, UpdateServiceIn, UpdatedExpressOut, UpdatedExpressService};
use crate::ecs::{cluster, definition, reference};

/// UpdateExpressGatewayService. What is not given stays as it is.
pub(in crate::ecs) async fn update(cx: &Context, input: UpdateExpressIn) -> Result<UpdatedExpressOut, EcsError> {
    let by = By::caller(cx);
    let service = cx.store.write(move |tx| carry_out(tx, &by, &input)).await?;
    Ok(UpdatedExpressOut { service })
}

fn carry_out(tx: &mut Tx<'_>, by: &By, input: &UpdateExpressIn) -> Result<UpdatedExpressService, EcsError> {
    let (cluster, name) = reference::express_service(&by.tenant, &input.service_arn)?;
    cluster::active(tx, &by.tenant, &cluster)?;
    let mut service = (*changeable(tx, &by.tenant, &cluster, &name)?).clone();
    let mut express = service.express.clone().ok_or(EcsError::ServiceNotFound)?;
    express.updated_at = tx.now();
    service.express = Some(express.clone());
    let before = running(tx, &service)?;
    let revision = settings::revision(&input.wish, before.express.as_ref())?;
    let count = before.express.as_ref().map_or(service.desired_count, |before| {
        settings::desired(service.desired_count, &before.scaling, &revision.scaling)
    });
    let network = input.wish.network_configuration.as_ref();
    let as_service = UpdateServiceIn {
        desired_count: i32::try_from(count).ok(),
        task_definition: next_definition(tx, by, &before, &input.wish)?,
        network_configuration: network
            .map(|given| settings::other_network(given, before.network_configuration.as_ref())),
        ..UpdateServiceIn::default()
    };
    let service = change(tx, by, service, &as_service, Some(revision))?;
    Ok(show_updated(tx, &service, &express))
}

fn running(tx: &Tx<'_>, service: &Service) -> Result<std::sync::Arc<ServiceRevision>, EcsError> {
    let id = service.primary().map(|primary| primary.revision.as_str()).unwrap_or_default();
    let key = keys::service_revision(&service.tenant, &service.cluster, &service.name, id);
    tx.get(&key).ok_or(EcsError::ServiceNotFound)
}

/// The name of a new revision of the definition, if another one than the running is asked for, or the running one is
/// withdrawn.
fn next_definition(
    tx: &mut Tx<'_>,
    by: &By,
    before: &ServiceRevision,
    wish: &ExpressWish,
) -> Result<Option<String>, EcsError> {
    let family = &before.template.family;
    let key = keys::definition(&by.tenant, family, before.template.revision);
    let found = tx.get::<TaskDefinition>(&key);
    let old = found.ok_or_else(|| EcsError::client("The task definition of the service is gone."))?;
    let document = document::laid_over(old.document.clone(), wish, &by.tenant.region)?;
    let checked = definition::check(document)?;
    let runs_on = old.status == TaskDefinitionStatus::Active && checked.document == old.document;
    if runs_on {
        return Ok(None);
    }
    let principal = by.principal.clone();
    let new = definition::next_revision(tx, &by.tenant, principal, family.clone(), checked, old.tags.clone())?;
    Ok(Some(format!("{}:{}", new.family, new.revision)))
}
