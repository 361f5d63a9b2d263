//! DescribeServices.

use cove_model::service::{Service, service_arn};
use cove_store::{Read, keys};

use super::show::show;
use crate::Context;
use crate::ecs::error::EcsError;
use crate::ecs::wire::{DescribeServicesIn, DescribeServicesOut, Failure, TagsField};
use crate::ecs::{cluster, reference};

/// ECS's limit of one request.
const SERVICES_MAX: usize = 10;

/// DescribeServices. Unknown names are among the failures.
pub(in crate::ecs) fn describe(cx: &Context, input: DescribeServicesIn) -> Result<DescribeServicesOut, EcsError> {
    let tenant = &cx.tenant;
    let cluster = reference::cluster(tenant, input.cluster.as_deref())?;
    if input.services.is_empty() {
        return Err(EcsError::parameter("Services cannot be empty."));
    }
    if input.services.len() > SERVICES_MAX {
        return Err(EcsError::parameter(format!("Services cannot have more than {SERVICES_MAX} elements.")));
    }
    let names: Vec<String> =
        input.services.iter().map(|text| reference::service(tenant, &cluster, text)).collect::<Result<_, _>>()?;
    let with_tags = input.include.contains(&TagsField::Tags);
    cx.store.read(|view| {
        cluster::active(view, tenant, &cluster)?;
        let mut out = DescribeServicesOut { services: Vec::new(), failures: Vec::new() };
        for name in &names {
            match view.get::<Service>(&keys::service(tenant, &cluster, name)) {
                Some(service) => out.services.push(show(view, &service, with_tags)),
                None => out.failures.push(Failure::missing(service_arn(tenant, &cluster, name))),
            }
        }
        Ok(out)
    })
}
