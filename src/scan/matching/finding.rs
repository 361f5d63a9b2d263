//! What an advisory says of a package, as a finding.

use crate::cvss;
use crate::finding::{Cvss, Finding, FindingKind};
use crate::osv::{Advisory, Statement};
use crate::package::Package;
use crate::severity::{Score, Severity};

/// The longest title: where an advisory has no summary, the beginning of what it says.
const TITLE_MAX_CHARS: usize = 200;

pub(super) fn of(package: &Package, advisory: &Advisory, statement: &Statement, fixed: Option<String>) -> Finding {
    let vectors = if statement.vectors.is_empty() { &advisory.vectors } else { &statement.vectors };
    let mut ratings: Vec<Cvss> = vectors.iter().filter_map(|vector| rating(vector)).collect();
    ratings.sort_by(|one, other| other.version.cmp(&one.version));
    // By the newest version of CVSS that it has been rated with; else the database's own word.
    let score = ratings.first().and_then(|rating| rating.score);
    let words = [&statement.word, &advisory.word].map(|word| Severity::from_word(word));
    let by_word = words.into_iter().find(|severity| *severity != Severity::Undefined).unwrap_or_default();
    let id = name(advisory);
    let mut aliases: Vec<String> =
        advisory.aliases.iter().chain([&advisory.id]).filter(|alias| **alias != id).cloned().collect();
    aliases.sort();
    aliases.dedup();
    Finding {
        kind: FindingKind::Vulnerability,
        id,
        aliases,
        severity: score.map_or(by_word, Score::severity),
        score,
        cvss: ratings,
        title: title(advisory, &package.name),
        description: if advisory.details.is_empty() { &advisory.summary } else { &advisory.details }.clone(),
        references: advisory.references.clone(),
        package: package.name.clone(),
        version: package.version.clone(),
        fixed_version: fixed,
        arch: package.arch.clone().unwrap_or_default(),
        manager: package.manager.inspector_name().to_owned(),
        purl: package.purl.clone(),
        path: package.path.clone(),
        layer: package.layer.clone(),
        published: advisory.published.clone(),
        modified: advisory.modified.clone(),
        ..Finding::default()
    }
}

fn rating(vector: &str) -> Option<Cvss> {
    let (version, score) = cvss::score(vector)?;
    Some(Cvss { version: version.to_owned(), vector: vector.to_owned(), score: Some(score), source: String::new() })
}

/// The CVE when it is about one; else GitHub's name; else its own.
fn name(advisory: &Advisory) -> String {
    let names = || advisory.aliases.iter().chain([&advisory.id]);
    let mut cves = names().filter(|name| name.starts_with("CVE-"));
    match (cves.next(), cves.next()) {
        (Some(cve), None) => cve.clone(),
        (Some(_), Some(_)) => advisory.id.clone(),
        (None, _) => names().find(|name| name.starts_with("GHSA-")).unwrap_or(&advisory.id).clone(),
    }
}

fn title(advisory: &Advisory, package: &str) -> String {
    if !advisory.summary.is_empty() {
        return advisory.summary.chars().take(TITLE_MAX_CHARS).collect();
    }
    let first = advisory.details.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    if first.is_empty() {
        format!("{} in {package}", advisory.id)
    } else {
        first.chars().take(TITLE_MAX_CHARS).collect()
    }
}

/// Adds what another advisory says of the same flaw.
pub(super) fn merge(known: &mut Finding, other: Finding) {
    known.aliases.extend(other.aliases.into_iter().filter(|alias| *alias != known.id));
    known.aliases.sort();
    known.aliases.dedup();
    if other.score.is_some() && (known.score.is_none() || other.severity > known.severity) {
        (known.score, known.severity) = (other.score, other.severity);
    } else if known.score.is_none() && other.severity > known.severity {
        known.severity = other.severity;
    }
    known.cvss.extend(other.cvss);
    known.cvss.sort_by(|one, other| (&other.version, &one.vector).cmp(&(&one.version, &other.vector)));
    known.cvss.dedup();
    let fresh = other.references.into_iter().filter(|reference| !known.references.contains(reference));
    let fresh: Vec<String> = fresh.collect();
    known.references.extend(fresh);
    if known.fixed_version.is_none() {
        known.fixed_version = other.fixed_version;
    }
    if known.description.len() < other.description.len() {
        (known.title, known.description) = (other.title, other.description);
    }
}
