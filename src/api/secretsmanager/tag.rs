//! TagResource, UntagResource, and the rules for tags.

use std::collections::BTreeMap;

use cove_model::tag::Tag;

use super::error::SecretsError;
use super::value::living;
use super::wire::{Nothing, TagIn, TagWire, UntagIn};
use crate::Context;

/// AWS's limit per resource.
const TAGS_MAX: usize = 50;

/// TagResource.
pub(super) async fn add(cx: &Context, input: TagIn) -> Result<Nothing, SecretsError> {
    let tenant = cx.tenant.clone();
    cx.store
        .write(move |tx| {
            let mut secret = living(tx, &tenant, &input.secret_id)?;
            secret.tags = merged(secret.tags, input.tags)?;
            tx.put(secret);
            Ok(Nothing {})
        })
        .await
}

/// UntagResource.
pub(super) async fn remove(cx: &Context, input: UntagIn) -> Result<Nothing, SecretsError> {
    let tenant = cx.tenant.clone();
    cx.store
        .write(move |tx| {
            let mut secret = living(tx, &tenant, &input.secret_id)?;
            secret.tags.retain(|tag| !input.tag_keys.contains(&tag.key));
            tx.put(secret);
            Ok(Nothing {})
        })
        .await
}

/// The later value of a key wins.
pub(super) fn merged(current: Vec<Tag>, added: Vec<TagWire>) -> Result<Vec<Tag>, SecretsError> {
    let mut all: BTreeMap<String, String> = current.into_iter().map(|tag| (tag.key, tag.value)).collect();
    for tag in added {
        if tag.key.is_empty() {
            return Err(SecretsError::InvalidParameter("A tag must have a key."));
        }
        if tag.key.to_ascii_lowercase().starts_with("aws:") {
            return Err(SecretsError::InvalidRequest("Tag keys that begin with aws: are for AWS use only."));
        }
        all.insert(tag.key, tag.value);
    }
    if all.len() > TAGS_MAX {
        return Err(SecretsError::InvalidParameter("A secret can have at most 50 tags."));
    }
    Ok(all.into_iter().map(|(key, value)| Tag { key, value }).collect())
}
