//! What the registry refuses, for both of its doors: `/v2/` turns these into OCI error codes, ECR into its exceptions.

use std::io;

use cove_store::StoreError;

use crate::pull::PullError;
use crate::room::StoreFull;

/// A refusal or a failure of the registry.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("repository `{name}` does not exist in account {account}")]
    RepositoryUnknown { name: String, account: String },
    /// In AWS's words, which people look for.
    #[error(
        "User: {who} is not authorized to perform: {action} on resource: {resource} {why} resource-based policy{}",
        if why.starts_with("because") { format!(" allows the {action} action") } else { String::new() }
    )]
    Denied { who: String, action: String, resource: String, why: &'static str },
    #[error("repository `{name}` exists already in account {account}")]
    RepositoryExists { name: String, account: String },
    #[error("repository `{name}` in account {account} still holds images")]
    RepositoryNotEmpty { name: String, account: String },
    #[error("`{0}` is no repository name")]
    NameInvalid(String),
    #[error("`{0}` is no tag")]
    TagInvalid(String),
    #[error("tag `{tag}` exists already in repository `{repository}` and is immutable")]
    TagImmutable { repository: String, tag: String, digest: String },
    #[error("image `{reference}` exists already in repository `{repository}`")]
    ImageExists { repository: String, reference: String },
    #[error("blob `{0}` is unknown to the repository")]
    BlobUnknown(String),
    #[error("blob `{digest}` is part of image `{image}`")]
    BlobInUse { digest: String, image: String },
    #[error("manifest `{reference}` is unknown to repository `{repository}`")]
    ManifestUnknown { repository: String, reference: String },
    #[error("image `{digest}` of repository `{repository}` is archived")]
    ImageArchived { repository: String, digest: String },
    #[error("manifest `{digest}` is part of index `{index}`")]
    ManifestInUse { digest: String, index: String },
    #[error("the manifest names blobs that the repository lacks: {}", .0.join(", "))]
    ManifestBlobUnknown(Vec<String>),
    #[error("the manifest is invalid: {0}")]
    ManifestInvalid(ManifestFault),
    #[error("the manifest is larger than {limit} bytes")]
    ManifestTooLarge { limit: usize },
    #[error("upload `{0}` is unknown")]
    UploadUnknown(String),
    #[error("upload `{id}` goes on at byte {offset}")]
    UploadOutOfOrder { id: String, offset: u64 },
    #[error("upload `{0}` is being written by another request")]
    UploadBusy(String),
    #[error("more than {max} uploads are open; finish or cancel some, or try again later")]
    TooManyUploads { max: usize },
    #[error("repository `{repository}` is full: it may hold {max_mib} MiB (repository_quotas)")]
    RepositoryFull { repository: String, max_mib: u64 },
    #[error("`{reference}` is not as the request expects: it is {}", .found.as_deref().unwrap_or("not there"))]
    NotAsExpected { reference: String, found: Option<String> },
    #[error("the request body ended early")]
    BodyCut,
    #[error("the body has {got} bytes, the range promised {promised}")]
    SizeInvalid { promised: u64, got: u64 },
    #[error("`{0}` is no digest that can be checked")]
    DigestInvalid(String),
    #[error("the content has digest {got}, not {promised}")]
    DigestMismatch { promised: String, got: String },
    #[error("no space is left on the device of the data directory")]
    DiskFull,
    /// The operator's cap, not the disk's.
    #[error("the image store is full: its blobs may take {max_mib} MiB (image_store_max_mib)")]
    StoreFull { max_mib: u64 },
    #[error("{doing}")]
    Io {
        doing: String,
        #[source]
        source: io::Error,
    },
    #[error("the registry that the image comes from did not give it")]
    Upstream(#[source] PullError),
    #[error("the store did not take the change")]
    Store(#[from] StoreError),
}

/// Why a manifest is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestFault {
    #[error("it is no JSON object: {0}")]
    Json(String),
    #[error("schemaVersion is not 2")]
    SchemaVersion,
    #[error("media type `{0}` is not supported")]
    MediaType(String),
    #[error("its mediaType `{inside}` differs from the Content-Type `{outside}`")]
    MediaTypeDiffers { inside: String, outside: String },
    #[error("it has neither layers nor manifests")]
    Shape,
    #[error("it has more than {max} layers or manifests")]
    TooMany { max: usize },
    #[error("descriptor digest `{0}` is invalid")]
    Digest(String),
}

impl RegistryError {
    /// Wraps an I/O failure with what was being done; a full disk gets its own variant so that clients are told.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| match (store_full(&source), source.kind()) {
            (Some(full), _) => Self::StoreFull { max_mib: full.max_mib },
            (None, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => Self::DiskFull,
            (None, _) => Self::Io { doing: doing.into(), source },
        }
    }
}

/// The operator's cap as the cause of an I/O error.
pub(crate) fn store_full(error: &io::Error) -> Option<&StoreFull> {
    error.get_ref()?.downcast_ref()
}
