//! SARIF 2.1: results that point to rules. Scanners of images put the package into the message's lines.

use std::collections::HashMap;

use serde_json::Value;

use super::{Findings, ReportError, first_of, list, path, references, text, word};
use crate::finding::{Finding, FindingKind, Report, Scanner};
use crate::severity::{Score, Severity};

pub(super) fn read(document: &Value) -> Result<Report, ReportError> {
    if !word(&document["version"]).starts_with("2.1") {
        return Err(ReportError::Field("version"));
    }
    let (mut report, mut findings) = (Report::default(), Findings::default());
    let runs = document["runs"].as_array().ok_or(ReportError::Field("runs"))?;
    for run in runs {
        if list(run, "invocations")?.iter().any(|invocation| invocation["executionSuccessful"] == false) {
            return Err(ReportError::Failed);
        }
        // The schema: null says that the run did not produce results, as opposed to none being found.
        let results = run["results"].as_array().ok_or(ReportError::Failed)?;
        let driver = &run["tool"]["driver"];
        let version = [&driver["version"], &driver["semanticVersion"]].map(word);
        report.scanner = Scanner {
            name: word(&driver["name"]),
            vendor: word(&driver["organization"]),
            version: version.into_iter().find(|version| !version.is_empty()).unwrap_or_default(),
        };
        let rules = Rules::of(list(driver, "rules")?);
        for result in results {
            if counts(result)? {
                findings.add(finding(result, &rules)?)?;
            }
        }
    }
    report.findings = findings.list;
    if runs.is_empty() { Err(ReportError::Failed) } else { Ok(report) }
}

struct Rules<'a> {
    list: &'a [Value],
    by_id: HashMap<&'a str, &'a Value>,
}

impl<'a> Rules<'a> {
    fn of(list: &'a [Value]) -> Self {
        let by_id = list.iter().filter_map(|rule| Some((rule["id"].as_str()?, rule))).collect();
        Self { list, by_id }
    }
}

/// Passed checks and what somebody chose to accept are listed too.
fn counts(result: &Value) -> Result<bool, ReportError> {
    let failed = result["kind"].as_str().is_none_or(|kind| matches!(kind, "fail" | "open" | "review"));
    let accepted = |suppression: &Value| suppression["status"].as_str().is_none_or(|status| status == "accepted");
    Ok(failed && !list(result, "suppressions")?.iter().any(accepted))
}

fn finding(result: &Value, rules: &Rules) -> Result<Finding, ReportError> {
    let index = result["ruleIndex"].as_u64().or_else(|| result["rule"]["index"].as_u64());
    let index = index.and_then(|index| usize::try_from(index).ok());
    let own = [&result["ruleId"], &result["rule"]["id"]].map(word).into_iter().find(|id| !id.is_empty());
    let rule = index.and_then(|index| rules.list.get(index));
    let rule = rule.or_else(|| rules.by_id.get(own.as_deref()?).copied()).unwrap_or(&Value::Null);
    let id = own.or_else(|| Some(word(&rule["id"])).filter(|id| !id.is_empty())).ok_or(ReportError::Field("ruleId"))?;
    let message = text(&result["message"]["text"]);
    let told = |name: &str| {
        message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(|value| value.trim().to_owned())
    };
    let number = |value: &Value| value.as_f64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
    let score = number(&rule["properties"]["security-severity"]).and_then(Score::from_f64);
    let place = &list(result, "locations")?.first().unwrap_or(&Value::Null)["physicalLocation"];
    let kind = kind(&id, &rule["properties"]["tags"]);
    let descriptions = [&rule["fullDescription"]["text"], &rule["help"]["text"]].map(text);
    let description = descriptions.into_iter().find(|text| !text.is_empty()).unwrap_or_else(|| message.clone());
    Ok(Finding {
        kind,
        severity: told("Severity")
            .map(|word| Severity::from_word(&word))
            .unwrap_or_default()
            .max(rated(result, rule, score)),
        score,
        title: text(&rule["shortDescription"]["text"]),
        // What a secret's message quotes may be the secret.
        description: if kind == FindingKind::Secret { text(&rule["shortDescription"]["text"]) } else { description },
        references: references([&rule["helpUri"]].into_iter()),
        package: told("Package").unwrap_or_default(),
        version: told("Installed Version").unwrap_or_default(),
        fixed_version: told("Fixed Version").and_then(|versions| first_of(&versions)),
        path: path(&place["artifactLocation"]["uri"]),
        line: place["region"]["startLine"].as_u64().and_then(|line| u32::try_from(line).ok()).unwrap_or_default(),
        id,
        ..Finding::default()
    })
}

fn rated(result: &Value, rule: &Value, score: Option<Score>) -> Severity {
    if let Some(score) = score {
        return score.severity();
    }
    let level = result["level"].as_str().or_else(|| rule["defaultConfiguration"]["level"].as_str());
    match level.unwrap_or("warning") {
        "error" => Severity::High,
        "warning" => Severity::Medium,
        "note" => Severity::Low,
        "none" => Severity::Informational,
        _ => Severity::Undefined,
    }
}

fn kind(id: &str, tags: &Value) -> FindingKind {
    let tagged = |wanted: &str| tags.as_array().into_iter().flatten().any(|tag| tag.as_str() == Some(wanted));
    let advisory = ["CVE-", "GHSA-", "DSA-", "DLA-", "RHSA-", "ALAS", "PYSEC-", "RUSTSEC-", "GO-", "TEMP-", "ELSA-"];
    if tagged("vulnerability") || advisory.iter().any(|prefix| id.starts_with(prefix)) {
        FindingKind::Vulnerability
    } else if tagged("secret") {
        FindingKind::Secret
    } else {
        FindingKind::Misconfiguration
    }
}
