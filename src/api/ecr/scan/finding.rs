//! Findings in ECR's two shapes.

use std::collections::BTreeMap;

use cove_model::registry::Image;
use cove_model::scan::ScanResult;
use cove_scan::{Finding, FindingKind};
use serde::Serialize;
use serde_json::{Value, json};

/// The longest value of an attribute.
const VALUE_MAX_CHARS: usize = 256;

#[derive(Serialize)]
pub(super) struct BasicFinding {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
    severity: &'static str,
    attributes: Vec<Attribute>,
}

#[derive(Serialize)]
struct Attribute {
    key: &'static str,
    value: String,
}

/// A finding of basic scanning. What has no member of its own stands among the attributes.
pub(super) fn basic(finding: &Finding) -> BasicFinding {
    let best = finding.cvss.iter().max_by_key(|cvss| cvss.score);
    let (scored, vector) = match best.map(|cvss| cvss.version.as_str()) {
        Some(version) if version.starts_with('2') => ("CVSS2_SCORE", "CVSS2_VECTOR"),
        Some(version) if version.starts_with('4') => ("CVSS4_SCORE", "CVSS4_VECTOR"),
        Some(_) | None => ("CVSS3_SCORE", "CVSS3_VECTOR"),
    };
    let score = best.and_then(|cvss| cvss.score).or(finding.score).map(|score| score.as_f64().to_string());
    let line = (finding.line > 0).then(|| finding.line.to_string());
    let of = |text: &str| Some(text.to_owned());
    let kind = match finding.kind {
        FindingKind::Vulnerability => None,
        FindingKind::Secret => of("SECRET"),
        FindingKind::Misconfiguration => of("MISCONFIGURATION"),
    };
    let all = [
        ("package_name", of(&finding.package)),
        ("package_version", of(&finding.version)),
        ("package_manager", of(&finding.manager)),
        ("patched_version", finding.fixed_version.clone()),
        ("file_path", of(&finding.path)),
        ("line", line),
        ("finding_type", kind),
        (scored, score),
        (vector, best.map(|cvss| cvss.vector.clone())),
    ];
    let attributes = all.into_iter().filter_map(|(key, value)| {
        let value: String = value?.chars().take(VALUE_MAX_CHARS).collect();
        (!value.is_empty()).then_some(Attribute { key, value })
    });
    BasicFinding {
        name: finding.id.clone(),
        description: text(finding).to_owned(),
        uri: finding.references.first().cloned(),
        severity: finding.severity.name(),
        attributes: attributes.collect(),
    }
}

fn text(finding: &Finding) -> &str {
    if finding.description.is_empty() { &finding.title } else { &finding.description }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EnhancedFinding {
    aws_account_id: String,
    finding_arn: String,
    title: String,
    description: String,
    #[serde(rename = "type")]
    kind: &'static str,
    severity: &'static str,
    status: &'static str,
    first_observed_at: f64,
    last_observed_at: f64,
    updated_at: f64,
    fix_available: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score_details: Option<Value>,
    package_vulnerability_details: Value,
    remediation: Value,
    resources: Vec<Value>,
}

/// A finding of enhanced scanning, in Amazon Inspector's form. `exploitAvailable` is left out: no scanner here knows.
pub(super) fn enhanced(finding: &Finding, image: &Image, tags: &[String], result: &ScanResult) -> EnhancedFinding {
    let (tenant, seen) = (&image.tenant, result.completed_at.epoch_seconds());
    let id =
        hex::encode(&sha2_of(&[&image.digest, &finding.id, &finding.package, &finding.version, &finding.path])[..16]);
    let kind = match finding.kind {
        FindingKind::Vulnerability => "PACKAGE_VULNERABILITY",
        FindingKind::Secret => "SECRET",
        FindingKind::Misconfiguration => "MISCONFIGURATION",
    };
    let best = finding.cvss.iter().max_by_key(|cvss| cvss.score);
    let score_details = best.map(|cvss| {
        json!({"cvss": {"adjustments": [], "score": cvss.score.map(cove_scan::Score::as_f64),
            "scoreSource": cvss.source, "scoringVector": cvss.vector, "version": cvss.version}})
    });
    let advice = if finding.remediation.is_empty() { "None Provided" } else { &finding.remediation };
    EnhancedFinding {
        aws_account_id: tenant.account.clone(),
        finding_arn: tenant.arn("inspector2", format_args!("finding/{id}")),
        title: if finding.title.is_empty() {
            format!("{} - {}", finding.id, finding.package)
        } else {
            finding.title.clone()
        },
        description: text(finding).to_owned(),
        kind,
        severity: severity(finding),
        status: "ACTIVE",
        first_observed_at: seen,
        last_observed_at: seen,
        updated_at: seen,
        fix_available: if finding.fixed_version.is_some() { "YES" } else { "NO" },
        score: finding.score.map(cove_scan::Score::as_f64),
        score_details: score_details.map(without_nulls),
        package_vulnerability_details: without_nulls(details(finding)),
        remediation: json!({"recommendation": {"text": advice}}),
        resources: vec![resource(image, tags)],
    }
}

/// Inspector has a word of its own for what nobody rated.
fn severity(finding: &Finding) -> &'static str {
    match finding.severity {
        cove_scan::Severity::Undefined => "UNTRIAGED",
        known => known.name(),
    }
}

fn details(finding: &Finding) -> Value {
    let cvss = |cvss: &cove_scan::Cvss| {
        without_nulls(json!({"baseScore": cvss.score.map(cove_scan::Score::as_f64), "scoringVector": cvss.vector,
            "source": cvss.source, "version": cvss.version}))
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
        "vulnerablePackages": if finding.package.is_empty() { Vec::new() } else { vec![without_nulls(package)] },
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

fn resource(image: &Image, tags: &[String]) -> Value {
    let repository = image.tenant.arn("ecr", format_args!("repository/{}/{}", image.repository, image.digest));
    json!({
        "type": "AWS_ECR_CONTAINER_IMAGE",
        "id": repository,
        "tags": BTreeMap::<String, String>::new(),
        "details": {"awsEcrContainerImage": {
            "imageHash": image.digest,
            "imageTags": tags,
            "pushedAt": image.pushed_at.epoch_seconds(),
            "registry": image.tenant.account,
            "repositoryName": image.repository,
        }},
    })
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .filter(|(_, member)| !member.is_null())
                .map(|(key, member)| (key, without_nulls(member)))
                .collect(),
        ),
        other => other,
    }
}

fn sha2_of(parts: &[&str]) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    Sha256::digest(parts.join("\0")).to_vec()
}
