//! Findings of enhanced scanning in the two forms that they have on AWS: ECR's answers, and Amazon Inspector's events.
//!
//! In: findings, the image, what the scan before found. Out: JSON, and an event for each finding that came or went. Pure.
//!
//! `exploitAvailable` is left out: no scanner here knows.

use std::collections::{BTreeMap, HashSet};

use cove_base::Timestamp;
use cove_model::event::{NewEvent, inspector};
use cove_model::registry::Image;
use cove_scan::{Cvss, Finding, FindingKind, Report, Score, Severity};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Events of one scan, the worst findings first: an image without any care has thousands.
const EVENTS_MAX: usize = 200;

/// Who says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// DescribeImageScanFindings.
    Ecr,
    /// Amazon Inspector's events.
    Inspector,
}

/// What an image has, in a form.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    pub form: Form,
    pub image: &'a Image,
    pub tags: &'a [String],
    pub at: Timestamp,
}

impl Seen<'_> {
    /// A finding that is there.
    #[must_use]
    pub fn active(&self, finding: &Finding) -> Value {
        self.shown(finding, "ACTIVE")
    }

    fn shown(&self, finding: &Finding, status: &str) -> Value {
        let tenant = &self.image.tenant;
        let kind = match finding.kind {
            FindingKind::Vulnerability => "PACKAGE_VULNERABILITY",
            FindingKind::Secret => "SECRET",
            FindingKind::Misconfiguration => "MISCONFIGURATION",
        };
        let advice = if finding.remediation.is_empty() { "None Provided" } else { &finding.remediation };
        let usual_title = || format!("{} - {}", finding.id, finding.package);
        let title = if finding.title.is_empty() { usual_title() } else { finding.title.clone() };
        let (score, score_details) = match self.form {
            Form::Ecr => ("score", "scoreDetails"),
            Form::Inspector => ("inspectorScore", "inspectorScoreDetails"),
        };
        let at = self.time(self.at);
        without_nulls(json!({
            "awsAccountId": tenant.account,
            "findingArn": tenant.arn("inspector2", format_args!("finding/{}", self.id(finding))),
            "title": title,
            "description": if finding.description.is_empty() { &finding.title } else { &finding.description },
            "type": kind,
            "severity": severity(finding),
            "status": status,
            "firstObservedAt": at,
            "lastObservedAt": at,
            "updatedAt": at,
            "fixAvailable": if finding.fixed_version.is_some() { "YES" } else { "NO" },
            score: finding.score.map(Score::as_f64),
            score_details: self.score_details(finding),
            "packageVulnerabilityDetails": details(finding),
            "remediation": {"recommendation": {"text": advice}},
            "resources": [self.resource()],
        }))
    }

    /// The same for the same finding of the same image.
    fn id(&self, finding: &Finding) -> String {
        let parts = [&self.image.digest, &finding.id, &finding.package, &finding.version, &finding.path];
        hex::encode(&Sha256::digest(parts.map(String::as_str).join("\0"))[..16])
    }

    fn time(&self, at: Timestamp) -> Value {
        match self.form {
            Form::Ecr => json!(at.epoch_seconds()),
            Form::Inspector => json!(at.long_date()),
        }
    }

    fn score_details(&self, finding: &Finding) -> Value {
        let Some(best) = finding.cvss.iter().max_by_key(|cvss| cvss.score) else { return Value::Null };
        let score = json!({"adjustments": [], "score": best.score.map(Score::as_f64), "scoreSource": best.source,
            "scoringVector": best.vector, "version": best.version});
        match self.form {
            Form::Ecr => json!({"cvss": score}),
            Form::Inspector => json!({"adjustedCvss": score}),
        }
    }

    fn resource(&self) -> Value {
        let image = self.image;
        let mut shown = json!({
            "type": "AWS_ECR_CONTAINER_IMAGE",
            "id": resource_arn(image),
            "tags": BTreeMap::<String, String>::new(),
            "details": {"awsEcrContainerImage": {
                "imageHash": image.digest,
                "imageTags": self.tags,
                "pushedAt": self.time(image.pushed_at),
                "registry": image.tenant.account,
                "repositoryName": image.repository,
            }},
        });
        if self.form == Form::Inspector {
            shown["partition"] = json!("aws");
            shown["region"] = json!(image.tenant.region);
        }
        shown
    }
}

/// An event for each finding that was not there before, and for each that is not there any more.
pub(super) fn events(
    image: &Image,
    tags: &[String],
    before: Option<&Report>,
    after: &Report,
    at: Timestamp,
) -> Vec<NewEvent> {
    let seen = Seen { form: Form::Inspector, image, tags, at };
    let nothing = Report::default();
    let before = before.unwrap_or(&nothing);
    let ids = |report: &Report| report.findings.iter().map(|one| seen.id(one)).collect::<HashSet<_>>();
    let (known, still) = (ids(before), ids(after));
    let came = after.findings.iter().filter(|one| !known.contains(&seen.id(one))).map(|one| (one, "ACTIVE"));
    let went = before.findings.iter().filter(|one| !still.contains(&seen.id(one))).map(|one| (one, "CLOSED"));
    let told = |(finding, status): (&Finding, &str)| {
        inspector::finding(&image.tenant, resource_arn(image), &seen.shown(finding, status), at)
    };
    came.chain(went).take(EVENTS_MAX).map(told).collect()
}

fn resource_arn(image: &Image) -> String {
    image.tenant.arn("ecr", format_args!("repository/{}/{}", image.repository, image.digest))
}

/// Inspector has a word of its own for what nobody rated.
fn severity(finding: &Finding) -> &'static str {
    match finding.severity {
        Severity::Undefined => "UNTRIAGED",
        Severity::Informational | Severity::Low | Severity::Medium | Severity::High | Severity::Critical => {
            finding.severity.name()
        }
    }
}

fn details(finding: &Finding) -> Value {
    let cvss = |cvss: &Cvss| {
        json!({"baseScore": cvss.score.map(Score::as_f64), "scoringVector": cvss.vector, "source": cvss.source,
            "version": cvss.version})
    };
    let (epoch, version, release) = parts(finding);
    let package = json!({"name": finding.package, "version": version, "release": release, "epoch": epoch,
        "arch": some(&finding.arch), "filePath": some(&finding.path), "packageManager": some(&finding.manager),
        "sourceLayerHash": some(&finding.layer), "fixedInVersion": finding.fixed_version});
    json!({
        "vulnerabilityId": finding.id,
        "source": some(finding.cvss.first().map_or("", |cvss| &cvss.source)),
        "sourceUrl": finding.references.first(),
        "referenceUrls": finding.references,
        "relatedVulnerabilities": finding.aliases,
        "vendorSeverity": finding.severity.name(),
        "cvss": finding.cvss.iter().map(cvss).collect::<Vec<_>>(),
        "vulnerablePackages": if finding.package.is_empty() { Vec::new() } else { vec![package] },
    })
}

/// Packages of distributions write `epoch:version-release`; others' versions are whole.
fn parts(finding: &Finding) -> (Option<u32>, &str, Option<&str>) {
    if finding.manager != "OS" {
        return (None, &finding.version, None);
    }
    let (epoch, rest) = match finding.version.split_once(':') {
        Some((epoch, rest)) => (epoch.parse().ok(), rest),
        None => (Some(0), finding.version.as_str()),
    };
    let (version, release) = rest.rsplit_once('-').map_or((rest, None), |(version, release)| (version, Some(release)));
    (epoch, version, release)
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// Members that nobody knows are left out, at any depth.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let known = members.into_iter().filter(|(_, member)| !member.is_null());
            Value::Object(known.map(|(key, member)| (key, without_nulls(member))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}
