//! IAM's error codes, as the query protocol writes them.

use cove_store::StoreError;

use crate::ApiError;

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum IamError {
    #[error("Role with name {0} already exists.")]
    EntityAlreadyExists(String),
    #[error("The role with name {0} cannot be found.")]
    NoSuchEntity(String),
    #[error("{0}")]
    MalformedPolicyDocument(&'static str),
    #[error("{0}")]
    InvalidInput(&'static str),
    #[error("{}", crate::aws::fault::of_store(.0))]
    Store(#[from] StoreError),
}

impl ApiError for IamError {
    fn code(&self) -> &str {
        match self {
            Self::EntityAlreadyExists(_) => "EntityAlreadyExists",
            Self::NoSuchEntity(_) => "NoSuchEntity",
            Self::MalformedPolicyDocument(_) => "MalformedPolicyDocument",
            Self::InvalidInput(_) => "InvalidInput",
            Self::Store(_) => "ServiceFailure",
        }
    }

    fn status(&self) -> u16 {
        match self {
            Self::EntityAlreadyExists(_) => 409,
            Self::NoSuchEntity(_) => 404,
            Self::MalformedPolicyDocument(_) | Self::InvalidInput(_) => 400,
            Self::Store(_) => 500,
        }
    }
}
