//! PutImageTagMutability, and how mutability with exclusions is read and shown.
//!
//! In the store there are a mutability and patterns of tags of which the opposite holds; the wire's four words follow.

use cove_model::registry::{Repository, TagMutability};
use serde::{Deserialize, Serialize};

use super::access::reach;
use super::error::{EcrError, of};
use crate::aws::context::Context;

/// AWS's limit per filter.
const WILDCARDS_MAX: usize = 2;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExclusionFilter {
    filter_type: String,
    filter: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutIn {
    registry_id: Option<String>,
    repository_name: String,
    image_tag_mutability: String,
    image_tag_mutability_exclusion_filters: Option<Vec<ExclusionFilter>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutOut {
    registry_id: String,
    repository_name: String,
    image_tag_mutability: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_tag_mutability_exclusion_filters: Option<Vec<ExclusionFilter>>,
}

pub(super) async fn put(cx: &Context, input: PutIn) -> Result<PutOut, EcrError> {
    let name = &input.repository_name;
    let tenant = reach(cx, input.registry_id.as_deref(), name, "PutImageTagMutability")?;
    let (mutability, exclusions) =
        parse(Some(&input.image_tag_mutability), input.image_tag_mutability_exclusion_filters)?;
    let change = move |found: &mut Repository| {
        found.tag_mutability = mutability;
        found.tag_exclusions = exclusions;
    };
    let changed = cx.registry.update_repository(&tenant, name, change).await.map_err(of(&tenant, name))?;
    Ok(PutOut {
        image_tag_mutability: text(&changed),
        image_tag_mutability_exclusion_filters: filters(&changed),
        registry_id: changed.tenant.account,
        repository_name: changed.name,
    })
}

/// What a request asks for. The model has checked the words, and the number and letters of filters.
pub(super) fn parse(
    mutability: Option<&str>,
    filters: Option<Vec<ExclusionFilter>>,
) -> Result<(TagMutability, Vec<String>), EcrError> {
    let word = mutability.unwrap_or("MUTABLE");
    let (base, with_exclusion) = match word.strip_suffix("_WITH_EXCLUSION") {
        Some(base) => (base, true),
        None => (word, false),
    };
    let exclusions: Vec<String> = filters.into_iter().flatten().map(|filter| filter.filter).collect();
    if with_exclusion && exclusions.is_empty() {
        return Err(refused(&format!(
            "ImageTagMutabilityExclusionFilters can't be null when imageTagMutability is set as {word}"
        )));
    }
    if !with_exclusion && !exclusions.is_empty() {
        return Err(refused(&format!(
            "ImageTagMutabilityExclusionFilters are not allowed when imageTagMutability is set as {word}"
        )));
    }
    if let Some(filter) = exclusions.iter().find(|filter| filter.matches('*').count() > WILDCARDS_MAX) {
        return Err(refused(&format!("filter '{filter}' has more than {WILDCARDS_MAX} wildcards")));
    }
    Ok((if base == "IMMUTABLE" { TagMutability::Immutable } else { TagMutability::Mutable }, exclusions))
}

/// The wire's word.
pub(super) const fn text(repository: &Repository) -> &'static str {
    match (repository.tag_mutability, repository.tag_exclusions.is_empty()) {
        (TagMutability::Mutable, true) => "MUTABLE",
        (TagMutability::Mutable, false) => "MUTABLE_WITH_EXCLUSION",
        (TagMutability::Immutable, true) => "IMMUTABLE",
        (TagMutability::Immutable, false) => "IMMUTABLE_WITH_EXCLUSION",
    }
}

/// The wire's filters, where there are any.
pub(super) fn filters(repository: &Repository) -> Option<Vec<ExclusionFilter>> {
    let filter = |pattern: &String| ExclusionFilter { filter_type: "WILDCARD".to_owned(), filter: pattern.clone() };
    let all: Vec<_> = repository.tag_exclusions.iter().map(filter).collect();
    (!all.is_empty()).then_some(all)
}

fn refused(why: &str) -> EcrError {
    EcrError::InvalidParameter(format!(
        "Invalid parameter at 'imageTagMutabilityExclusionFilters' failed to satisfy constraint: '{why}'"
    ))
}
