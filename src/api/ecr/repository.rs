//! CreateRepository, DescribeRepositories, DeleteRepository.

use cove_model::arn::Tenant;
use cove_model::registry::Repository;
use serde::{Deserialize, Serialize};

use super::access::{reach, reach_any};
use super::error::{EcrError, of};
use super::mutability::{self, ExclusionFilter};
use super::page::page;
use super::request::PageIn;
use super::resource_tag::{check, merged};
use super::wire::{Encryption, RepositoryWire, Scanning, TagWire};
use crate::aws::context::Context;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateIn {
    repository_name: String,
    registry_id: Option<String>,
    #[serde(default)]
    tags: Vec<TagWire>,
    image_tag_mutability: Option<String>,
    image_tag_mutability_exclusion_filters: Option<Vec<ExclusionFilter>>,
    image_scanning_configuration: Option<Scanning>,
    encryption_configuration: Option<Encryption>,
}

#[derive(Serialize)]
pub(super) struct RepositoryOut {
    repository: RepositoryWire,
}

pub(super) async fn create(cx: &Context, input: CreateIn) -> Result<RepositoryOut, EcrError> {
    let name = input.repository_name;
    let tenant = reach_any(cx, input.registry_id.as_deref(), &name, "CreateRepository")?;
    check(&input.tags)?;
    let (tag_mutability, tag_exclusions) =
        mutability::parse(input.image_tag_mutability.as_deref(), input.image_tag_mutability_exclusion_filters)?;
    let encryption = input.encryption_configuration.unwrap_or_default();
    encryption.check()?;
    let wanted = Repository {
        tag_mutability,
        tag_exclusions,
        scan_on_push: input.image_scanning_configuration.is_some_and(|scanning| scanning.scan_on_push),
        encryption_type: encryption.encryption_type,
        kms_key: encryption.kms_key,
        tags: merged(Vec::new(), input.tags),
        ..Repository::new(&tenant, &name)
    };
    let made = cx.registry.create_repository(wanted).await.map_err(of(&tenant, &name))?;
    Ok(RepositoryOut { repository: shown(cx, &made) })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DescribeIn {
    registry_id: Option<String>,
    #[serde(default)]
    repository_names: Vec<String>,
    #[serde(flatten)]
    page: PageIn,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DescribeOut {
    repositories: Vec<RepositoryWire>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(super) fn describe(cx: &Context, input: DescribeIn) -> Result<DescribeOut, EcrError> {
    let registry = input.registry_id.as_deref();
    if !input.repository_names.is_empty() {
        let find = |name: &String| {
            let tenant = reach(cx, registry, name, "DescribeRepositories")?;
            cx.registry.repository(&tenant, name).map(|found| shown(cx, &found)).map_err(of(&tenant, name))
        };
        let repositories = input.repository_names.iter().map(find).collect::<Result<_, _>>()?;
        return Ok(DescribeOut { repositories, next_token: None });
    }
    let tenant = Tenant::new(registry.unwrap_or(&cx.tenant.account), &cx.tenant.region);
    let mut all = cx.registry.repositories(&tenant);
    all.retain(|one| reach(cx, registry, &one.name, "DescribeRepositories").is_ok());
    let (found, next_token) = page(all, |repository| repository.name.clone(), &input.page)?;
    Ok(DescribeOut { repositories: found.iter().map(|one| shown(cx, one)).collect(), next_token })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeleteIn {
    registry_id: Option<String>,
    repository_name: String,
    #[serde(default)]
    force: bool,
}

pub(super) async fn delete(cx: &Context, input: DeleteIn) -> Result<RepositoryOut, EcrError> {
    let name = &input.repository_name;
    let tenant = reach(cx, input.registry_id.as_deref(), name, "DeleteRepository")?;
    let gone = if input.force {
        cx.registry.delete_repository_with_images(&tenant, name).await
    } else {
        cx.registry.delete_repository(&tenant, name).await
    };
    Ok(RepositoryOut { repository: shown(cx, &gone.map_err(of(&tenant, name))?) })
}

fn shown(cx: &Context, repository: &Repository) -> RepositoryWire {
    RepositoryWire {
        repository_arn: repository.arn(),
        registry_id: repository.tenant.account.clone(),
        repository_name: repository.name.clone(),
        repository_uri: format!("{}/{}", cx.settings.registry_host, repository.name),
        created_at: repository.created_at.epoch_seconds(),
        image_tag_mutability: mutability::text(repository),
        image_tag_mutability_exclusion_filters: mutability::filters(repository),
        image_scanning_configuration: Scanning { scan_on_push: repository.scan_on_push },
        encryption_configuration: Encryption::of(repository),
    }
}
