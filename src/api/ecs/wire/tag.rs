//! Tags of resources.

use cove_model::tag::Tag;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TagResourceIn {
    pub(crate) resource_arn: String,
    pub(crate) tags: Vec<Tag>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UntagResourceIn {
    pub(crate) resource_arn: String,
    pub(crate) tag_keys: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListTagsForResourceIn {
    pub(crate) resource_arn: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct TagsOut {
    pub(crate) tags: Vec<Tag>,
}
