//! Secrets Manager's error codes, with AWS's texts.

use cove_store::StoreError;

use crate::ApiError;

/// Why a request was refused. No variant holds a value.
#[derive(Debug, thiserror::Error)]
pub(super) enum SecretsError {
    #[error("Secrets Manager can't find the specified secret.")]
    NotFound,
    #[error("Secrets Manager can't find the specified secret value for {what}: {which}")]
    NoVersion { what: &'static str, which: String },
    #[error("The operation failed because the secret {0} already exists.")]
    Exists(String),
    #[error(
        "You can't use ClientRequestToken {token} because that value is already in use for a version of secret {arn}."
    )]
    TokenInUse { token: String, arn: String },
    #[error("{0}")]
    InvalidRequest(&'static str),
    #[error("{0}")]
    InvalidParameter(&'static str),
    #[error("{0}")]
    LimitExceeded(&'static str),
    /// Of a staging label.
    #[error("{0}")]
    Stage(String),
    #[error("This resource policy contains a syntax error.")]
    MalformedPolicy,
    #[error("This resource policy grants broad access: it allows something to everybody.")]
    PublicPolicy,
    #[error("Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!")]
    InvalidName,
    #[error("The nextToken is invalid.")]
    InvalidNextToken,
    #[error("The value was sealed with another key than this node's; restore its keys from a backup.")]
    Sealed,
    #[error("{}", crate::aws::fault::of_store(.0))]
    Store(#[from] StoreError),
}

/// Of a secret that was deleted.
pub(super) const MARKED: SecretsError =
    SecretsError::InvalidRequest("You can't perform this operation on the secret because it was marked for deletion.");

impl ApiError for SecretsError {
    fn code(&self) -> &str {
        match self {
            Self::NotFound | Self::NoVersion { .. } => "ResourceNotFoundException",
            Self::Exists(_) | Self::TokenInUse { .. } => "ResourceExistsException",
            Self::InvalidRequest(_) => "InvalidRequestException",
            Self::InvalidParameter(_) | Self::Stage(_) => "InvalidParameterException",
            Self::MalformedPolicy => "MalformedPolicyDocumentException",
            Self::PublicPolicy => "PublicPolicyException",
            Self::LimitExceeded(_) => "LimitExceededException",
            Self::InvalidName => "ValidationException",
            Self::InvalidNextToken => "InvalidNextTokenException",
            Self::Sealed => "DecryptionFailure",
            Self::Store(_) => "InternalServiceError",
        }
    }

    fn status(&self) -> u16 {
        if matches!(self, Self::Store(_)) { 500 } else { 400 }
    }
}
