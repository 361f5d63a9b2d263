//! Errors as clients see them, before a protocol has written them down.

use std::borrow::Cow;
use std::error::Error;

use cove_store::StoreError;
use serde_json::{Map, Value};

/// A service's own error enum.
pub trait ApiError: Error {
    /// As in `ClusterNotFoundException`.
    fn code(&self) -> &str;
    /// 400 for nearly everything; 5xx makes clients retry.
    fn status(&self) -> u16;
    /// What the client reads.
    fn message(&self) -> String {
        self.to_string()
    }
    /// The code that clients of the older query protocol know, where it is another one.
    fn query_code(&self) -> Option<&'static str> {
        None
    }
    /// Further members of the error's shape, such as ConflictException's `resourceIds`.
    fn details(&self) -> Map<String, Value> {
        Map::new()
    }
}

/// What a client reads when the store did not take a change. Services answer it with a 5xx, which SDKs retry: that is
/// right here, because the store writes again as soon as its disk does.
pub(crate) fn of_store(error: &StoreError) -> String {
    match error {
        StoreError::ReadOnly(reason) => format!(
            "The data directory of this server cannot be written ({reason}). Nothing was changed and running tasks go \
             on. Make room or mend the disk; the server notices by itself."
        ),
        StoreError::Locked(_)
        | StoreError::NetworkFileSystem { .. }
        | StoreError::File { .. }
        | StoreError::Database { .. }
        | StoreError::Damaged { .. }
        | StoreError::RestoreUnfinished(_)
        | StoreError::Lost(_)
        | StoreError::Decode { .. }
        | StoreError::NewerSchema { .. }
        | StoreError::Migrate { .. }
        | StoreError::Thread(_)
        | StoreError::Panicked(_)
        | StoreError::Closed => "The request could not be carried out because the store failed.".to_owned(),
    }
}

/// An error of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    pub code: Cow<'static, str>,
    pub status: u16,
    pub message: String,
    pub details: Map<String, Value>,
    pub query_code: Option<&'static str>,
}

impl Fault {
    /// The usual 400.
    pub fn client(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }

    /// Any status.
    pub fn new(status: u16, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code: code.into(), status, message: message.into(), details: Map::new(), query_code: None }
    }

    /// What is left to say when something of ours broke; the log has the rest under the request's id.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(
            500,
            "InternalFailure",
            "The request processing has failed because of an unknown error; the server's log says more.",
        )
    }

    /// The code as the query protocol has it.
    pub(crate) fn old_code(&self) -> &str {
        self.query_code.unwrap_or(&self.code)
    }

    /// Who is to blame, as the query protocol says it.
    pub(crate) const fn blamed(&self) -> &'static str {
        if self.status >= 500 { "Receiver" } else { "Sender" }
    }

    pub(crate) fn of(error: &(impl ApiError + 'static)) -> Self {
        if error.status() >= 500 {
            tracing::error!(code = error.code(), "{}", cove_base::error::chain(error));
        }
        Self {
            code: error.code().to_owned().into(),
            status: error.status(),
            message: error.message(),
            details: error.details(),
            query_code: error.query_code(),
        }
    }
}
