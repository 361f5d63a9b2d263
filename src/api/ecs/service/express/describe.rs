//! DescribeExpressGatewayService.

use cove_model::service::Service;
use cove_store::{Read, keys};

use super::check_express;
use super::show::show;
use crate::Context;
use crate::ecs::error::EcsError;
use crate::ecs::reference;
use crate::ecs::wire::{DescribeExpressIn, ExpressOut, TagsField};

/// DescribeExpressGatewayService, also of one that is deleted.
pub(in crate::ecs) fn describe(cx: &Context, input: DescribeExpressIn) -> Result<ExpressOut, EcsError> {
    let (cluster, name) = reference::express_service(&cx.tenant, &input.service_arn)?;
    let with_tags = input.include.contains(&TagsField::Tags);
    cx.store.read(|view| {
        let found = view.get::<Service>(&keys::service(&cx.tenant, &cluster, &name));
        let service = found.ok_or(EcsError::ResourceNotFound)?;
        check_express(&service)?;
        let express = service.express.as_ref().ok_or(EcsError::ResourceNotFound)?;
        Ok(ExpressOut { service: show(view, &service, express, with_tags) })
    })
}
