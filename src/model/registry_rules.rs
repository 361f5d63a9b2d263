//! What a registry was told about repositories that it makes by itself, and about other registries that its content
//! comes from and goes to.

use cove_base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::arn::Tenant;
use crate::image::ecr_tenant;
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

/// A registry that a pull through cache rule may take from. Hosts that only the operator knows have no such name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Upstream {
    Ecr,
    EcrPublic,
    Quay,
    K8s,
    DockerHub,
    GithubContainerRegistry,
    AzureContainerRegistry,
    GitlabContainerRegistry,
    Chainguard,
}

impl Upstream {
    /// Which one a host is.
    #[must_use]
    pub fn of_host(host: &str) -> Option<Self> {
        match host {
            "public.ecr.aws" => Some(Self::EcrPublic),
            "quay.io" => Some(Self::Quay),
            "registry.k8s.io" => Some(Self::K8s),
            "registry-1.docker.io" => Some(Self::DockerHub),
            "ghcr.io" => Some(Self::GithubContainerRegistry),
            "registry.gitlab.com" => Some(Self::GitlabContainerRegistry),
            "cgr.dev" => Some(Self::Chainguard),
            host if ecr_tenant(host).is_some() => Some(Self::Ecr),
            host => {
                let name = host.strip_suffix(".azurecr.io")?;
                let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
                is_name.then_some(Self::AzureContainerRegistry)
            }
        }
    }

    /// Whether AWS takes rules for it with a secret alone.
    #[must_use]
    pub const fn needs_secret(self) -> bool {
        match self {
            Self::DockerHub
            | Self::GithubContainerRegistry
            | Self::AzureContainerRegistry
            | Self::GitlabContainerRegistry
            | Self::Chainguard => true,
            Self::Ecr | Self::EcrPublic | Self::Quay | Self::K8s => false,
        }
    }
}

/// That what is missing below a prefix is fetched from another registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullThroughRule {
    pub tenant: Tenant,
    /// As it was given, or [`ROOT`].
    pub prefix: String,
    /// The other registry's host.
    pub upstream_url: String,
    pub upstream: Option<Upstream>,
    /// What stands before the rest of a name over there, or [`ROOT`].
    pub upstream_prefix: String,
    pub credential_arn: Option<String>,
    pub custom_role_arn: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl PullThroughRule {
    /// The other registry's name of a repository of ours, if the rule is for it.
    #[must_use]
    pub fn upstream_name(&self, repository: &str) -> Option<String> {
        let rest = below(&self.prefix, repository)?;
        if self.upstream_prefix == ROOT {
            return Some(rest.to_owned());
        }
        Some(format!("{}/{rest}", self.upstream_prefix.trim_end_matches('/')))
    }
}

/// When another registry was last asked for a tag that is kept here. Tags without one are our own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamTag {
    pub tenant: Tenant,
    pub repository: String,
    pub tag: String,
    /// When it is asked again, at the next pull after it.
    pub next_at: Timestamp,
}

/// What a registry replicates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicationConfiguration {
    pub tenant: Tenant,
    pub rules: Vec<ReplicationRule>,
}

/// Where repositories go whose names begin with one of the prefixes, or all without any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicationRule {
    pub destinations: Vec<Tenant>,
    pub prefixes: Vec<String>,
}

/// What became of the copy of an image in another registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replication {
    pub tenant: Tenant,
    pub repository: String,
    pub digest: String,
    pub destination: Tenant,
    /// AWS's code; `None`: it is there.
    pub failure: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_are_known_by_their_hosts() {
        for (host, upstream) in [
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", Some(Upstream::Ecr)),
            ("mine.azurecr.io", Some(Upstream::AzureContainerRegistry)),
            (".azurecr.io", None),
            ("a/b.azurecr.io", None),
            ("registry-1.docker.io", Some(Upstream::DockerHub)),
            ("docker.io", None),
        ] {
            assert_eq!(Upstream::of_host(host), upstream, "{host}");
        }
    }

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
        let rule = |prefix: &str, upstream_prefix: &str| PullThroughRule {
            tenant: Tenant::new("0", "r"),
            prefix: prefix.into(),
            upstream_url: String::new(),
            upstream: None,
            upstream_prefix: upstream_prefix.into(),
            credential_arn: None,
            custom_role_arn: None,
            created_at: Timestamp(0),
            updated_at: Timestamp(0),
        };
        assert_eq!(rule("q", ROOT).upstream_name("q/a/b").as_deref(), Some("a/b"));
        assert_eq!(rule("q", "x/").upstream_name("q/a").as_deref(), Some("x/a"));
        assert_eq!(rule(ROOT, ROOT).upstream_name("q/a").as_deref(), Some("q/a"));
        assert_eq!(rule("q", ROOT).upstream_name("a"), None);
        assert!(exactness("a/b") > exactness("a/") && exactness("a") > exactness(ROOT));
    }
}
