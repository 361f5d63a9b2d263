//! ListServices and ListServicesByNamespace.

use cove_model::service::Service;
use cove_store::{Prefix, Read};

use super::show::revision_in_force;
use crate::Context;
use crate::ecs::error::EcsError;
use crate::ecs::page::{Direction, Listing, PAGE_MAX};
use crate::ecs::wire::{ListServicesByNamespaceIn, ListServicesIn, ListServicesOut};
use crate::ecs::{cluster, reference};

/// ECS's usual page of services.
const PAGE: usize = 10;

/// ListServices: those that are not INACTIVE.
pub(in crate::ecs) fn list(cx: &Context, input: ListServicesIn) -> Result<ListServicesOut, EcsError> {
    let tenant = &cx.tenant;
    let cluster = reference::cluster(tenant, input.cluster.as_deref())?;
    let items = cx.store.read(|view| {
        cluster::active(view, tenant, &cluster)?;
        let launch_type =
            |service: &Service| revision_in_force(view, service).map(|it| it.template.placing.launch_type);
        let wanted = |service: &Service| {
            input.scheduling_strategy.is_none_or(|strategy| service.scheduling == strategy)
                && input.launch_type.is_none_or(|kind| launch_type(service) == Some(kind))
                && input.resource_management_type.as_deref().is_none_or(|kind| kind == super::show::management(service))
        };
        let services = view.live::<Service>(&Prefix::parent(tenant, &cluster));
        let items = services.iter().filter(|service| wanted(service));
        Ok::<_, EcsError>(items.map(|service| (service.name.clone(), service.arn())).collect::<Vec<_>>())
    })?;
    let listing = Listing { name: "services", default: PAGE, max: PAGE_MAX };
    let (service_arns, next_token) = listing.cut(&input.page, Direction::Up, items)?;
    Ok(ListServicesOut { service_arns, next_token })
}

/// ListServicesByNamespace. Namespaces belong to Service Connect, which is still to come: none exists.
pub(in crate::ecs) fn list_by_namespace(
    _cx: &Context,
    input: ListServicesByNamespaceIn,
) -> Result<ListServicesOut, EcsError> {
    Listing { name: "namespace", default: PAGE, max: PAGE_MAX }.cut::<()>(&input.page, Direction::Up, Vec::new())?;
    Err(EcsError::NamespaceNotFound(input.namespace))
}
