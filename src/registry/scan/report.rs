//! What hooks say, read and checked against the image that they were given.

use cove_base::error::chain;
use cove_scan::{Report, Severity};
use serde_json::Value;

use super::config::{ReportFormat, SbomFormat};
use super::opened::Opened;

/// A report in the form that the hook is configured to give.
pub(super) fn findings(format: ReportFormat, said: &[u8], opened: &Opened) -> Result<Report, String> {
    let value = parsed(said)?;
    about(&value, opened)?;
    if value.get(format.mark()).is_none() {
        return Err(format!("its report is not in the form it is configured for: `{}` is missing", format.mark()));
    }
    match format {
        ReportFormat::Cove => serde_json::from_value(value).map_err(|error| error.to_string()),
        ReportFormat::Trivy
        | ReportFormat::Grype
        | ReportFormat::Sarif
        | ReportFormat::CycloneDx
        | ReportFormat::Harbor => cove_scan::read_report(said).map_err(|error| chain(&error)),
    }
    .map_err(|error| format!("its report cannot be read: {error}"))
}

/// An inventory, which is kept as it came.
pub(super) fn sbom(format: SbomFormat, said: &[u8], opened: &Opened) -> Result<(), String> {
    let value = parsed(said)?;
    about(&value, opened)?;
    if value.get(format.mark()).is_none() {
        return Err(format!("its inventory is not in the form it is configured for: `{}` is missing", format.mark()));
    }
    Ok(())
}

fn parsed(said: &[u8]) -> Result<Value, String> {
    if said.iter().all(u8::is_ascii_whitespace) {
        return Err("it said nothing".to_owned());
    }
    serde_json::from_slice(said).map_err(|error| format!("its output is not valid JSON: {error}"))
}

/// Where reports name the image: its config's digest or its manifest's.
const NAMES: [&str; 5] =
    ["/Metadata/ImageID", "/source/target/imageID", "/source/target/manifestDigest", "/artifact/digest", "/image"];

/// A report that names another image is none of this one. Not every form names one.
fn about(report: &Value, opened: &Opened) -> Result<(), String> {
    let own = [opened.image.digest.as_str(), opened.config.digest.as_str()];
    for name in NAMES {
        let Some(named) = report.pointer(name).and_then(Value::as_str) else { continue };
        if named.starts_with("sha") && !own.contains(&named) {
            return Err(format!("its report is about another image, {named}"));
        }
    }
    Ok(())
}

/// The reports of all hooks as one, the worst finding first.
pub(super) fn joined(reports: Vec<Report>) -> Report {
    let mut all = Report::default();
    let mut names = Vec::new();
    for report in reports {
        names.push(format!("{} {}", report.scanner.name, report.scanner.version).trim().to_owned());
        all.distribution = all.distribution.or(report.distribution);
        all.findings.extend(report.findings);
        all.problems.extend(report.problems);
    }
    names.retain(|name| !name.is_empty());
    all.scanner.name = names.join(", ");
    all.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    all
}

/// Counts by ECR's names. Severities without findings are left out, as ECR does.
pub(super) fn counts(report: &Report) -> std::collections::BTreeMap<String, u32> {
    let pairs = Severity::ALL.iter().zip(report.counts());
    pairs
        .filter(|(_, count)| *count > 0)
        .map(|(severity, count)| (severity.name().to_owned(), u32::try_from(count).unwrap_or(u32::MAX)))
        .collect()
}
