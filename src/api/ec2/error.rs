//! EC2's error codes, with AWS's texts.

use std::ops::RangeInclusive;

use cove_store::StoreError;

use crate::ApiError;
use crate::aws::fault::of_store;

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ec2Error {
    #[error("The {what} '{id}' does not exist")]
    NotFound { code: &'static str, what: &'static str, id: String },
    #[error("The instance {}", absent(.0))]
    Instances(Vec<String>),
    #[error("Invalid id: \"{0}\"")]
    Malformed(String),
    #[error("The following supplied instance types do not exist: [{}]", .0.join(", "))]
    Types(Vec<String>),
    #[error("Invalid availability zone: [{0}]")]
    Zone(String),
    #[error("The filter '{0}' is invalid")]
    Filter(String),
    #[error("The parameter {0} cannot be used with the parameter maxResults")]
    Combination(&'static str),
    #[error(
        "Value ( {value} ) for parameter maxResults is invalid. Expecting a value between {} and {}.",
        limits.start(), limits.end()
    )]
    MaxResults { value: i64, limits: RangeInclusive<i64> },
    #[error("Unable to parse pagination token")]
    Token,
    #[error("Request would have succeeded, but DryRun flag is set.")]
    DryRun,
    #[error("The request must contain the parameter {0}")]
    Missing(&'static str),
    #[error("The instance '{0}' is another host, whose own agent runs its tasks: Cove cannot terminate it.")]
    Elsewhere(String),
    #[error("{}", of_store(.0))]
    Store(#[from] StoreError),
}

fn absent(ids: &[String]) -> String {
    match ids {
        [id] => format!("ID '{id}' does not exist"),
        ids => format!("IDs '{}' do not exist", ids.join(", ")),
    }
}

impl ApiError for Ec2Error {
    fn code(&self) -> &str {
        match self {
            Self::NotFound { code, .. } => code,
            Self::Instances(_) => "InvalidInstanceID.NotFound",
            Self::Malformed(_) => "InvalidInstanceID.Malformed",
            Self::Types(_) => "InvalidInstanceType",
            Self::Missing(_) => "MissingParameter",
            Self::Elsewhere(_) => "UnsupportedOperation",
            Self::Store(_) => "ServiceUnavailable",
            Self::Zone(_) | Self::Filter(_) | Self::MaxResults { .. } => "InvalidParameterValue",
            Self::Combination(_) => "InvalidParameterCombination",
            Self::Token => "InvalidNextToken",
            Self::DryRun => "DryRunOperation",
        }
    }

    fn status(&self) -> u16 {
        match self {
            Self::DryRun => 412,
            Self::Store(_) => 503,
            Self::NotFound { .. }
            | Self::Instances(_)
            | Self::Malformed(_)
            | Self::Types(_)
            | Self::Zone(_)
            | Self::Filter(_)
            | Self::Combination(_)
            | Self::MaxResults { .. }
            | Self::Token
            | Self::Missing(_)
            | Self::Elsewhere(_) => 400,
        }
    }
}
