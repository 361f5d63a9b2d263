//! EventBridge's error codes, with AWS's texts where they are known.

use cove_events::input::BadInput;
use cove_events::pattern::BadPattern;
use cove_events::schedule::BadSchedule;
use cove_events::target::BadTarget;
use cove_store::StoreError;

use crate::ApiError;
use crate::aws::listing::BadToken;

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EventsError {
    #[error("{0}")]
    Validation(String),
    #[error(transparent)]
    Pattern(#[from] BadPattern),
    #[error("{0}")]
    NotFound(String),
    #[error("Event bus {0} already exists.")]
    BusExists(String),
    #[error("{0}")]
    LimitExceeded(String),
    #[error("{}", crate::aws::fault::of_store(.0))]
    Store(#[from] StoreError),
}

impl EventsError {
    pub(super) fn validation(text: impl Into<String>) -> Self {
        Self::Validation(text.into())
    }

    pub(super) fn no_rule(name: &str, bus: &str) -> Self {
        Self::NotFound(format!("Rule {name} does not exist on EventBus {bus}."))
    }

    pub(super) fn no_bus(name: &str) -> Self {
        Self::NotFound(format!("Event bus {name} does not exist."))
    }
}

impl From<BadSchedule> for EventsError {
    fn from(error: BadSchedule) -> Self {
        Self::validation(error.to_string())
    }
}

impl From<BadInput> for EventsError {
    fn from(error: BadInput) -> Self {
        Self::validation(error.to_string())
    }
}

impl From<BadTarget> for EventsError {
    fn from(error: BadTarget) -> Self {
        Self::validation(error.to_string())
    }
}

impl From<BadToken> for EventsError {
    fn from(_: BadToken) -> Self {
        Self::validation("Parameter NextToken is not valid.")
    }
}

impl ApiError for EventsError {
    fn code(&self) -> &str {
        match self {
            Self::Validation(_) => "ValidationException",
            Self::Pattern(_) => "InvalidEventPatternException",
            Self::NotFound(_) => "ResourceNotFoundException",
            Self::BusExists(_) => "ResourceAlreadyExistsException",
            Self::LimitExceeded(_) => "LimitExceededException",
            Self::Store(_) => "InternalException",
        }
    }

    fn status(&self) -> u16 {
        if matches!(self, Self::Store(_)) { 500 } else { 400 }
    }
}
