//! Requests and replies, exactly as clients see them.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagWire {
    pub(super) key: String,
    #[serde(default)]
    pub(super) value: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Scanning {
    #[serde(default)]
    pub(super) scan_on_push: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Encryption {
    pub(super) encryption_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) kms_key: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RepositoryWire {
    pub(super) repository_arn: String,
    pub(super) registry_id: String,
    pub(super) repository_name: String,
    pub(super) repository_uri: String,
    pub(super) created_at: f64,
    pub(super) image_tag_mutability: &'static str,
    pub(super) image_scanning_configuration: Scanning,
    pub(super) encryption_configuration: Encryption,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImageId {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) image_digest: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) image_tag: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImageFailure {
    pub(super) image_id: ImageId,
    pub(super) failure_code: &'static str,
    pub(super) failure_reason: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImageWire {
    pub(super) registry_id: String,
    pub(super) repository_name: String,
    pub(super) image_id: ImageId,
    pub(super) image_manifest: String,
    pub(super) image_manifest_media_type: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImageDetail {
    pub(super) registry_id: String,
    pub(super) repository_name: String,
    pub(super) image_digest: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) image_tags: Vec<String>,
    pub(super) image_size_in_bytes: u64,
    pub(super) image_pushed_at: f64,
    pub(super) image_manifest_media_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) artifact_media_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_recorded_pull_time: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subject_manifest_digest: Option<String>,
    pub(super) image_status: &'static str,
    #[serde(flatten)]
    pub(super) scan: super::scan::wire::ScanSummary,
}
