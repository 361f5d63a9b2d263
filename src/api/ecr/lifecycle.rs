//! PutLifecyclePolicy, GetLifecyclePolicy, DeleteLifecyclePolicy, StartLifecyclePolicyPreview, GetLifecyclePolicyPreview.
//!
//! A preview is computed when it is asked for, as of when it was started: nothing of its size is kept.

use cove_model::arn::Tenant;
use cove_model::registry_settings::LifecyclePolicy;
use cove_registry::lifecycle::{Action, Policy};
use cove_registry::{Previewed, TaggedImage};
use serde::{Deserialize, Serialize};

use super::error::{EcrError, of};
use super::image::is_named;
use super::page::page;
use super::request::{ImagesIn, RepositoryIn};
use crate::aws::context::Context;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutIn {
    #[serde(flatten)]
    of: RepositoryIn,
    lifecycle_policy_text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PolicyOut {
    registry_id: String,
    repository_name: String,
    lifecycle_policy_text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_evaluated_at: Option<f64>,
}

pub(super) async fn put(cx: &Context, input: PutIn) -> Result<PolicyOut, EcrError> {
    let tenant = input.of.reach(cx, "PutLifecyclePolicy")?;
    let name = input.of.repository_name;
    check(&input.lifecycle_policy_text)?;
    let put = cx.registry.put_lifecycle_policy(&tenant, &name, input.lifecycle_policy_text.clone()).await;
    put.map_err(of(&tenant, &name))?;
    Ok(PolicyOut {
        registry_id: tenant.account,
        repository_name: name,
        lifecycle_policy_text: input.lifecycle_policy_text,
        last_evaluated_at: None,
    })
}

pub(super) fn get(cx: &Context, input: RepositoryIn) -> Result<PolicyOut, EcrError> {
    let name = &input.repository_name;
    let tenant = input.reach(cx, "GetLifecyclePolicy")?;
    let found = cx.registry.lifecycle_policy(&tenant, name).map_err(of(&tenant, name))?;
    found.map(|policy| shown(&policy)).ok_or_else(|| none(&tenant, name))
}

pub(super) async fn delete(cx: &Context, input: RepositoryIn) -> Result<PolicyOut, EcrError> {
    let name = &input.repository_name;
    let tenant = input.reach(cx, "DeleteLifecyclePolicy")?;
    let gone = cx.registry.delete_lifecycle_policy(&tenant, name).await.map_err(of(&tenant, name))?;
    gone.map(|policy| shown(&policy)).ok_or_else(|| none(&tenant, name))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StartIn {
    #[serde(flatten)]
    of: RepositoryIn,
    lifecycle_policy_text: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StartOut {
    registry_id: String,
    repository_name: String,
    lifecycle_policy_text: String,
    status: &'static str,
}

pub(super) async fn start_preview(cx: &Context, input: StartIn) -> Result<StartOut, EcrError> {
    let tenant = input.of.reach(cx, "StartLifecyclePolicyPreview")?;
    let name = input.of.repository_name;
    let text = match input.lifecycle_policy_text {
        Some(text) => {
            check(&text)?;
            text
        }
        None => {
            let found = cx.registry.lifecycle_policy(&tenant, &name).map_err(of(&tenant, &name))?;
            found.ok_or_else(|| none(&tenant, &name))?.text.clone()
        }
    };
    cx.registry.start_preview(&tenant, &name, text.clone()).await.map_err(of(&tenant, &name))?;
    let status = "IN_PROGRESS";
    Ok(StartOut { registry_id: tenant.account, repository_name: name, lifecycle_policy_text: text, status })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PreviewOut {
    registry_id: String,
    repository_name: String,
    lifecycle_policy_text: String,
    status: &'static str,
    preview_results: Vec<ResultWire>,
    summary: Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResultWire {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    image_tags: Vec<String>,
    image_digest: String,
    image_pushed_at: f64,
    action: ActionWire,
    applied_rule_priority: u64,
    storage_class: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ActionWire {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_storage_class: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    expiring_image_total_count: usize,
    transitioning_image_total_counts: Vec<Transitioning>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Transitioning {
    target_storage_class: &'static str,
    image_total_count: usize,
}

pub(super) fn preview(cx: &Context, input: ImagesIn) -> Result<PreviewOut, EcrError> {
    let name = &input.of.repository_name;
    let tenant = input.of.reach(cx, "GetLifecyclePolicyPreview")?;
    let found = cx.registry.preview(&tenant, name).map_err(of(&tenant, name))?;
    let previewed =
        found.ok_or_else(|| EcrError::PreviewNotFound { repository: name.clone(), account: tenant.account.clone() })?;
    let summary = summary(&previewed);
    let text = previewed.preview.text.clone();
    let wanted = |one: &TaggedImage| {
        input.filter.takes_tags(!one.tags.is_empty())
            && (input.image_ids.is_empty() || input.image_ids.iter().any(|id| is_named(one, id)))
    };
    let mut results: Vec<ResultWire> = previewed
        .choices
        .iter()
        .filter_map(|choice| {
            let at = previewed.images.binary_search_by(|one| one.image.digest.cmp(&choice.digest)).ok()?;
            let one = &previewed.images[at];
            wanted(one).then(|| result(one, choice.rule, choice.action))
        })
        .collect();
    results.sort_by(|one, other| one.image_digest.cmp(&other.image_digest));
    let key = |one: &ResultWire| one.image_digest.clone();
    let (preview_results, next_token) = page(results, key, &input.page)?;
    Ok(PreviewOut {
        registry_id: tenant.account,
        repository_name: name.clone(),
        lifecycle_policy_text: text,
        status: "COMPLETE",
        preview_results,
        summary,
        next_token,
    })
}

fn summary(previewed: &Previewed) -> Summary {
    let count = |action| previewed.choices.iter().filter(|choice| choice.action == action).count();
    let archiving = count(Action::Archive);
    let transitioning = Transitioning { target_storage_class: "ARCHIVE", image_total_count: archiving };
    Summary {
        expiring_image_total_count: count(Action::Expire),
        transitioning_image_total_counts: if archiving > 0 { vec![transitioning] } else { Vec::new() },
    }
}

fn result(one: &TaggedImage, rule: u64, action: Action) -> ResultWire {
    let action = match action {
        Action::Expire => ActionWire { kind: "EXPIRE", target_storage_class: None },
        Action::Archive => ActionWire { kind: "TRANSITION", target_storage_class: Some("ARCHIVE") },
    };
    ResultWire {
        image_tags: one.tags.clone(),
        image_digest: one.image.digest.clone(),
        image_pushed_at: one.image.pushed_at.epoch_seconds(),
        action,
        applied_rule_priority: rule,
        storage_class: if one.image.is_archived { "ARCHIVE" } else { "STANDARD" },
    }
}

fn check(text: &str) -> Result<(), EcrError> {
    Policy::parse(text).map(|_| ()).map_err(EcrError::InvalidLifecyclePolicy)
}

fn shown(policy: &LifecyclePolicy) -> PolicyOut {
    PolicyOut {
        registry_id: policy.tenant.account.clone(),
        repository_name: policy.repository.clone(),
        lifecycle_policy_text: policy.text.clone(),
        last_evaluated_at: policy.evaluated_at.map(cove_base::Timestamp::epoch_seconds),
    }
}

fn none(tenant: &Tenant, name: &str) -> EcrError {
    EcrError::LifecyclePolicyNotFound { repository: name.to_owned(), account: tenant.account.clone() }
}
