//! Request and reply structs of ECS, exactly as clients see them.
//!
//! Members that this version refuses are here too, so that they can be named. Stored structs appear only where they are
//! the client's own document (task definitions, overrides, tags).

mod agent;
mod capacity_provider;
mod cluster;
mod daemon;
mod definition;
mod express;
mod instance;
mod launch;
mod service;
mod setting;
mod tag;
mod task;
mod task_set;

pub(super) use agent::*;
pub(super) use capacity_provider::*;
pub(super) use cluster::*;
pub(super) use daemon::*;
pub(super) use definition::*;
pub(super) use express::*;
pub(super) use instance::*;
pub(super) use launch::*;
pub(super) use service::*;
pub(super) use setting::*;
pub(super) use tag::*;
pub(super) use task::*;
pub(super) use task_set::*;

use serde::{Deserialize, Serialize};

/// ECS shape `Failure`: something of the request that was not found or could not be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Failure {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) arn: Option<String>,
    pub(crate) reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
}

impl Failure {
    /// Nothing of that name.
    pub(crate) fn missing(arn: String) -> Self {
        Self { arn: Some(arn), reason: "MISSING".to_owned(), detail: None }
    }

    /// A container instance that is gone.
    pub(crate) fn inactive(arn: String) -> Self {
        Self { arn: Some(arn), reason: "INACTIVE".to_owned(), detail: None }
    }

    /// A container instance that is being taken away.
    pub(crate) fn draining(arn: String) -> Self {
        Self { arn: Some(arn), reason: "DRAINING".to_owned(), detail: None }
    }
}

/// ECS shape `KeyValuePair` on the way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Pair {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl Pair {
    pub(crate) fn new(name: &str, value: impl Into<String>) -> Self {
        Self { name: name.to_owned(), value: value.into() }
    }
}

/// A reply without members.
#[derive(Debug, Serialize)]
pub(crate) struct Nothing {}

/// Where a listing goes on, and how long its page is. Part of every List* request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PageIn {
    pub(crate) next_token: Option<String>,
    pub(crate) max_results: Option<i64>,
}
