//! EC2's error codes, with AWS's texts.

use crate::ApiError;

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ec2Error {
    #[error("The {what} '{id}' does not exist")]
    NotFound { code: &'static str, what: &'static str, id: String },
    #[error("Invalid availability zone: [{0}]")]
    Zone(String),
    #[error("The filter '{0}' is invalid")]
    Filter(String),
    #[error("The parameter {0} cannot be used with the parameter MaxResults")]
    Combination(&'static str),
    #[error("Value ( {0} ) for parameter maxResults is invalid. Expecting a value between 5 and 1000.")]
    MaxResults(i64),
    #[error("Unable to parse pagination token")]
    Token,
    #[error("Request would have succeeded, but DryRun flag is set.")]
    DryRun,
}

impl ApiError for Ec2Error {
    fn code(&self) -> &str {
        match self {
            Self::NotFound { code, .. } => code,
            Self::Zone(_) | Self::Filter(_) | Self::MaxResults(_) => "InvalidParameterValue",
            Self::Combination(_) => "InvalidParameterCombination",
            Self::Token => "InvalidNextToken",
            Self::DryRun => "DryRunOperation",
        }
    }

    fn status(&self) -> u16 {
        if matches!(self, Self::DryRun) { 412 } else { 400 }
    }
}
