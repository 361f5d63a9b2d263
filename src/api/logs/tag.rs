//! Tags of log groups, through the present operations and the older ones.

use std::collections::BTreeMap;

use cove_model::logs::LogGroup;
use cove_model::tag::Tag;

use super::error::LogsError;
use super::group;
use super::wire::{GroupIn, ListTagsIn, Nothing, TagGroupIn, TagIn, TagsOut, UntagGroupIn, UntagIn};
use crate::Context;

/// AWS's quota.
const TAGS_MAX: usize = 50;

/// TagResource.
pub(super) async fn tag(cx: &Context, input: TagIn) -> Result<Nothing, LogsError> {
    let name = group::name_of(&cx.tenant, &input.resource_arn)?;
    add(cx, name, input.tags).await
}

/// UntagResource.
pub(super) async fn untag(cx: &Context, input: UntagIn) -> Result<Nothing, LogsError> {
    let name = group::name_of(&cx.tenant, &input.resource_arn)?;
    remove(cx, name, input.tag_keys).await
}

/// ListTagsForResource.
pub(super) fn list(cx: &Context, input: ListTagsIn) -> Result<TagsOut, LogsError> {
    Ok(show(group::named(cx, None, Some(input.resource_arn))?.as_ref()))
}

/// TagLogGroup.
pub(super) async fn tag_group(cx: &Context, input: TagGroupIn) -> Result<Nothing, LogsError> {
    add(cx, input.log_group_name, input.tags).await
}

/// UntagLogGroup.
pub(super) async fn untag_group(cx: &Context, input: UntagGroupIn) -> Result<Nothing, LogsError> {
    remove(cx, input.log_group_name, input.tags).await
}

/// ListTagsLogGroup.
pub(super) fn list_group(cx: &Context, input: GroupIn) -> Result<TagsOut, LogsError> {
    Ok(show(group::named(cx, Some(input.log_group_name), None)?.as_ref()))
}

/// Tags of a request as they are stored.
pub(super) fn checked(tags: BTreeMap<String, String>) -> Result<Vec<Tag>, LogsError> {
    if tags.len() > TAGS_MAX {
        return Err(LogsError::TooManyTags(format!("A resource has at most {TAGS_MAX} tags.")));
    }
    if tags.keys().any(|key| key.to_ascii_lowercase().starts_with("aws:")) {
        return Err(LogsError::parameter("Tag keys beginning with 'aws:' are reserved."));
    }
    Ok(tags.into_iter().map(|(key, value)| Tag { key, value }).collect())
}

async fn add(cx: &Context, name: String, tags: BTreeMap<String, String>) -> Result<Nothing, LogsError> {
    let new = checked(tags)?;
    group::change(cx, name, move |group| {
        group.tags.retain(|old| new.iter().all(|tag| tag.key != old.key));
        group.tags.extend(new);
        if group.tags.len() > TAGS_MAX {
            return Err(LogsError::TooManyTags(format!("A resource has at most {TAGS_MAX} tags.")));
        }
        Ok(())
    })
    .await
}

async fn remove(cx: &Context, name: String, keys: Vec<String>) -> Result<Nothing, LogsError> {
    group::change(cx, name, move |group| {
        group.tags.retain(|tag| !keys.contains(&tag.key));
        Ok(())
    })
    .await
}

fn show(group: &LogGroup) -> TagsOut {
    TagsOut { tags: group.tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect() }
}
