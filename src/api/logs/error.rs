//! CloudWatch Logs' error codes, with AWS's texts where they are known.

use cove_logs::LogError;
use cove_store::StoreError;

use crate::ApiError;

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogsError {
    #[error("The specified log group does not exist.")]
    NoGroup,
    #[error("The specified log stream does not exist.")]
    NoStream,
    #[error("The specified resource does not exist.")]
    NoResource,
    #[error("The specified log group already exists")]
    GroupExists,
    #[error("The specified log stream already exists")]
    StreamExists,
    #[error("{0}")]
    InvalidParameter(String),
    #[error("The specified nextToken is invalid.")]
    BadToken,
    #[error("{0}")]
    TooManyTags(String),
    #[error("{}", crate::aws::fault::of_store(.0))]
    Store(#[from] StoreError),
    #[error("The log stream's files could not be used.")]
    Files(#[source] LogError),
    #[error("The work was given up.")]
    Panicked,
}

impl LogsError {
    pub(super) fn parameter(text: impl Into<String>) -> Self {
        Self::InvalidParameter(text.into())
    }
}

impl From<LogError> for LogsError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::BadPosition { .. } => Self::BadToken,
            LogError::File { .. } | LogError::Pattern { .. } => Self::Files(error),
        }
    }
}

impl ApiError for LogsError {
    fn code(&self) -> &str {
        match self {
            Self::NoGroup | Self::NoStream | Self::NoResource => "ResourceNotFoundException",
            Self::GroupExists | Self::StreamExists => "ResourceAlreadyExistsException",
            Self::InvalidParameter(_) | Self::BadToken => "InvalidParameterException",
            Self::TooManyTags(_) => "TooManyTagsException",
            Self::Store(_) | Self::Files(_) | Self::Panicked => "ServiceUnavailableException",
        }
    }

    fn status(&self) -> u16 {
        if matches!(self, Self::Store(_) | Self::Files(_) | Self::Panicked) { 500 } else { 400 }
    }
}
