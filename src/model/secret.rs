//! Secrets of Secrets Manager. Their values are sealed: this crate cannot read them.

use cove_base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::arn::{Arn, Tenant};
use crate::tag::Tag;

/// The version that counts.
pub const CURRENT: &str = "AWSCURRENT";
/// The one before it.
pub const PREVIOUS: &str = "AWSPREVIOUS";

/// Versions without a stage that are kept: AWS takes them away, too, sooner or later.
const UNSTAGED_MAX: usize = 10;
/// Letters at the end of an ARN, after a dash.
pub const SUFFIX_CHARS: usize = 6;

/// A secret with its versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    pub tenant: Tenant,
    pub name: String,
    /// What tells a secret from one of the same name that was deleted.
    pub suffix: String,
    pub description: Option<String>,
    pub kms_key_id: Option<String>,
    pub tags: Vec<Tag>,
    pub created_at: Timestamp,
    pub changed_at: Timestamp,
    /// To the day.
    pub accessed_at: Option<Timestamp>,
    /// When it was asked to go.
    pub deleted_at: Option<Timestamp>,
    /// When it is gone.
    pub gone_at: Option<Timestamp>,
    /// Oldest first.
    pub versions: Vec<SecretVersion>,
    /// The resource policy, as given.
    #[serde(default)]
    pub policy: Option<String>,
}

/// A value of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretVersion {
    pub id: String,
    pub stages: Vec<String>,
    pub created_at: Timestamp,
    pub is_binary: bool,
    /// As the vault seals it.
    pub sealed: String,
}

impl Secret {
    /// Its ARN.
    #[must_use]
    pub fn arn(&self) -> String {
        self.tenant.arn("secretsmanager", format_args!("secret:{}-{}", self.name, self.suffix))
    }

    /// The version with an id, a stage, or both; neither means the current one.
    #[must_use]
    pub fn version(&self, id: Option<&str>, stage: Option<&str>) -> Option<&SecretVersion> {
        let stage = if id.is_none() { Some(stage.unwrap_or(CURRENT)) } else { stage };
        self.versions.iter().find(|version| {
            id.is_none_or(|id| version.id == id)
                && stage.is_none_or(|stage| version.stages.iter().any(|known| known == stage))
        })
    }

    /// What a sealed value is bound to: moved to another secret it cannot be read.
    #[must_use]
    pub fn seal_context(&self, version_id: &str) -> String {
        format!("{}\n{version_id}", self.arn())
    }

    /// Adds a version and gives it its stages. The version that was the current one is the previous one then.
    pub fn add(&mut self, version: SecretVersion) {
        let moves_current = version.stages.iter().any(|stage| stage == CURRENT);
        for known in &mut self.versions {
            let was_current = known.stages.iter().any(|stage| stage == CURRENT);
            known.stages.retain(|stage| !(version.stages.contains(stage) || moves_current && stage == PREVIOUS));
            if moves_current && was_current {
                known.stages.push(PREVIOUS.to_owned());
            }
        }
        self.versions.push(version);
        let unstaged = self.versions.iter().filter(|version| version.stages.is_empty()).count();
        let mut over = unstaged.saturating_sub(UNSTAGED_MAX);
        self.versions.retain(|version| {
            let goes = over > 0 && version.stages.is_empty();
            over -= usize::from(goes);
            !goes
        });
    }
}

/// What a caller may mean by a name or an ARN, whole or without its end: names to be looked up, each with the end that
/// the secret must have. Nothing for an ARN of another tenant.
#[must_use]
pub fn candidates<'a>(tenant: &Tenant, id: &'a str) -> Vec<(&'a str, Option<&'a str>)> {
    if !id.starts_with("arn:") {
        return vec![(id, None)];
    }
    let of_tenant = Arn::parse(id).filter(|arn| arn.service == "secretsmanager" && arn.belongs_to(tenant));
    let Some(rest) = of_tenant.and_then(|arn| arn.resource.strip_prefix("secret:")) else { return Vec::new() };
    let whole = rest.rsplit_once('-').filter(|(_, end)| end.len() == SUFFIX_CHARS);
    whole.map(|(name, end)| (name, Some(end))).into_iter().chain([(rest, None)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret {
        Secret {
            tenant: Tenant::new("123456789012", "eu-west-1"),
            name: "a/b".into(),
            suffix: "AbCdEf".into(),
            description: None,
            kms_key_id: None,
            tags: Vec::new(),
            created_at: Timestamp(0),
            changed_at: Timestamp(0),
            accessed_at: None,
            deleted_at: None,
            gone_at: None,
            versions: Vec::new(),
            policy: None,
        }
    }

    fn version(id: &str, stages: &[&str]) -> SecretVersion {
        let stages = stages.iter().map(ToString::to_string).collect();
        SecretVersion { id: id.into(), stages, created_at: Timestamp(0), is_binary: false, sealed: String::new() }
    }

    #[test]
    fn the_current_version_becomes_the_previous_one_and_old_ones_go() {
        let mut it = secret();
        for id in ["1", "2", "3"] {
            it.add(version(id, &[CURRENT]));
        }
        let stages: Vec<_> = it.versions.iter().map(|version| version.stages.join(",")).collect();
        assert_eq!(stages, ["", PREVIOUS, CURRENT]);
        it.add(version("4", &["mine"]));
        assert_eq!(it.version(None, None).map(|found| found.id.as_str()), Some("3"));
        assert_eq!(it.version(None, Some("mine")).map(|found| found.id.as_str()), Some("4"));
        assert_eq!(it.version(Some("4"), Some(CURRENT)), None);
        for id in 5..40 {
            it.add(version(&id.to_string(), &[CURRENT]));
        }
        assert_eq!(it.versions.len(), UNSTAGED_MAX + 3);
    }

    #[test]
    fn a_secret_is_found_by_name_and_by_arn_with_and_without_its_end() {
        let it = secret();
        let arn = it.arn();
        assert_eq!(candidates(&it.tenant, &arn)[0], ("a/b", Some("AbCdEf")));
        assert_eq!(candidates(&it.tenant, &arn[..arn.len() - 7]), [("a/b", None)]);
        assert_eq!(candidates(&it.tenant, "a/b"), [("a/b", None)]);
        assert_eq!(candidates(&Tenant::new("1", "eu-west-1"), &arn), []);
    }
}
