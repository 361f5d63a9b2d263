//! What the registry keeps about repositories. Blobs and manifests themselves are files by digest; these are the small
//! records around them: one per repository, per image (a manifest in a repository), per tag, per blob membership, per
//! referrer and per open upload, so that a push costs a few small writes however large the repository is.

use std::collections::BTreeMap;

use cove_base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::arn::Tenant;
use crate::tag::Tag;
use crate::wildcard;

/// A repository, as ECR sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    pub tenant: Tenant,
    pub name: String,
    pub created_at: Timestamp,
    pub tag_mutability: TagMutability,
    /// Patterns of the tags of which the opposite of the mutability holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tag_exclusions: Vec<String>,
    pub scan_on_push: bool,
    /// `AES256`, `KMS` or `KMS_DSSE`; kept and shown, blobs are not encrypted.
    pub encryption_type: String,
    pub kms_key: Option<String>,
    pub tags: Vec<Tag>,
}

impl Repository {
    /// A repository as ECR makes one that is only named.
    #[must_use]
    pub fn new(tenant: &Tenant, name: &str) -> Self {
        Self {
            tenant: tenant.clone(),
            name: name.to_owned(),
            created_at: Timestamp::default(),
            tag_mutability: TagMutability::Mutable,
            tag_exclusions: Vec::new(),
            scan_on_push: false,
            encryption_type: "AES256".to_owned(),
            kms_key: None,
            tags: Vec::new(),
        }
    }

    /// Whether a tag, once it is there, stays with its image.
    #[must_use]
    pub fn is_fixed(&self, tag: &str) -> bool {
        let is_excluded = self.tag_exclusions.iter().any(|pattern| wildcard::matches(pattern, tag));
        match self.tag_mutability {
            TagMutability::Mutable => is_excluded,
            TagMutability::Immutable => !is_excluded,
        }
    }

    /// The repository's ARN.
    #[must_use]
    pub fn arn(&self) -> String {
        Self::arn_of(&self.tenant, &self.name)
    }

    /// The ARN of a repository that need not be there.
    #[must_use]
    pub fn arn_of(tenant: &Tenant, name: &str) -> String {
        tenant.arn("ecr", format_args!("repository/{name}"))
    }
}

/// Whether a tag may move to another image, but for the repository's exclusions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TagMutability {
    Mutable,
    Immutable,
}

/// A manifest in a repository. Its bytes are the blob of the same digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    pub tenant: Tenant,
    pub repository: String,
    /// `algorithm:hex`, as the client pushed it.
    pub digest: String,
    pub media_type: String,
    /// The manifest's own size in bytes.
    pub manifest_size: u64,
    /// Layers and config together, in bytes: ECR's `imageSizeInBytes`.
    pub image_size: u64,
    pub artifact_type: Option<String>,
    pub config_media_type: Option<String>,
    /// Digests of the blobs that this manifest names (config and layers), for membership and collection.
    pub blobs: Vec<String>,
    /// Digests of the manifests that this index names.
    pub manifests: Vec<String>,
    pub subject: Option<String>,
    pub pushed_at: Timestamp,
    pub last_pulled_at: Option<Timestamp>,
    /// Whether it is in the archive, from where nobody pulls.
    #[serde(default)]
    pub is_archived: bool,
    /// When it last went there, and when it last came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activated_at: Option<Timestamp>,
}

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageTag {
    pub tenant: Tenant,
    pub repository: String,
    pub tag: String,
    pub digest: String,
}

/// That a blob may be read through a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobLink {
    pub tenant: Tenant,
    pub repository: String,
    pub digest: String,
    pub size: u64,
    pub linked_at: Timestamp,
}

/// An upload that is not finished. Bytes so far are the file's length; nothing is acknowledged before it is in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    pub tenant: Tenant,
    pub repository: String,
    /// A UUID, the name of the file.
    pub id: String,
    pub started_at: Timestamp,
}

/// That a manifest refers to another one (its subject), with what the referrers list shows of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Referrer {
    pub tenant: Tenant,
    pub repository: String,
    /// Digest of the manifest that is referred to; it need not be there.
    pub subject: String,
    /// Digest of the manifest that refers.
    pub digest: String,
    pub media_type: String,
    pub size: u64,
    pub artifact_type: Option<String>,
    /// `None`: too large for a record; the manifest has them.
    pub annotations: Option<BTreeMap<String, String>>,
}

/// An image that was pulled from another registry for a task. In no repository; its blobs stay while it is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PulledImage {
    pub tenant: Tenant,
    /// `host/repository`.
    pub name: String,
    /// The tag or digest that was asked for.
    pub reference: String,
    /// What that was at the last pull: an index's digest where there is one.
    pub digest: String,
    /// The manifest of our platform.
    pub manifest_digest: String,
    /// Every blob that must stay: index, manifest, config, layers.
    pub blobs: Vec<String>,
    pub pulled_at: Timestamp,
    pub used_at: Timestamp,
}
