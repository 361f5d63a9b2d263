//! CycloneDX 1.4 and later with `vulnerabilities`.

use std::collections::HashMap;

use serde_json::Value;

use super::{Findings, ReportError, list, manager, path, rate, rating, references, required, text, word};
use crate::finding::{Finding, Report, Scanner};
use crate::severity::Severity;

/// Components within components.
const DEPTH_MAX: usize = 16;
/// Properties of a component that are looked at, for each flaw of it.
const PROPERTIES_MAX: usize = 256;

pub(super) fn read(document: &Value) -> Result<Report, ReportError> {
    let flaws = document["vulnerabilities"].as_array().ok_or(ReportError::Inventory)?;
    let mut components = HashMap::new();
    collect(&document["metadata"]["component"], DEPTH_MAX, &mut components);
    for component in list(document, "components")? {
        collect(component, DEPTH_MAX, &mut components);
    }
    let mut report = Report { scanner: scanner(&document["metadata"]["tools"]), ..Report::default() };
    let mut findings = Findings::default();
    for flaw in flaws {
        let state = word(&flaw["analysis"]["state"]);
        if matches!(state.as_str(), "not_affected" | "false_positive" | "resolved" | "resolved_with_pedigree") {
            continue;
        }
        for affected in list(flaw, "affects")? {
            findings.add(finding(flaw, affected, &components)?)?;
        }
    }
    report.findings = findings.list;
    Ok(report)
}

/// Of 1.4 a list, from 1.5 on components.
fn scanner(tools: &Value) -> Scanner {
    let tool = if tools.is_array() { &tools[0] } else { &tools["components"][0] };
    let vendors = [&tool["vendor"], &tool["author"], &tool["group"], &tool["publisher"]].map(word);
    Scanner {
        name: word(&tool["name"]),
        vendor: vendors.into_iter().find(|vendor| !vendor.is_empty()).unwrap_or_default(),
        version: word(&tool["version"]),
    }
}

fn collect<'a>(component: &'a Value, depth: usize, found: &mut HashMap<&'a str, &'a Value>) {
    if let Some(name) = component["bom-ref"].as_str() {
        found.insert(name, component);
    }
    if depth > 0 {
        for inner in component["components"].as_array().into_iter().flatten() {
            collect(inner, depth - 1, found);
        }
    }
}

fn finding(flaw: &Value, affected: &Value, components: &HashMap<&str, &Value>) -> Result<Finding, ReportError> {
    let target = required(affected, "ref")?;
    // `urn:cdx:SERIAL/VERSION#REF` names a component of another document.
    let name =
        target.rsplit_once('#').filter(|_| target.starts_with("urn:cdx:")).map_or(target.as_str(), |(_, name)| name);
    let component = components.get(name).copied().unwrap_or(&Value::Null);
    let property = |wanted: &[&str]| {
        let properties = component["properties"].as_array().into_iter().flatten().take(PROPERTIES_MAX);
        let found = properties.filter(|property| wanted.iter().any(|name| property["name"] == *name));
        found.map(|property| property["value"].clone()).next().unwrap_or_default()
    };
    let purl = word(&component["purl"]);
    let purl = if purl.is_empty() && name.starts_with("pkg:") { name.to_owned() } else { purl };
    let kind = purl.strip_prefix("pkg:").and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let (name_of_component, group) = (word(&component["name"]), word(&component["group"]));
    let package = if group.is_empty() { name_of_component } else { format!("{group}/{name_of_component}") };
    let related = list(flaw, "references")?.iter().map(|reference| word(&reference["id"]));
    let id = required(flaw, "id")?;
    let mut finding = Finding {
        aliases: related.filter(|alias| !alias.is_empty() && *alias != id).collect(),
        id,
        title: text(&flaw["description"]).lines().next().unwrap_or_default().chars().take(200).collect(),
        description: [&flaw["description"], &flaw["detail"]].map(text).join("\n").trim().to_owned(),
        references: references(
            [&flaw["source"]["url"]].into_iter().chain(list(flaw, "advisories")?.iter().map(|it| &it["url"])),
        ),
        package: if package.is_empty() { name.to_owned() } else { package },
        version: version(affected, component),
        fixed_version: list(affected, "versions")?
            .iter()
            .find(|version| version["status"] == "unaffected")
            .map(|version| word(&version["version"]))
            .filter(|version| !version.is_empty()),
        manager: manager(kind),
        path: path(&property(&["aquasecurity:trivy:FilePath", "syft:location:0:path", "cove:path"])),
        layer: word(&property(&["aquasecurity:trivy:LayerDigest", "syft:location:0:layerID", "cove:layer"])),
        remediation: text(&flaw["recommendation"]),
        published: word(&flaw["published"]),
        modified: word(&flaw["updated"]),
        purl,
        ..Finding::default()
    };
    for rated in list(flaw, "ratings")? {
        finding.severity = finding.severity.max(Severity::from_word(&word(&rated["severity"])));
        if rated["method"].as_str().is_none_or(|method| method.starts_with("CVSS")) {
            finding.cvss.extend(rating(&rated["vector"], &rated["score"], &word(&rated["source"]["name"])));
        }
    }
    rate(&mut finding);
    Ok(finding)
}

fn version(affected: &Value, component: &Value) -> String {
    let own = word(&component["version"]);
    let told = affected["versions"].as_array().into_iter().flatten();
    let told = told.filter(|version| version["status"].as_str().is_none_or(|status| status == "affected"));
    if own.is_empty() { told.map(|version| word(&version["version"])).next().unwrap_or_default() } else { own }
}
