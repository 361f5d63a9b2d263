//! What a registry was told about repositories that it makes by itself, and about other registries that its content
//! comes from and goes to.

use cove_base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::arn::Tenant;
use crate::tag::Tag;

/// The prefix that stands for every name.
pub const ROOT: &str = "ROOT";

/// What is left of a name below a prefix, which ends before a `/` whether it is written or not. `ROOT` is above all.
#[must_use]
pub fn below<'a>(prefix: &str, name: &'a str) -> Option<&'a str> {
    if prefix == ROOT {
        return Some(name);
    }
    let rest = name.strip_prefix(prefix.trim_end_matches('/'))?.strip_prefix('/')?;
    (!rest.is_empty()).then_some(rest)
}

/// How exact a prefix is: of those that fit, the one with the most counts.
#[must_use]
pub fn exactness(prefix: &str) -> usize {
    if prefix == ROOT { 0 } else { prefix.trim_end_matches('/').len() }
}

/// Why a repository is made without CreateRepository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MadeFor {
    PullThroughCache,
    Replication,
    CreateOnPush,
}

/// How repositories below a prefix look that are made without CreateRepository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreationTemplate {
    pub tenant: Tenant,
    /// As it was given, or [`ROOT`].
    pub prefix: String,
    pub description: Option<String>,
    pub applied_for: Vec<MadeFor>,
    /// AWS's word: `MUTABLE`, `IMMUTABLE`, or either with `_WITH_EXCLUSION`.
    pub tag_mutability: String,
    /// Wildcards of tags that are excluded from it.
    pub tag_exclusions: Vec<String>,
    pub encryption_type: String,
    pub kms_key: Option<String>,
    pub tags: Vec<Tag>,
    pub repository_policy: Option<String>,
    pub lifecycle_policy: Option<String>,
    pub custom_role_arn: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_a_slash() {
        for (prefix, name, rest) in [
            ("quay", "quay/a/b", Some("a/b")),
            ("quay/", "quay/a", Some("a")),
            ("quay", "quayside/a", None),
            ("quay", "quay", None),
            (ROOT, "a/b", Some("a/b")),
        ] {
            assert_eq!(below(prefix, name), rest, "{prefix} {name}");
        }
        assert!(exactness("a/b") > exactness("a/") && exactness("a") > exactness(ROOT));
    }
}
