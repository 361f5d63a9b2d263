//! ECR's errors, in its words.

use cove_model::arn::Tenant;
use cove_registry::{PullError, RegistryError};
use cove_store::StoreError;

use crate::aws::fault::ApiError;

/// What ECR answers instead.
#[derive(Debug, thiserror::Error)]
pub(super) enum EcrError {
    #[error("The repository with name '{name}' does not exist in the registry with id '{account}'")]
    RepositoryNotFound { name: String, account: String },
    #[error("The repository with name '{name}' already exists in the registry with id '{account}'")]
    RepositoryAlreadyExists { name: String, account: String },
    #[error(
        "The repository with name '{name}' in registry with id '{account}' cannot be deleted because it still contains \
         images"
    )]
    RepositoryNotEmpty { name: String, account: String },
    #[error(
        "The image with imageId {{imageDigest:'{}', imageTag:'{}'}} does not exist within the repository with name \
         '{repository}' in the registry with id '{account}'",
        shown(.digest), shown(.tag)
    )]
    ImageNotFound { repository: String, account: String, digest: Option<String>, tag: Option<String> },
    #[error("{0}")]
    InvalidParameter(String),
    #[error("Invalid parameter at 'tags' failed to satisfy constraint: '{0}'")]
    InvalidTag(&'static str),
    #[error("A repository can have at most 50 tags")]
    TooManyTags,
    #[error(
        "Image with digest '{digest}' and tag '{tag}' already exists in the repository with name '{repository}' in \
         registry with id '{account}'"
    )]
    ImageAlreadyExists { repository: String, account: String, digest: String, tag: String },
    #[error(
        "The image tag '{tag}' already exists in the '{repository}' repository and cannot be overwritten because the \
         repository is immutable."
    )]
    ImageTagAlreadyExists { repository: String, tag: String },
    #[error("The image digest '{promised}' does not match the digest '{got}' of the manifest")]
    ImageDigestDoesNotMatch { promised: String, got: String },
    #[error(
        "Layers with digests '{digests}' required for pushing image into repository with name '{repository}' in the registry with id '{account}' do not exist"
    )]
    LayersNotFound { repository: String, account: String, digests: String },
    #[error(
        "The layer with digest '{digest}' does not exist in the repository with name '{repository}' in the registry with id '{account}'"
    )]
    LayerInaccessible { repository: String, account: String, digest: String },
    #[error(
        "Layer with digest '{digest}' already exists in the repository with name '{repository}' in the registry with id '{account}'"
    )]
    LayerAlreadyExists { repository: String, account: String, digest: String },
    #[error(
        "The upload with id '{id}' does not exist in the repository with name '{repository}' in the registry with id '{account}'"
    )]
    UploadNotFound { repository: String, account: String, id: String },
    #[error("The layer part of upload '{id}' must begin at byte {next}")]
    InvalidLayerPart { id: String, next: u64 },
    #[error("The upload with id '{0}' holds no bytes")]
    EmptyUpload(String),
    #[error("The layers' digest is '{got}', not '{promised}'")]
    InvalidLayer { promised: String, got: String },
    #[error("Rate exceeded: {0}")]
    Throttling(String),
    #[error(
        "The repository creation template with prefix '{prefix}' does not exist in the registry with id '{account}'"
    )]
    TemplateNotFound { prefix: String, account: String },
    #[error(
        "The repository creation template with prefix '{prefix}' already exists in the registry with id '{account}'"
    )]
    TemplateAlreadyExists { prefix: String, account: String },
    #[error("{0}")]
    LimitExceeded(String),
    #[error("{0}")]
    Upstream(PullError),
    #[error("A pull through cache rule with the prefix '{prefix}' already exists in the registry with id '{account}'")]
    RuleAlreadyExists { prefix: String, account: String },
    #[error(
        "The pull through cache rule with the prefix '{prefix}' does not exist in the registry with id '{account}'"
    )]
    RuleNotFound { prefix: String, account: String },
    #[error("{0}")]
    UnsupportedUpstream(String),
    #[error(
        "The ARN of the secret specified in the pull through cache rule was not found. Update the secret ARN and try again."
    )]
    SecretNotFound,
    #[error(
        "The secret specified in the pull through cache rule cannot be accessed: it must be in the account and region of the registry."
    )]
    SecretForeign,
    #[error(
        "Image scan does not exist for the image with '{{imageDigest:'{}', imageTag:'{}'}}' in the repository with name \
         '{repository}' in the registry with id '{account}'",
        shown(.digest), shown(.tag)
    )]
    ScanNotFound { repository: String, account: String, digest: Option<String>, tag: Option<String> },
    #[error("The scan quota per image has been exceeded. Wait and try again.")]
    ScanLimit,
    #[error("This feature is disabled")]
    FeatureDisabled,
    #[error(
        "An artifact with media type '{0}' cannot be scanned. For more information, see the Amazon ECR documentation."
    )]
    UnsupportedImageType(String),
    #[error(
        "Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: 'Lifecycle policy validation failure: \
         {0}'"
    )]
    InvalidLifecyclePolicy(String),
    #[error(
        "Lifecycle policy does not exist for the repository with name '{repository}' in the registry with id '{account}'"
    )]
    LifecyclePolicyNotFound { repository: String, account: String },
    #[error(
        "Lifecycle policy preview does not exist for the repository with name '{repository}' in the registry with id \
         '{account}'"
    )]
    PreviewNotFound { repository: String, account: String },
    #[error(
        "Repository policy does not exist for the repository with name '{repository}' in the registry with id '{account}'"
    )]
    RepositoryPolicyNotFound { repository: String, account: String },
    #[error("Registry policy does not exist in the registry with id '{0}'")]
    RegistryPolicyNotFound(String),
    #[error("Signing configuration does not exist in the registry with id '{0}'")]
    SigningConfigurationNotFound(String),
    #[error("The pull time update exclusion for principal '{0}' already exists")]
    ExclusionAlreadyExists(String),
    #[error("The pull time update exclusion for principal '{0}' does not exist")]
    ExclusionNotFound(String),
    #[error("A registry can have at most {0} pull time update exclusions")]
    TooManyExclusions(usize),
    #[error("{0}")]
    AccessDenied(RegistryError),
    #[error("{0}")]
    ImageArchived(RegistryError),
    #[error("{}", broken(.0))]
    Server(#[source] RegistryError),
}

impl From<StoreError> for EcrError {
    fn from(error: StoreError) -> Self {
        Self::Server(RegistryError::Store(error))
    }
}

impl ApiError for EcrError {
    fn code(&self) -> &str {
        match self {
            Self::RepositoryNotFound { .. } => "RepositoryNotFoundException",
            Self::RepositoryAlreadyExists { .. } => "RepositoryAlreadyExistsException",
            Self::RepositoryNotEmpty { .. } => "RepositoryNotEmptyException",
            Self::ImageNotFound { .. } => "ImageNotFoundException",
            Self::InvalidParameter(_) | Self::InvalidLifecyclePolicy(_) => "InvalidParameterException",
            Self::LifecyclePolicyNotFound { .. } => "LifecyclePolicyNotFoundException",
            Self::PreviewNotFound { .. } => "LifecyclePolicyPreviewNotFoundException",
            Self::RepositoryPolicyNotFound { .. } => "RepositoryPolicyNotFoundException",
            Self::RegistryPolicyNotFound(_) => "RegistryPolicyNotFoundException",
            Self::SigningConfigurationNotFound(_) => "SigningConfigurationNotFoundException",
            Self::ExclusionAlreadyExists(_) => "ExclusionAlreadyExistsException",
            Self::ExclusionNotFound(_) => "ExclusionNotFoundException",
            Self::TooManyExclusions(_) => "LimitExceededException",
            Self::AccessDenied(_) => "AccessDeniedException",
            Self::ImageArchived(_) => "ImageArchivedException",
            Self::InvalidTag(_) => "InvalidTagParameterException",
            Self::TooManyTags => "TooManyTagsException",
            Self::ImageAlreadyExists { .. } => "ImageAlreadyExistsException",
            Self::ImageTagAlreadyExists { .. } => "ImageTagAlreadyExistsException",
            Self::ImageDigestDoesNotMatch { .. } => "ImageDigestDoesNotMatchException",
            Self::LayersNotFound { .. } => "LayersNotFoundException",
            Self::LayerInaccessible { .. } => "LayersNotFoundException",
            Self::LayerAlreadyExists { .. } => "LayerAlreadyExistsException",
            Self::UploadNotFound { .. } => "UploadNotFoundException",
            Self::InvalidLayerPart { .. } => "InvalidLayerPartException",
            Self::EmptyUpload(_) => "EmptyUploadException",
            Self::InvalidLayer { .. } => "InvalidLayerException",
            Self::Throttling(_) => "ThrottlingException",
            Self::TemplateNotFound { .. } => "TemplateNotFoundException",
            Self::TemplateAlreadyExists { .. } => "TemplateAlreadyExistsException",
            Self::Upstream(_) => "UnableToGetUpstreamImageException",
            Self::RuleAlreadyExists { .. } => "PullThroughCacheRuleAlreadyExistsException",
            Self::RuleNotFound { .. } => "PullThroughCacheRuleNotFoundException",
            Self::UnsupportedUpstream(_) => "UnsupportedUpstreamRegistryException",
            Self::SecretNotFound => "SecretNotFoundException",
            Self::SecretForeign => "UnableToAccessSecretException",
            Self::LimitExceeded(_) => "LimitExceededException",
            Self::ScanNotFound { .. } => "ScanNotFoundException",
            Self::ScanLimit => "LimitExceededException",
            Self::FeatureDisabled => "ValidationException",
            Self::UnsupportedImageType(_) => "UnsupportedImageTypeException",
            Self::Server(_) => "ServerException",
        }
    }

    fn status(&self) -> u16 {
        if matches!(self, Self::Server(_)) { 500 } else { 400 }
    }
}

/// A refusal of the registry about one repository of one tenant.
pub(super) fn of(tenant: &Tenant, repository: &str) -> impl Fn(RegistryError) -> EcrError {
    use RegistryError as R;
    let (account, repository) = (tenant.account.clone(), repository.to_owned());
    move |error| {
        let (account, repository) = (account.clone(), repository.clone());
        match error {
            R::RepositoryUnknown { name, account } => EcrError::RepositoryNotFound { name, account },
            R::RepositoryExists { name, account } => EcrError::RepositoryAlreadyExists { name, account },
            R::RepositoryNotEmpty { name, account } => EcrError::RepositoryNotEmpty { name, account },
            R::NameInvalid(name) => EcrError::InvalidParameter(format!(
                "Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must satisfy regular expression \
                 '(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*'': {name}"
            )),
            R::ManifestUnknown { reference, .. } => {
                let (digest, tag) =
                    if reference.contains(':') { (Some(reference), None) } else { (None, Some(reference)) };
                EcrError::ImageNotFound { repository, account, digest, tag }
            }
            R::TagImmutable { repository, tag, .. } => EcrError::ImageTagAlreadyExists { repository, tag },
            R::ImageExists { repository, reference } => {
                EcrError::ImageAlreadyExists { repository, account, digest: reference, tag: String::new() }
            }
            R::ManifestBlobUnknown(missing) => {
                EcrError::LayersNotFound { repository, account, digests: missing.join(", ") }
            }
            R::BlobUnknown(digest) => EcrError::LayerInaccessible { repository, account, digest },
            R::UploadUnknown(id) => EcrError::UploadNotFound { repository, account, id },
            R::UploadOutOfOrder { id, offset } => EcrError::InvalidLayerPart { id, next: offset },
            R::DigestMismatch { promised, got } => EcrError::InvalidLayer { promised, got },
            denied @ R::Denied { .. } => EcrError::AccessDenied(denied),
            archived @ R::ImageArchived { .. } => EcrError::ImageArchived(archived),
            refused @ R::TagInvalid(_) => parameter("imageTag", &refused),
            refused @ R::DigestInvalid(_) => parameter("imageDigest", &refused),
            refused @ (R::ManifestInvalid(_) | R::ManifestTooLarge { .. }) => parameter("imageManifest", &refused),
            refused @ (R::BlobInUse { .. }
            | R::ManifestInUse { .. }
            | R::NotAsExpected { .. }
            | R::UploadBusy(_)
            | R::BodyCut
            | R::SizeInvalid { .. }) => EcrError::InvalidParameter(format!("Invalid parameter: {refused}")),
            full @ R::RepositoryFull { .. } => EcrError::LimitExceeded(full.to_string()),
            many @ R::TooManyUploads { .. } => EcrError::Throttling(many.to_string()),
            R::Upstream(cause) => EcrError::Upstream(cause),
            broken @ (R::DiskFull | R::StoreFull { .. } | R::Io { .. } | R::Store(_)) => EcrError::Server(broken),
        }
    }
}

/// In the form that ECR has for a member that is not as it should be.
fn parameter(member: &str, why: &RegistryError) -> EcrError {
    EcrError::InvalidParameter(format!("Invalid parameter at '{member}' failed to satisfy constraint: '{why}'"))
}

fn broken(error: &RegistryError) -> String {
    match error {
        RegistryError::Store(error) => crate::aws::fault::of_store(error),
        full @ (RegistryError::DiskFull | RegistryError::StoreFull { .. }) => full.to_string(),
        _ => "the registry could not keep or read its data; the server's log says more".to_owned(),
    }
}

fn shown(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or("null")
}
