//! CloudWatch's errors: names as in the model, and the older codes that query clients know.

use cove_store::StoreError;

use crate::ApiError;
use crate::aws::listing::BadToken;

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MonitoringError {
    #[error("{0}")]
    Validation(String),
    #[error("{0}")]
    InvalidValue(String),
    #[error("{0}")]
    InvalidCombination(String),
    #[error("The parameter {0} is required.")]
    Missing(&'static str),
    #[error("{0}")]
    InvalidFormat(String),
    #[error("Invalid token")]
    InvalidToken,
    #[error("{0}")]
    LimitExceeded(String),
    #[error("Unknown alarm: {0}")]
    NoAlarm(String),
    #[error("The resource {0} does not exist.")]
    NoResource(String),
    #[error("{}", crate::aws::fault::of_store(.0))]
    Store(#[from] StoreError),
}

impl From<BadToken> for MonitoringError {
    fn from(_: BadToken) -> Self {
        Self::InvalidToken
    }
}

impl MonitoringError {
    pub(super) fn value(text: impl Into<String>) -> Self {
        Self::InvalidValue(text.into())
    }

    pub(super) fn validation(text: impl Into<String>) -> Self {
        Self::Validation(text.into())
    }

    /// What AWS does and this version does not.
    pub(super) fn not_there(what: &str) -> Self {
        Self::InvalidValue(format!("{what} is not carried out by this version of Cove."))
    }

    /// Name in the model, older code.
    const fn names(&self) -> (&'static str, &'static str) {
        match self {
            Self::Validation(_) => ("ValidationError", "ValidationError"),
            Self::InvalidValue(_) => ("InvalidParameterValueException", "InvalidParameterValue"),
            Self::InvalidCombination(_) => ("InvalidParameterCombinationException", "InvalidParameterCombination"),
            Self::Missing(_) => ("MissingRequiredParameterException", "MissingParameter"),
            Self::InvalidFormat(_) => ("InvalidFormatFault", "InvalidFormat"),
            Self::InvalidToken => ("InvalidNextToken", "InvalidNextToken"),
            Self::LimitExceeded(_) => ("LimitExceededFault", "LimitExceeded"),
            Self::NoAlarm(_) => ("ResourceNotFound", "ResourceNotFound"),
            Self::NoResource(_) => ("ResourceNotFoundException", "ResourceNotFoundException"),
            Self::Store(_) => ("InternalServiceFault", "InternalServiceError"),
        }
    }
}

impl ApiError for MonitoringError {
    fn code(&self) -> &str {
        self.names().0
    }

    fn status(&self) -> u16 {
        match self {
            Self::Store(_) => 500,
            Self::NoAlarm(_) | Self::NoResource(_) => 404,
            Self::Validation(_)
            | Self::InvalidValue(_)
            | Self::InvalidCombination(_)
            | Self::Missing(_)
            | Self::InvalidFormat(_)
            | Self::InvalidToken
            | Self::LimitExceeded(_) => 400,
        }
    }

    fn query_code(&self) -> Option<&'static str> {
        Some(self.names().1)
    }
}
