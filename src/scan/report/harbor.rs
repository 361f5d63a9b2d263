//! Harbor's `application/vnd.security.vulnerability.report; version=1.1`, which its pluggable scanners answer with.

use serde_json::Value;

use super::{Findings, ReportError, first_of, list, rate, rating, references, required, text, word};
use crate::finding::{Finding, Report, Scanner};
use crate::severity::Severity;

pub(super) fn read(document: &Value) -> Result<Report, ReportError> {
    let tool = &document["scanner"];
    let [name, vendor, version] = [&tool["name"], &tool["vendor"], &tool["version"]].map(word);
    let scanner = Scanner { name, vendor, version };
    let mut findings = Findings::default();
    for found in list(document, "vulnerabilities")? {
        findings.add(finding(found)?)?;
    }
    Ok(Report { scanner, findings: findings.list, ..Report::default() })
}

fn finding(found: &Value) -> Result<Finding, ReportError> {
    let rated = &found["preferred_cvss"];
    let description = text(&found["description"]);
    let layer = [&found["layer"]["digest"], &found["layer"]["diff_id"]].map(word);
    let mut finding = Finding {
        id: required(found, "id")?,
        package: required(found, "package")?,
        version: word(&found["version"]),
        fixed_version: found["fix_version"].as_str().and_then(first_of),
        severity: Severity::from_word(&word(&found["severity"])),
        title: description.lines().next().unwrap_or_default().chars().take(200).collect(),
        description,
        references: references(list(found, "links")?.iter()),
        layer: layer.into_iter().find(|digest| !digest.is_empty()).unwrap_or_default(),
        ..Finding::default()
    };
    for version in ["3", "2"] {
        let (vector, score) = (&rated[format!("vector_v{version}")], &rated[format!("score_v{version}")]);
        // Absent scores are often written as 0.
        if !(word(vector).is_empty() && score.as_f64() == Some(0.0)) {
            finding.cvss.extend(rating(vector, score, ""));
        }
    }
    rate(&mut finding);
    Ok(finding)
}
