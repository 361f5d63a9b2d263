//! Why a pull failed, in the words that Docker and ECS users know: the text becomes a task's stop reason.

/// A failed pull. Clonable, because several tasks may wait for the same download.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PullError {
    #[error("failed to resolve reference \"{reference}\": {reference}: not found")]
    NotFound { reference: String },
    #[error(
        "Error response from daemon: pull access denied for {repository}, repository does not exist or may require \
         'docker login': denied: requested access to the resource is denied"
    )]
    Denied { repository: String },
    #[error("Error response from daemon: manifest for {reference} not found: manifest unknown: manifest unknown")]
    ManifestUnknown { reference: String },
    #[error("Error response from daemon: no matching manifest for linux/{arch} in the manifest list entries")]
    NoPlatform { arch: &'static str },
    #[error("Error response from daemon: toomanyrequests: {host} refuses more pulls for now")]
    RateLimited { host: String },
    #[error("Error response from daemon: Get \"{url}\": {cause}")]
    Unreachable { url: String, cause: String },
    #[error("Error response from daemon: Get \"{url}\": received unexpected HTTP status: {status}")]
    Status { url: String, status: u16 },
    #[error("Error response from daemon: image {reference} is damaged: {cause}")]
    Invalid { reference: String, cause: String },
    #[error("image {reference} may not run here: {why}")]
    NotAdmitted { reference: String, why: String },
    #[error("filesystem layer verification failed for digest {digest}")]
    DigestMismatch { digest: String },
    #[error("failed to register layer: write: no space left on device")]
    DiskFull,
    #[error(
        "failed to register layer: the image store is full: its blobs may take {max_mib} MiB (image_store_max_mib)"
    )]
    StoreFull { max_mib: u64 },
    #[error("the credentials of the pull through cache rule cannot be used: {cause}")]
    Credentials { cause: &'static str },
    #[error("failed to keep the image: {cause}")]
    Keep { cause: String },
    /// Whoever asked named an image of this registry: they read whose it is and which rule says so.
    #[error("{cause} (pull through cache rule '{prefix}', from {upstream})")]
    Through { prefix: String, upstream: String, cause: Box<PullError> },
}

impl PullError {
    /// What failed, whoever's rule asked for it.
    #[must_use]
    pub fn root(&self) -> &Self {
        match self {
            Self::Through { cause, .. } => cause.root(),
            own => own,
        }
    }

    /// Whether the registry could not be asked at all, so that a copy from before may stand in.
    pub(crate) const fn is_unreachable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::RateLimited { .. } => true,
            Self::Status { status, .. } => *status >= 500,
            Self::Through { cause, .. } => cause.is_unreachable(),
            Self::NotFound { .. }
            | Self::Denied { .. }
            | Self::ManifestUnknown { .. }
            | Self::NoPlatform { .. }
            | Self::Invalid { .. }
            | Self::NotAdmitted { .. }
            | Self::DigestMismatch { .. }
            | Self::DiskFull
            | Self::StoreFull { .. }
            | Self::Credentials { .. }
            | Self::Keep { .. } => false,
        }
    }

    /// Failure to write what was fetched.
    pub(crate) fn keep(error: &(dyn std::error::Error + 'static)) -> Self {
        let io = error.downcast_ref::<std::io::Error>();
        if let Some(full) = io.and_then(crate::error::store_full) {
            return Self::StoreFull { max_mib: full.max_mib };
        }
        let full = io
            .is_some_and(|io| matches!(io.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded));
        if full { Self::DiskFull } else { Self::Keep { cause: cove_base::error::chain(error) } }
    }
}
