//! Findings of basic scanning, in ECR's shape. Those of enhanced scanning have Amazon Inspector's ([`Seen`]).
//!
//! [`Seen`]: cove_registry::scan::Seen

use cove_scan::{Finding, FindingKind};
use serde::Serialize;

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
