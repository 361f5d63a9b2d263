//! Grype's `-o json`.

use serde_json::Value;

use super::{Findings, ReportError, list, manager, path, rate, rating, references, required, text, word};
use crate::finding::{Finding, Report, Scanner};
use crate::package::Distribution;
use crate::severity::Severity;

pub(super) fn read(document: &Value) -> Result<Report, ReportError> {
    let tool = &document["descriptor"];
    let (id, version_id) = (word(&document["distro"]["name"]), word(&document["distro"]["version"]));
    let pretty_name = format!("{id} {version_id}");
    let distribution = (!id.is_empty()).then(|| Distribution { id, version_id, pretty_name, codename: String::new() });
    let scanner = Scanner { name: "Grype".to_owned(), vendor: "Anchore".to_owned(), version: word(&tool["version"]) };
    let mut findings = Findings::default();
    for found in list(document, "matches")? {
        findings.add(finding(found)?)?;
    }
    Ok(Report { scanner, distribution, findings: findings.list, ..Report::default() })
}

fn finding(found: &Value) -> Result<Finding, ReportError> {
    let (flaw, package) = (&found["vulnerability"], &found["artifact"]);
    let own = required(flaw, "id")?;
    let related = list(found, "relatedVulnerabilities")?;
    let mut names: Vec<String> = related.iter().map(|flaw| word(&flaw["id"])).filter(|id| !id.is_empty()).collect();
    names.push(own.clone());
    names.sort();
    names.dedup();
    // Grype names the advisory; the CVE beside it is the name that others know.
    let mut cves = names.iter().filter(|name| name.starts_with("CVE-"));
    let id = match (cves.next(), cves.next()) {
        (Some(cve), None) => cve.clone(),
        (_, _) => own,
    };
    let told = |name: &str| {
        let flaws = [flaw].into_iter().chain(related);
        flaws.map(|flaw| text(&flaw[name])).find(|text| !text.is_empty()).unwrap_or_default()
    };
    let place = list(package, "locations")?.first().cloned().unwrap_or_default();
    let mut finding = Finding {
        aliases: names.iter().filter(|name| **name != id).cloned().collect(),
        id,
        severity: Severity::from_word(&word(&flaw["severity"])),
        description: told("description"),
        references: references([&flaw["dataSource"]].into_iter().chain(list(flaw, "urls")?)),
        package: required(package, "name")?,
        version: word(&package["version"]),
        fixed_version: list(&flaw["fix"], "versions")?.first().map(word).filter(|version| !version.is_empty()),
        manager: manager(&word(&package["type"])),
        purl: word(&package["purl"]),
        path: path(&place["path"]),
        layer: word(&place["layerID"]),
        ..Finding::default()
    };
    finding.title = finding.description.lines().next().unwrap_or_default().chars().take(200).collect();
    for flaw in [flaw].into_iter().chain(related) {
        for rated in list(flaw, "cvss")? {
            finding.cvss.extend(rating(&rated["vector"], &rated["metrics"]["baseScore"], &word(&rated["source"])));
        }
    }
    rate(&mut finding);
    Ok(finding)
}
