//! Requests and replies as clients see them.

use cove_model::role::Role;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateRoleIn {
    pub(super) path: Option<String>,
    pub(super) role_name: String,
    pub(super) assume_role_policy_document: String,
    pub(super) description: Option<String>,
    pub(super) max_session_duration: Option<u32>,
    pub(super) permissions_boundary: Option<String>,
    #[serde(default)]
    pub(super) tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RoleNameIn {
    pub(super) role_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListRolesIn {
    pub(super) path_prefix: Option<String>,
    pub(super) marker: Option<String>,
    pub(super) max_items: Option<usize>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    pub(super) key: String,
    pub(super) value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RoleOut {
    pub(super) role: RoleView,
}

#[derive(Serialize)]
pub(super) struct Nothing {}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListRolesOut {
    pub(super) roles: Vec<RoleView>,
    pub(super) is_truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) marker: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RoleView {
    path: String,
    role_name: String,
    role_id: String,
    arn: String,
    create_date: f64,
    assume_role_policy_document: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    max_session_duration: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag>,
}

/// IAM shows policies URL-encoded.
const POLICY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl From<&Role> for RoleView {
    fn from(role: &Role) -> Self {
        Self {
            path: role.path.clone(),
            role_name: role.name.clone(),
            role_id: role.id.clone(),
            arn: role.arn(),
            create_date: role.created_at.epoch_seconds(),
            assume_role_policy_document: utf8_percent_encode(&role.assume_role_policy_document, POLICY).to_string(),
            description: role.description.clone(),
            max_session_duration: role.max_session_duration_secs,
            tags: role.tags.iter().map(|tag| Tag { key: tag.key.clone(), value: tag.value.clone() }).collect(),
        }
    }
}
