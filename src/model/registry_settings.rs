//! What is decided about repositories and about a registry as a whole: policies and settings. Beside the images, so that
//! the documents, of up to 30 KiB, are not read or written with them.

use std::collections::BTreeMap;

use cove_base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::arn::Tenant;

/// Which images of a repository expire or go to the archive, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifecyclePolicy {
    pub tenant: Tenant,
    pub repository: String,
    /// As it was put.
    pub text: String,
    /// When it was last carried out.
    pub evaluated_at: Option<Timestamp>,
}

/// A lifecycle policy that is tried: what it would do is computed when it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifecyclePreview {
    pub tenant: Tenant,
    pub repository: String,
    pub text: String,
    pub started_at: Timestamp,
}

/// Who else may use a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryPolicy {
    pub tenant: Tenant,
    pub repository: String,
    /// As it was put.
    pub text: String,
}

/// What holds for all repositories of an account in a region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrySettings {
    pub tenant: Tenant,
    #[serde(default)]
    pub policy: Option<String>,
    #[serde(default)]
    pub signing: Option<Vec<SigningRule>>,
    /// Account settings by name, those that were put.
    #[serde(default)]
    pub account: BTreeMap<String, String>,
    #[serde(default)]
    pub pull_time_exclusions: Vec<PullTimeExclusion>,
}

impl RegistrySettings {
    /// What holds while nothing was said.
    #[must_use]
    pub fn new(tenant: &Tenant) -> Self {
        Self {
            tenant: tenant.clone(),
            policy: None,
            signing: None,
            account: BTreeMap::new(),
            pull_time_exclusions: Vec::new(),
        }
    }

    /// Whether pulls by this user or role leave no trace.
    #[must_use]
    pub fn leaves_no_pull_time(&self, principal_arn: &str) -> bool {
        self.pull_time_exclusions.iter().any(|one| one.principal_arn == principal_arn)
    }
}

/// Which images are to be signed by which profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningRule {
    pub profile_arn: String,
    /// Patterns of repository names; none means every repository.
    pub repositories: Vec<String>,
}

/// A user or role whose pulls leave no trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullTimeExclusion {
    pub principal_arn: String,
    pub created_at: Timestamp,
}
