//! IAM roles, as far as tasks need them.

use cove_base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::tag::Tag;

/// A role of an account (IAM has no regions).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    pub account: String,
    pub name: String,
    /// Begins and ends with `/`.
    pub path: String,
    /// As in `AROA` + 17 characters.
    pub id: String,
    /// The trust policy, JSON text as the client gave it.
    pub assume_role_policy_document: String,
    pub description: Option<String>,
    pub max_session_duration_secs: u32,
    pub tags: Vec<Tag>,
    pub created_at: Timestamp,
}

impl Role {
    /// The role's ARN.
    #[must_use]
    pub fn arn(&self) -> String {
        format!("arn:aws:iam::{}:role{}{}", self.account, self.path, self.name)
    }
}
