//! CloudWatch log groups and streams. The events themselves are files that shims write.

use cove_base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::arn::Tenant;
use crate::tag::Tag;

/// A log group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogGroup {
    pub tenant: Tenant,
    pub name: String,
    pub created_at: Timestamp,
    /// `None` keeps events for ever, as far as the node's cap allows.
    pub retention_days: Option<u32>,
    pub tags: Vec<Tag>,
    /// `STANDARD`, `INFREQUENT_ACCESS` or `DELIVERY`.
    pub class: String,
}

/// A log stream and the directory of its segments, relative to the data directory's `logs/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStream {
    pub tenant: Tenant,
    pub group: String,
    pub name: String,
    pub created_at: Timestamp,
    /// 32 hex digits: the directory below `logs/` that holds the segments.
    pub directory: String,
}
