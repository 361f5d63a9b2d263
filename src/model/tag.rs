//! Tags, on every resource that AWS lets one tag.

use serde::{Deserialize, Serialize};

/// Key and value; the API refuses an empty key. AWS's limits (50 per resource, key ≤ 128, value ≤ 256, no `aws:` prefix) are checked by the API.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tag {
    #[serde(default)]
    pub key: String,
    #[serde(default)]
    pub value: String,
}
