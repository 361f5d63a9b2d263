//! Create-, Update-, Delete- and DescribeRepositoryCreationTemplates: how repositories look that are made by a pull
//! through the cache, by replication or by a push.

use cove_model::registry_rules::{CreationTemplate, MadeFor};
use cove_model::tag::Tag;
use cove_registry::access::repository_policy;
use cove_registry::lifecycle::Policy;
use cove_store::{Prefix, Read, keys};
use serde::{Deserialize, Serialize};

use super::error::EcrError;
use super::page::page;
use super::request::PageIn;
use super::resource_tag::{check, merged};
use super::wire::{Encryption, TagWire};
use crate::aws::context::Context;

/// Templates per registry.
const TEMPLATES_MAX: usize = 100;

/// Members of a template that a request gives; what it leaves out stays as it is, or as it is by default.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TemplateIn {
    prefix: String,
    description: Option<String>,
    encryption_configuration: Option<Encryption>,
    resource_tags: Option<Vec<TagWire>>,
    image_tag_mutability: Option<String>,
    image_tag_mutability_exclusion_filters: Option<Vec<Exclusion>>,
    repository_policy: Option<String>,
    lifecycle_policy: Option<String>,
    applied_for: Option<Vec<MadeFor>>,
    custom_role_arn: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Exclusion {
    filter_type: String,
    filter: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TemplateOut {
    registry_id: String,
    repository_creation_template: TemplateWire,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TemplateWire {
    prefix: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    encryption_configuration: Encryption,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resource_tags: Vec<TagWire>,
    image_tag_mutability: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    image_tag_mutability_exclusion_filters: Vec<Exclusion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repository_policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lifecycle_policy: Option<String>,
    applied_for: Vec<MadeFor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_role_arn: Option<String>,
    created_at: f64,
    updated_at: f64,
}

pub(super) async fn create(cx: &Context, input: TemplateIn) -> Result<TemplateOut, EcrError> {
    check_given(&input)?;
    let tenant = cx.tenant.clone();
    let made = cx.store.write(move |tx| {
        let key = keys::creation_template(&tenant, &input.prefix);
        if tx.get::<CreationTemplate>(&key).is_some() {
            return Err(EcrError::TemplateAlreadyExists { prefix: input.prefix, account: tenant.account });
        }
        if tx.count::<CreationTemplate>(&Prefix::tenant(&tenant)) >= TEMPLATES_MAX {
            return Err(EcrError::LimitExceeded(format!("A registry can have at most {TEMPLATES_MAX} templates")));
        }
        let mut template = CreationTemplate {
            tenant,
            prefix: input.prefix.clone(),
            description: None,
            applied_for: Vec::new(),
            tag_mutability: "MUTABLE".to_owned(),
            tag_exclusions: Vec::new(),
            encryption_type: "AES256".to_owned(),
            kms_key: None,
            tags: Vec::new(),
            repository_policy: None,
            lifecycle_policy: None,
            custom_role_arn: None,
            created_at: tx.now(),
            updated_at: tx.now(),
        };
        take(&mut template, input);
        tx.put(template.clone());
        Ok::<_, EcrError>(template)
    });
    Ok(out(made.await?))
}

pub(super) async fn update(cx: &Context, input: TemplateIn) -> Result<TemplateOut, EcrError> {
    check_given(&input)?;
    let tenant = cx.tenant.clone();
    let changed = cx.store.write(move |tx| {
        let key = keys::creation_template(&tenant, &input.prefix);
        let Some(known) = tx.get::<CreationTemplate>(&key) else {
            return Err(EcrError::TemplateNotFound { prefix: input.prefix, account: tenant.account });
        };
        let mut template = (*known).clone();
        template.updated_at = tx.now();
        take(&mut template, input);
        tx.put(template.clone());
        Ok::<_, EcrError>(template)
    });
    Ok(out(changed.await?))
}

#[derive(Deserialize)]
pub(super) struct DeleteIn {
    prefix: String,
}

pub(super) async fn delete(cx: &Context, input: DeleteIn) -> Result<TemplateOut, EcrError> {
    let tenant = cx.tenant.clone();
    let gone = cx.store.write(move |tx| {
        let key = keys::creation_template(&tenant, &input.prefix);
        let Some(known) = tx.get::<CreationTemplate>(&key) else {
            return Err(EcrError::TemplateNotFound { prefix: input.prefix, account: tenant.account });
        };
        tx.delete::<CreationTemplate>(&key);
        Ok::<_, EcrError>((*known).clone())
    });
    Ok(out(gone.await?))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DescribeIn {
    #[serde(default)]
    prefixes: Vec<String>,
    #[serde(flatten)]
    page: PageIn,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DescribeOut {
    registry_id: String,
    repository_creation_templates: Vec<TemplateWire>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// Prefixes without a template are left out, as AWS does.
pub(super) fn describe(cx: &Context, input: DescribeIn) -> Result<DescribeOut, EcrError> {
    let mut all = cx.store.read(|view| view.scan::<CreationTemplate>(&Prefix::tenant(&cx.tenant)));
    if !input.prefixes.is_empty() {
        all.retain(|template| input.prefixes.contains(&template.prefix));
    }
    let (found, next_token) = page(all, |template| template.prefix.clone(), &input.page)?;
    let repository_creation_templates = found.iter().map(|template| wire((**template).clone())).collect();
    Ok(DescribeOut { registry_id: cx.tenant.account.clone(), repository_creation_templates, next_token })
}

/// What the model does not say.
fn check_given(input: &TemplateIn) -> Result<(), EcrError> {
    check(input.resource_tags.as_deref().unwrap_or_default())?;
    let invalid = |at: &str, why: &str| {
        EcrError::InvalidParameter(format!("Invalid parameter at '{at}' failed to satisfy constraint: '{why}'"))
    };
    if input.applied_for.as_ref().is_some_and(Vec::is_empty) {
        return Err(invalid("appliedFor", "must name at least one use"));
    }
    // An empty text takes the policy away.
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    if given(&input.repository_policy).is_some_and(|text| repository_policy(&text).is_none()) {
        return Err(invalid("repositoryPolicy", "Invalid repository policy provided"));
    }
    if let Some(Err(why)) = given(&input.lifecycle_policy).map(|text| Policy::parse(&text)) {
        return Err(EcrError::InvalidLifecyclePolicy(why));
    }
    input.encryption_configuration.as_ref().map_or(Ok(()), Encryption::check)?;
    let excludes = input.image_tag_mutability_exclusion_filters.is_some();
    let wants = input.image_tag_mutability.as_deref().is_some_and(|word| word.ends_with("_WITH_EXCLUSION"));
    if excludes != wants {
        return Err(invalid(
            "imageTagMutabilityExclusionFilters",
            "filters and a tag mutability with exclusions belong together",
        ));
    }
    Ok(())
}

fn take(template: &mut CreationTemplate, input: TemplateIn) {
    let emptied = |text: String| (!text.is_empty()).then_some(text);
    if let Some(text) = input.description {
        template.description = emptied(text);
    }
    if let Some(encryption) = input.encryption_configuration {
        template.encryption_type = encryption.encryption_type;
        template.kms_key = encryption.kms_key.and_then(emptied);
    }
    if let Some(tags) = input.resource_tags {
        template.tags = merged(Vec::new(), tags);
    }
    if let Some(word) = input.image_tag_mutability {
        template.tag_mutability = word;
        let filters = input.image_tag_mutability_exclusion_filters.unwrap_or_default();
        template.tag_exclusions = filters.into_iter().map(|one| one.filter).collect();
    }
    if let Some(text) = input.repository_policy {
        template.repository_policy = emptied(text);
    }
    if let Some(text) = input.lifecycle_policy {
        template.lifecycle_policy = emptied(text);
    }
    if let Some(uses) = input.applied_for {
        template.applied_for = uses;
    }
    if let Some(role) = input.custom_role_arn {
        template.custom_role_arn = emptied(role);
    }
}

fn out(template: CreationTemplate) -> TemplateOut {
    TemplateOut { registry_id: template.tenant.account.clone(), repository_creation_template: wire(template) }
}

fn wire(it: CreationTemplate) -> TemplateWire {
    let filter = |filter| Exclusion { filter_type: "WILDCARD".to_owned(), filter };
    TemplateWire {
        prefix: it.prefix,
        description: it.description,
        encryption_configuration: Encryption { encryption_type: it.encryption_type, kms_key: it.kms_key },
        resource_tags: it.tags.into_iter().map(|Tag { key, value }| TagWire { key, value }).collect(),
        image_tag_mutability: it.tag_mutability,
        image_tag_mutability_exclusion_filters: it.tag_exclusions.into_iter().map(filter).collect(),
        repository_policy: it.repository_policy,
        lifecycle_policy: it.lifecycle_policy,
        applied_for: it.applied_for,
        custom_role_arn: it.custom_role_arn,
        created_at: it.created_at.epoch_seconds(),
        updated_at: it.updated_at.epoch_seconds(),
    }
}
