//! CreateExpressGatewayService: cluster, log group, task definition and service, in one transaction.

use cove_base::ids::random_hex;
use cove_model::logs::LogGroup;
use cove_model::service::{CircuitBreaker, DeploymentConfiguration, Express, ServiceToken};
use cove_model::task::LaunchType;
use cove_store::{Read, Tx, keys};

use super::show::show;
use super::{document, settings};
use crate::Context;
use crate::ecs::definition::{self, is_name};
use crate::ecs::error::EcsError;
use crate::ecs::service::create::{By, created_before, digest, make};
use crate::ecs::task::role_for_ecs;
use crate::ecs::wire::{CreateExpressIn, CreateServiceIn, ExpressOut, ExpressService};
use crate::ecs::{cluster, reference, tag};

/// Random bytes at the end of a name that has to be new.
const SUFFIX_BYTES: usize = 2;
/// Of a name that is made from an image, before the suffix.
const NAME_MAX: usize = 200;

/// CreateExpressGatewayService. The same request again shows the service that it made, if it names it.
pub(in crate::ecs) async fn create(cx: &Context, input: CreateExpressIn) -> Result<ExpressOut, EcsError> {
    let name = input.service_name.clone().unwrap_or_else(|| new_name(&input));
    if !is_name(&name) {
        return Err(EcsError::parameter("Service name contains invalid characters."));
    }
    tag::check(&input.tags)?;
    let by = By::caller(cx);
    let service = cx.store.write(move |tx| carry_out(tx, &by, name, input)).await?;
    Ok(ExpressOut { service })
}

fn carry_out(tx: &mut Tx<'_>, by: &By, name: String, input: CreateExpressIn) -> Result<ExpressService, EcsError> {
    let tenant = &by.tenant;
    let cluster = reference::cluster(tenant, input.cluster.as_deref())?;
    cluster::active_or_default(tx, tenant, &cluster, &by.principal)?;
    let token = ServiceToken { token: String::new(), request_digest: digest(&input) };
    if let Some(known) = created_before(tx, tenant, &cluster, &name, &token)?
        && let Some(express) = &known.express
    {
        return Ok(show(tx, &known, express, true));
    }
    let express = Express {
        infrastructure_role_arn: role_for_ecs(tx, tenant, &input.infrastructure_role_arn)?,
        updated_at: tx.now(),
    };
    let revision = settings::revision(&input.wish, None)?;
    let network = settings::network(tx, tenant, input.wish.network_configuration.as_ref())?;
    let log_group = log_group(tx, by, &cluster, &name, &input);
    let family = format!("{cluster}-{name}");
    let document = document::first(family.clone(), &tenant.region, log_group);
    let document = document::laid_over(document, &input.wish, &tenant.region)?;
    let checked = definition::check(document)?;
    let definition = definition::next_revision(tx, tenant, by.principal.clone(), family, checked, Vec::new())?;
    let as_service = CreateServiceIn {
        service_name: name,
        task_definition: Some(format!("{}:{}", definition.family, definition.revision)),
        desired_count: i32::try_from(revision.scaling.min_task_count).ok(),
        launch_type: Some(LaunchType::Fargate),
        network_configuration: Some(network),
        deployment_configuration: Some(DeploymentConfiguration {
            deployment_circuit_breaker: Some(CircuitBreaker { enable: true, rollback: true }),
            ..DeploymentConfiguration::default()
        }),
        tags: input.tags,
        ..CreateServiceIn::default()
    };
    let service = make(tx, by, &cluster, as_service, token, Some((express.clone(), revision)))?;
    Ok(show(tx, &service, &express, true))
}

/// The group that the request names, else a new one. Another group by that name stays what it is.
fn log_group(tx: &mut Tx<'_>, by: &By, cluster: &str, service: &str, input: &CreateExpressIn) -> String {
    let logs = input.wish.primary_container.as_ref().and_then(|it| it.aws_logs_configuration.as_ref());
    if let Some(logs) = logs {
        return logs.log_group.clone();
    }
    let name = format!("/aws/ecs/{cluster}/{service}-{}", random_hex(SUFFIX_BYTES));
    if tx.get::<LogGroup>(&keys::log_group(&by.tenant, &name)).is_none() {
        tx.put(LogGroup {
            tenant: by.tenant.clone(),
            name: name.clone(),
            created_at: tx.now(),
            retention_days: None,
            tags: Vec::new(),
            class: "STANDARD".to_owned(),
        });
    }
    name
}

/// As in `web-28b2` for an image `registry/web:1`.
fn new_name(input: &CreateExpressIn) -> String {
    let image = input.wish.primary_container.as_ref().map_or("", |it| &it.image);
    let path = image.split('@').next().unwrap_or_default();
    let base = path.rsplit('/').next().unwrap_or_default().split(':').next().unwrap_or_default();
    let readable = |character: char| if character.is_ascii_alphanumeric() { character } else { '-' };
    let base: String = base.chars().map(readable).take(NAME_MAX).collect();
    format!("{base}-{}", random_hex(SUFFIX_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecs::wire::{ExpressContainer, ExpressWish};

    #[test]
    fn a_service_without_a_name_is_called_after_its_image() {
        for (image, base) in
            [("127.0.0.1:4566/shop/my.app:1", "my-app-"), ("nginx", "nginx-"), ("web@sha256:0123", "web-"), ("", "-")]
        {
            let container = ExpressContainer { image: image.to_owned(), ..ExpressContainer::default() };
            let wish = ExpressWish { primary_container: Some(container), ..ExpressWish::default() };
            let name = new_name(&CreateExpressIn { wish, ..CreateExpressIn::default() });
            assert!(name.starts_with(base) && name.len() == base.len() + 4 && is_name(&name), "{name}");
        }
    }
}
