//! Signature Version 4: reads what a request says about its signature, and checks it.
//!
//! In: a request's head and body. Out: whose key signed it, for which region and service.
//!
//! Holds: the comparison takes constant time; the derived keys kept are bounded in number and only of known key ids;
//! a body is always covered by the signature, so `UNSIGNED-PAYLOAD` is refused.

mod canonical;
mod claim;
mod verify;

pub(crate) use claim::{Claim, read};
pub(crate) use verify::{SigningKeys, verify};

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("Missing Authentication Token")]
    Missing,
    #[error("{0}")]
    Incomplete(String),
    #[error("The security token included in the request is invalid.")]
    UnknownKey,
    #[error("The security token included in the request is expired")]
    Expired,
    /// Too early, too late, for something else.
    #[error("{0}")]
    Invalid(String),
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
    )]
    Mismatch,
}

impl Refused {
    /// The code in JSON protocols.
    pub(crate) const fn json_code(&self) -> &'static str {
        match self {
            Self::Missing => "MissingAuthenticationTokenException",
            Self::Incomplete(_) => "IncompleteSignatureException",
            Self::UnknownKey => "UnrecognizedClientException",
            Self::Expired => "ExpiredTokenException",
            Self::Invalid(_) | Self::Mismatch => "InvalidSignatureException",
        }
    }

    /// Code and status in the query protocol.
    pub(crate) const fn query_code(&self) -> (&'static str, u16) {
        match self {
            Self::Missing => ("MissingAuthenticationToken", 403),
            Self::Incomplete(_) => ("IncompleteSignature", 400),
            Self::UnknownKey => ("InvalidClientTokenId", 403),
            Self::Expired => ("ExpiredToken", 403),
            Self::Invalid(_) | Self::Mismatch => ("SignatureDoesNotMatch", 403),
        }
    }
}
