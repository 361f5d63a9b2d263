//! TagResource, UntagResource, ListTagsForResource, and the rules for tags.

use std::collections::BTreeMap;

use cove_model::arn::Arn;
use cove_model::tag::Tag;
use serde::{Deserialize, Serialize};

use super::access::reach;
use super::error::{EcrError, of};
use super::wire::TagWire;
use crate::aws::context::Context;

/// AWS's limit per resource.
const TAGS_MAX: usize = 50;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AddIn {
    resource_arn: String,
    tags: Vec<TagWire>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RemoveIn {
    resource_arn: String,
    tag_keys: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListIn {
    resource_arn: String,
}

#[derive(Serialize)]
pub(super) struct Nothing {}

#[derive(Serialize)]
pub(super) struct ListOut {
    tags: Vec<TagWire>,
}

pub(super) async fn add(cx: &Context, input: AddIn) -> Result<Nothing, EcrError> {
    let name = repository_of(cx, &input.resource_arn, "TagResource")?;
    check(&input.tags)?;
    let keys: Vec<String> = input.tags.iter().map(|tag| tag.key.clone()).collect();
    let change = cx.registry.update_repository(&cx.tenant, name, move |found| {
        let all = merged(found.tags.clone(), input.tags);
        if all.len() <= TAGS_MAX {
            found.tags = all;
        }
    });
    let changed = change.await.map_err(of(&cx.tenant, name))?;
    // Who adds no key adds none too many.
    let is_done = keys.iter().all(|key| changed.tags.iter().any(|tag| tag.key == *key));
    if is_done { Ok(Nothing {}) } else { Err(EcrError::TooManyTags) }
}

pub(super) async fn remove(cx: &Context, input: RemoveIn) -> Result<Nothing, EcrError> {
    let name = repository_of(cx, &input.resource_arn, "UntagResource")?;
    let change = cx.registry.update_repository(&cx.tenant, name, move |found| {
        found.tags.retain(|tag| !input.tag_keys.contains(&tag.key));
    });
    change.await.map_err(of(&cx.tenant, name))?;
    Ok(Nothing {})
}

pub(super) fn list(cx: &Context, input: ListIn) -> Result<ListOut, EcrError> {
    let name = repository_of(cx, &input.resource_arn, "ListTagsForResource")?;
    let repository = cx.registry.repository(&cx.tenant, name).map_err(of(&cx.tenant, name))?;
    let tags = repository.tags.iter().map(|tag| TagWire { key: tag.key.clone(), value: tag.value.clone() });
    Ok(ListOut { tags: tags.collect() })
}

fn repository_of<'a>(cx: &Context, arn: &'a str, operation: &str) -> Result<&'a str, EcrError> {
    let parsed = Arn::parse(arn).filter(|arn| arn.service == "ecr" && arn.belongs_to(&cx.tenant));
    let name = parsed.and_then(|arn| arn.path_of("repository")).ok_or_else(|| {
        EcrError::InvalidParameter(format!(
            "Invalid parameter at 'resourceArn' failed to satisfy constraint: 'Invalid ARN': {arn}"
        ))
    })?;
    reach(cx, None, name, operation)?;
    Ok(name)
}

/// Refuses what AWS refuses.
pub(super) fn check(tags: &[TagWire]) -> Result<(), EcrError> {
    if tags.len() > TAGS_MAX {
        return Err(EcrError::TooManyTags);
    }
    for tag in tags {
        if tag.key.is_empty() || tag.key.chars().count() > 128 {
            return Err(EcrError::InvalidTag("Tag key must have between 1 and 128 characters"));
        }
        if tag.value.chars().count() > 256 {
            return Err(EcrError::InvalidTag("Tag value must have at most 256 characters"));
        }
        if tag.key.to_ascii_lowercase().starts_with("aws:") {
            return Err(EcrError::InvalidTag("Tag key must not begin with aws:"));
        }
    }
    Ok(())
}

/// The later value of a key wins.
pub(super) fn merged(current: Vec<Tag>, added: Vec<TagWire>) -> Vec<Tag> {
    let mut all: BTreeMap<String, String> = current.into_iter().map(|tag| (tag.key, tag.value)).collect();
    all.extend(added.into_iter().map(|tag| (tag.key, tag.value)));
    all.into_iter().map(|(key, value)| Tag { key, value }).collect()
}
