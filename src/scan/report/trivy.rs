//! Trivy's `--format json`, schema version 2.

use serde_json::Value;

use super::{Findings, ReportError, first_of, list, manager, path, rate, rating, references, required, text, word};
use crate::finding::{Finding, FindingKind, Report, Scanner};
use crate::package::Distribution;
use crate::severity::Severity;

pub(super) fn read(document: &Value) -> Result<Report, ReportError> {
    if document["SchemaVersion"] != 2 {
        return Err(ReportError::Field("SchemaVersion"));
    }
    let mut findings = Findings::default();
    let mut report = Report {
        scanner: Scanner {
            name: "Trivy".to_owned(),
            vendor: "Aqua Security".to_owned(),
            version: word(&document["Trivy"]["Version"]),
        },
        distribution: distribution(&document["Metadata"]["OS"]),
        ..Report::default()
    };
    for result in list(document, "Results")? {
        for found in list(result, "Vulnerabilities")? {
            findings.add(vulnerability(result, found)?)?;
        }
        for found in list(result, "Secrets")? {
            findings.add(secret(result, found)?)?;
        }
        for found in list(result, "Misconfigurations")? {
            // Those that passed or do not apply are listed with --include-non-failures.
            if found["Status"].as_str().is_none_or(|status| status == "FAIL") {
                findings.add(misconfiguration(result, found)?)?;
            }
        }
    }
    report.findings = findings.list;
    Ok(report)
}

fn distribution(os: &Value) -> Option<Distribution> {
    let (id, version_id) = (word(&os["Family"]), word(&os["Name"]));
    let pretty_name = format!("{id} {version_id}");
    (!id.is_empty()).then(|| Distribution { id, version_id, pretty_name, codename: String::new() })
}

fn vulnerability(result: &Value, found: &Value) -> Result<Finding, ReportError> {
    let system = result["Class"] == "os-pkgs";
    let place = match found["PkgPath"].as_str() {
        Some(_) => path(&found["PkgPath"]),
        None if system => String::new(),
        None => path(&result["Target"]),
    };
    let mut finding = Finding {
        kind: FindingKind::Vulnerability,
        id: required(found, "VulnerabilityID")?,
        package: required(found, "PkgName")?,
        version: word(&found["InstalledVersion"]),
        fixed_version: found["FixedVersion"].as_str().and_then(first_of),
        severity: Severity::from_word(&word(&found["Severity"])),
        title: text(&found["Title"]),
        description: text(&found["Description"]),
        aliases: references(list(found, "VendorIDs")?.iter()),
        references: references([&found["PrimaryURL"]].into_iter().chain(list(found, "References")?)),
        manager: if system { "OS".to_owned() } else { manager(&word(&result["Type"])) },
        purl: word(&found["PkgIdentifier"]["PURL"]),
        path: place,
        layer: layer(found),
        published: word(&found["PublishedDate"]),
        modified: word(&found["LastModifiedDate"]),
        ..Finding::default()
    };
    for (source, rated) in found["CVSS"].as_object().into_iter().flatten() {
        for version in ["V2", "V3", "V40"] {
            let (vector, score) = (&rated[format!("{version}Vector")], &rated[format!("{version}Score")]);
            finding.cvss.extend(rating(vector, score, source));
        }
    }
    rate(&mut finding);
    Ok(finding)
}

/// Without `Match` and `Code`: those are the secret.
fn secret(result: &Value, found: &Value) -> Result<Finding, ReportError> {
    let title = text(&found["Title"]);
    Ok(Finding {
        kind: FindingKind::Secret,
        id: required(found, "RuleID")?,
        severity: Severity::from_word(&word(&found["Severity"])),
        description: format!("{title} ({})", word(&found["Category"])),
        title,
        path: path(&result["Target"]),
        line: line(&found["StartLine"]),
        layer: layer(found),
        ..Finding::default()
    })
}

fn misconfiguration(result: &Value, found: &Value) -> Result<Finding, ReportError> {
    let (description, message) = (text(&found["Description"]), text(&found["Message"]));
    Ok(Finding {
        kind: FindingKind::Misconfiguration,
        id: required(found, "ID")?,
        aliases: references([&found["AVDID"]].into_iter()),
        severity: Severity::from_word(&word(&found["Severity"])),
        title: text(&found["Title"]),
        description: if message.is_empty() { description } else { format!("{message}\n{description}") },
        references: references([&found["PrimaryURL"]].into_iter().chain(list(found, "References")?)),
        remediation: text(&found["Resolution"]),
        path: path(&result["Target"]),
        line: line(&found["CauseMetadata"]["StartLine"]),
        layer: layer(found),
        ..Finding::default()
    })
}

fn layer(found: &Value) -> String {
    let digest = word(&found["Layer"]["Digest"]);
    if digest.is_empty() { word(&found["Layer"]["DiffID"]) } else { digest }
}

fn line(value: &Value) -> u32 {
    value.as_u64().and_then(|line| u32::try_from(line).ok()).unwrap_or_default()
}
