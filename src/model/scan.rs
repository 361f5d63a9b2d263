//! Scans of images: which are wanted, how far each is, and what it came to. Pure.
//!
//! ```text
//! (push, request, schedule) ─▶ Pending ─▶ InProgress ─▶ Complete | Failed | Unsupported
//!                                 ▲                        │
//!                                 └────── asked again ─────┘
//! ```
//!
//! Holds: one record for each image, so that there is one answer to "what is known of it"; a scan that did not end well
//! has no result to show, and an image that nobody scanned has no record.

use std::collections::BTreeMap;

use cove_base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::arn::Tenant;
use crate::registry::{Image, Repository};

/// How findings are shown, and which frequencies a registry's rules may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ScanType {
    #[default]
    Basic,
    Enhanced,
}

impl ScanType {
    /// As ECR writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Basic => "BASIC",
            Self::Enhanced => "ENHANCED",
        }
    }
}

/// When images of a repository are scanned without being asked, from the rarest to the most often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ScanFrequency {
    Manual,
    ScanOnPush,
    ContinuousScan,
}

impl ScanFrequency {
    /// As ECR writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Manual => "MANUAL",
            Self::ScanOnPush => "SCAN_ON_PUSH",
            Self::ContinuousScan => "CONTINUOUS_SCAN",
        }
    }
}

/// A frequency for the repositories that a filter takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanRule {
    pub frequency: ScanFrequency,
    /// Wildcard filters.
    pub filters: Vec<String>,
}

/// What a registry's owner decided about scanning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanSettings {
    pub tenant: Tenant,
    pub scan_type: ScanType,
    pub rules: Vec<ScanRule>,
}

/// What follows from rules for one repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    pub scan_type: ScanType,
    pub frequency: ScanFrequency,
    /// The filters of the rule that decided.
    pub filters: Vec<String>,
}

/// The rule that scans most often decides; without one, basic scanning heeds the repository's own switch.
#[must_use]
pub fn applied(settings: Option<&ScanSettings>, repository: &Repository) -> Applied {
    let scan_type = settings.map_or(ScanType::Basic, |settings| settings.scan_type);
    let fitting = settings.iter().flat_map(|settings| &settings.rules).filter_map(|rule| {
        let filters: Vec<String> =
            rule.filters.iter().filter(|filter| takes(filter, &repository.name)).cloned().collect();
        (!filters.is_empty()).then_some((rule.frequency, filters))
    });
    if let Some((frequency, filters)) = fitting.max_by_key(|(frequency, _)| *frequency) {
        return Applied { scan_type, frequency, filters };
    }
    let frequency = match scan_type {
        ScanType::Basic if repository.scan_on_push => ScanFrequency::ScanOnPush,
        ScanType::Basic | ScanType::Enhanced => ScanFrequency::Manual,
    };
    Applied { scan_type, frequency, filters: Vec::new() }
}

/// A filter without a star takes every name that contains it, as on AWS.
fn takes(filter: &str, name: &str) -> bool {
    if !filter.contains('*') {
        return name.contains(filter);
    }
    let parts: Vec<&str> = filter.split('*').collect();
    let (first, last) = (parts[0], parts[parts.len() - 1]);
    let Some(rest) = name.strip_prefix(first) else { return false };
    let Some(mut rest) = rest.strip_suffix(last) else { return false };
    for part in &parts[1..parts.len() - 1] {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

/// Whether an image is scanned at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eligibility {
    Eligible,
    /// Under continuous scanning, but pushed and pulled too long ago to be worth it.
    Expired,
    /// What is in the archive is not read.
    Archived,
}

/// What follows from an image's own state. `renew_for_millis`: how long after its push or last pull an image is scanned
/// over and over; `None` is for ever.
#[must_use]
pub fn eligibility(image: &Image, applied: &Applied, renew_for_millis: Option<i64>, now: Timestamp) -> Eligibility {
    if image.is_archived {
        return Eligibility::Archived;
    }
    let used = image.last_pulled_at.map_or(image.pushed_at, |pulled| pulled.max(image.pushed_at));
    let is_over = renew_for_millis.is_some_and(|millis| now >= used.plus_millis(millis));
    if applied.frequency == ScanFrequency::ContinuousScan && is_over {
        return Eligibility::Expired;
    }
    Eligibility::Eligible
}

/// How far a scan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScanState {
    Pending,
    /// Some server began it; when that one died, another begins it again.
    InProgress,
    Complete,
    Failed,
    /// The artifact is no image that can be scanned.
    Unsupported,
}

impl ScanState {
    /// Whether something is still to be done.
    #[must_use]
    pub const fn is_open(self) -> bool {
        match self {
            Self::Pending | Self::InProgress => true,
            Self::Complete | Self::Failed | Self::Unsupported => false,
        }
    }
}

/// Why an image is scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScanTrigger {
    Push,
    Request,
    Schedule,
}

/// The scan of an image: the one that is wanted or under way, else the last one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageScan {
    pub tenant: Tenant,
    pub repository: String,
    /// The image's digest.
    pub digest: String,
    pub scan_type: ScanType,
    pub trigger: ScanTrigger,
    pub state: ScanState,
    /// For people; ECR's `description` of the status.
    pub description: String,
    pub requested_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// Of the last scan that completed. Not shown when a later one failed.
    pub result: Option<ScanResult>,
}

/// What a scan came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanResult {
    pub completed_at: Timestamp,
    /// When the data that the scanner used was made, if it said so.
    pub source_updated_at: Option<Timestamp>,
    /// The SHA-256 of the file with the findings.
    pub findings: String,
    /// Findings by ECR's name of their severity; none is left out for being zero.
    pub counts: BTreeMap<String, u32>,
    /// Who scanned, for people.
    pub scanner: String,
}

impl ImageScan {
    /// A scan that is to be made.
    #[must_use]
    pub fn wanted(image: &Image, scan_type: ScanType, trigger: ScanTrigger, at: Timestamp) -> Self {
        Self {
            tenant: image.tenant.clone(),
            repository: image.repository.clone(),
            digest: image.digest.clone(),
            scan_type,
            trigger,
            state: ScanState::Pending,
            description: String::new(),
            requested_at: at,
            ended_at: None,
            result: None,
        }
    }

    /// The same image to be scanned again; what is known of it stays until then.
    #[must_use]
    pub fn again(&self, scan_type: ScanType, trigger: ScanTrigger, at: Timestamp) -> Self {
        let (state, description, ended_at) = (ScanState::Pending, String::new(), None);
        Self { scan_type, trigger, state, description, requested_at: at, ended_at, ..self.clone() }
    }

    /// The result, when it is the answer to the last question asked.
    #[must_use]
    pub fn current_result(&self) -> Option<&ScanResult> {
        self.result.as_ref().filter(|_| self.state == ScanState::Complete)
    }
}

/// What scanners can open: images of containers.
const CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// Whether the manifest is an image, not an index or another artifact.
#[must_use]
pub fn is_scannable(image: &Image) -> bool {
    image.manifests.is_empty()
        && image.artifact_type.is_none()
        && image.config_media_type.as_deref().is_some_and(|media_type| CONFIGS.contains(&media_type))
}

/// The scan that a push asks for.
#[must_use]
pub fn on_push(
    settings: Option<&ScanSettings>,
    repository: &Repository,
    image: &Image,
    at: Timestamp,
) -> Option<ImageScan> {
    let applied = applied(settings, repository);
    // What refers to an image (a signature, an inventory) is none itself.
    if applied.frequency == ScanFrequency::Manual || image.subject.is_some() {
        return None;
    }
    let mut wanted = ImageScan::wanted(image, applied.scan_type, ScanTrigger::Push, at);
    if !is_scannable(image) {
        wanted.state = ScanState::Unsupported;
        wanted.description = UNSUPPORTED.to_owned();
        wanted.ended_at = Some(at);
    }
    Some(wanted)
}

/// ECR's words for what cannot be scanned.
pub const UNSUPPORTED: &str = "UnsupportedImageError: The operating system and/or package manager are not supported.";

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(name: &str, scan_on_push: bool) -> Repository {
        serde_json::from_value(serde_json::json!({
            "tenant": Tenant::new("000000000000", "us-east-1"), "name": name, "created_at": 0,
            "tag_mutability": "MUTABLE", "scan_on_push": scan_on_push, "encryption_type": "AES256", "kms_key": null, "tags": []
        }))
        .unwrap()
    }

    fn settings(scan_type: ScanType, rules: &[(ScanFrequency, &str)]) -> ScanSettings {
        let rule = |(frequency, filter): &(ScanFrequency, &str)| ScanRule {
            frequency: *frequency,
            filters: vec![(*filter).to_owned()],
        };
        let tenant = Tenant::new("000000000000", "us-east-1");
        ScanSettings { tenant, scan_type, rules: rules.iter().map(rule).collect() }
    }

    #[test]
    fn filters_contain_or_match_with_stars() {
        for (filter, name, fits) in [
            ("prod", "my-prod-app", true),
            ("prod", "dev", false),
            ("*", "any/thing", true),
            ("prod*", "prod/a", true),
            ("prod*", "a/prod", false),
            ("a*b*c", "a1b2c", true),
            ("a*a", "a", false),
            ("*dev*", "dev", true),
        ] {
            assert_eq!(takes(filter, name), fits, "{filter} of {name}");
        }
    }

    #[test]
    fn the_rule_that_scans_most_often_decides() {
        use ScanFrequency::{ContinuousScan, Manual, ScanOnPush};
        let rules = settings(ScanType::Enhanced, &[(ScanOnPush, "*"), (ContinuousScan, "prod")]);
        let of = |settings, name, own| applied(settings, &repository(name, own)).frequency;
        assert_eq!(of(Some(&rules), "prod", false), ContinuousScan);
        assert_eq!(of(Some(&rules), "dev", false), ScanOnPush);
        let narrow = settings(ScanType::Enhanced, &[(ScanOnPush, "prod")]);
        assert_eq!(of(Some(&narrow), "dev", true), Manual, "enhanced scanning has no switch of the repository");
        assert_eq!((of(None, "dev", true), of(None, "dev", false)), (ScanOnPush, Manual));
    }
}
