//! The error codes of Auto Scaling, with AWS's texts.

use crate::ApiError;

/// Why a request was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ScalingError {
    #[error("The number of group names that may be passed in is limited to {0}")]
    Names(usize),
    #[error(
        "1 validation error detected: Value '{value}' at 'maxRecords' failed to satisfy constraint: Member must have value \
         {} than or equal to {limit}",
        if value > limit { "less" } else { "greater" }
    )]
    MaxRecords { value: i64, limit: i64 },
    #[error("Filter type {0} is not correct. Allowed Filter types are: tag-key tag-value tag:<key>")]
    Filter(String),
    #[error("The NextToken value is not valid.")]
    Token,
}

impl ApiError for ScalingError {
    fn code(&self) -> &str {
        match self {
            Self::Names(_) | Self::MaxRecords { .. } | Self::Filter(_) => "ValidationError",
            Self::Token => "InvalidNextToken",
        }
    }

    fn status(&self) -> u16 {
        400
    }
}
