//! Requests and replies as clients see them. Those with a value in them have no `Debug`.

use std::collections::BTreeMap;

use cove_model::secret::Secret;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagWire {
    #[serde(default)]
    pub(super) key: String,
    #[serde(default)]
    pub(super) value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateIn {
    pub(super) name: String,
    pub(super) client_request_token: Option<String>,
    pub(super) description: Option<String>,
    pub(super) kms_key_id: Option<String>,
    pub(super) secret_binary: Option<String>,
    pub(super) secret_string: Option<String>,
    #[serde(default)]
    pub(super) tags: Vec<TagWire>,
    #[serde(default)]
    pub(super) add_replica_regions: Vec<Value>,
    #[serde(rename = "Type")]
    pub(super) kind: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateIn {
    pub(super) secret_id: String,
    pub(super) client_request_token: Option<String>,
    pub(super) description: Option<String>,
    pub(super) kms_key_id: Option<String>,
    pub(super) secret_binary: Option<String>,
    pub(super) secret_string: Option<String>,
    #[serde(rename = "Type")]
    pub(super) kind: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutIn {
    pub(super) secret_id: String,
    pub(super) client_request_token: Option<String>,
    pub(super) secret_binary: Option<String>,
    pub(super) secret_string: Option<String>,
    pub(super) version_stages: Option<Vec<String>>,
    pub(super) rotation_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetIn {
    pub(super) secret_id: String,
    pub(super) version_id: Option<String>,
    pub(super) version_stage: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct IdIn {
    pub(super) secret_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteIn {
    pub(super) secret_id: String,
    pub(super) recovery_window_in_days: Option<i64>,
    #[serde(default)]
    pub(super) force_delete_without_recovery: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListIn {
    #[serde(default)]
    pub(super) include_planned_deletion: bool,
    pub(super) max_results: Option<usize>,
    pub(super) next_token: Option<String>,
    #[serde(default)]
    pub(super) filters: Vec<Filter>,
    pub(super) sort_order: Option<String>,
    pub(super) sort_by: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Filter {
    pub(super) key: Option<String>,
    #[serde(default)]
    pub(super) values: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagIn {
    pub(super) secret_id: String,
    pub(super) tags: Vec<TagWire>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UntagIn {
    pub(super) secret_id: String,
    pub(super) tag_keys: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct Nothing {}

/// What most operations answer.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SecretOut {
    #[serde(rename = "ARN")]
    pub(super) arn: String,
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version_stages: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deletion_date: Option<f64>,
}

impl SecretOut {
    /// Which secret, and no more.
    pub(super) fn of(secret: &Secret) -> Self {
        Self {
            arn: secret.arn(),
            name: secret.name.clone(),
            version_id: None,
            version_stages: None,
            deletion_date: None,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ValueOut {
    #[serde(rename = "ARN")]
    pub(super) arn: String,
    pub(super) name: String,
    pub(super) version_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret_binary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret_string: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) version_stages: Vec<String>,
    pub(super) created_date: f64,
}

/// DescribeSecret's answer, and with another name for the stages an entry of ListSecrets.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Description {
    #[serde(rename = "ARN")]
    pub(super) arn: String,
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kms_key_id: Option<String>,
    pub(super) last_changed_date: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_accessed_date: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deleted_date: Option<f64>,
    pub(super) tags: Vec<TagWire>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version_ids_to_stages: Option<BTreeMap<String, Vec<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret_versions_to_stages: Option<BTreeMap<String, Vec<String>>>,
    pub(super) created_date: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListOut {
    pub(super) secret_list: Vec<Description>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutPolicyIn {
    pub(super) secret_id: String,
    pub(super) resource_policy: String,
    #[serde(default)]
    pub(super) block_public_policy: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PolicyOut {
    #[serde(rename = "ARN")]
    pub(super) arn: String,
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resource_policy: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct VersionsIn {
    pub(super) secret_id: String,
    #[serde(default)]
    pub(super) include_deprecated: bool,
    pub(super) max_results: Option<usize>,
    pub(super) next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct VersionsOut {
    #[serde(rename = "ARN")]
    pub(super) arn: String,
    pub(super) name: String,
    pub(super) versions: Vec<VersionOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct VersionOut {
    pub(super) version_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) version_stages: Vec<String>,
    pub(super) created_date: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StageIn {
    pub(super) secret_id: String,
    pub(super) version_stage: String,
    pub(super) remove_from_version_id: Option<String>,
    pub(super) move_to_version_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PasswordIn {
    pub(super) password_length: Option<usize>,
    pub(super) exclude_characters: Option<String>,
    #[serde(default)]
    pub(super) exclude_numbers: bool,
    #[serde(default)]
    pub(super) exclude_punctuation: bool,
    #[serde(default)]
    pub(super) exclude_uppercase: bool,
    #[serde(default)]
    pub(super) exclude_lowercase: bool,
    #[serde(default)]
    pub(super) include_space: bool,
    pub(super) require_each_included_type: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PasswordOut {
    pub(super) random_password: String,
}
