//! Reports of other scanners, as ours.
//!
//! In: JSON of Trivy, Grype, SARIF 2.1, CycloneDX with vulnerabilities, or Harbor's report. Out: a [`Report`].
//!
//! Holds: what is none of these, or says that its scan failed, is an error; so is an inventory without vulnerabilities,
//! which looks like a clean report and is none. Texts are cut at named limits; the secrets that scanners quote are dropped.

mod cyclonedx;
mod grype;
mod harbor;
mod sarif;
#[cfg(test)]
mod tests;
mod trivy;

use serde_json::Value;

use crate::cvss;
use crate::finding::{Cvss, Finding, Report};
use crate::severity::{Score, Severity};

/// The reports of the largest images have some ten MiB.
pub const REPORT_MAX_BYTES: usize = 64 << 20;
/// Findings of one report.
const FINDINGS_MAX: usize = 50_000;
/// Items of one list.
const ITEMS_MAX: usize = 200_000;
/// Texts of all findings: one description may stand for many.
const TEXTS_MAX_BYTES: usize = 256 << 20;
/// A name, version, id or path.
const WORD_MAX_CHARS: usize = 1024;
/// A description.
const TEXT_MAX_CHARS: usize = 8192;
const REFERENCES_MAX: usize = 64;

/// Why a report cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error("the report is larger than {} MiB", REPORT_MAX_BYTES >> 20)]
    TooLarge,
    #[error("the report is no JSON")]
    Json(#[from] serde_json::Error),
    #[error("the report is none of Trivy, Grype, SARIF 2.1, CycloneDX and Harbor")]
    Unknown,
    #[error("the report is an inventory without vulnerabilities: nothing was looked up")]
    Inventory,
    #[error("the report says that its scan failed")]
    Failed,
    #[error("`{0}` of the report is not what it should be")]
    Field(&'static str),
    #[error("the report has more than {FINDINGS_MAX} findings, or too much text")]
    TooMany,
}

/// Reads a report, whichever it is.
///
/// # Errors
/// When it is none of those known, damaged, too large, or not the report of a scan that succeeded.
pub fn read_report(bytes: &[u8]) -> Result<Report, ReportError> {
    if bytes.len() > REPORT_MAX_BYTES {
        return Err(ReportError::TooLarge);
    }
    let document: Value = serde_json::from_slice(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes))?;
    let has = |key: &str| document.get(key).is_some();
    let mut report = if has("SchemaVersion") {
        trivy::read(&document)?
    } else if has("matches") {
        grype::read(&document)?
    } else if has("runs") {
        sarif::read(&document)?
    } else if document["bomFormat"] == "CycloneDX" {
        cyclonedx::read(&document)?
    } else if has("vulnerabilities") && (has("scanner") || has("artifact") || has("generated_at")) {
        harbor::read(&document)?
    } else {
        return Err(ReportError::Unknown);
    };
    report.sort();
    Ok(report)
}

/// Findings as they are read.
#[derive(Default)]
struct Findings {
    list: Vec<Finding>,
    bytes: usize,
}

impl Findings {
    fn add(&mut self, finding: Finding) -> Result<(), ReportError> {
        let texts = [&finding.id, &finding.title, &finding.description, &finding.path, &finding.purl, &finding.package];
        let lists = finding.references.iter().chain(&finding.aliases).chain(finding.cvss.iter().map(|it| &it.vector));
        self.bytes += size_of::<Finding>() + texts.into_iter().chain(lists).map(String::len).sum::<usize>();
        if self.list.len() >= FINDINGS_MAX || self.bytes > TEXTS_MAX_BYTES {
            return Err(ReportError::TooMany);
        }
        self.list.push(finding);
        Ok(())
    }
}

/// A list that may be absent or null, but not something else.
fn list<'a>(value: &'a Value, name: &'static str) -> Result<&'a [Value], ReportError> {
    match &value[name] {
        Value::Null => Ok(&[]),
        Value::Array(items) if items.len() > ITEMS_MAX => Err(ReportError::TooMany),
        Value::Array(items) => Ok(items),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => Err(ReportError::Field(name)),
    }
}

/// An id or name without which a finding says nothing.
fn required(value: &Value, name: &'static str) -> Result<String, ReportError> {
    let found = word(&value[name]);
    if found.is_empty() { Err(ReportError::Field(name)) } else { Ok(found) }
}

fn word(value: &Value) -> String {
    cut(value, WORD_MAX_CHARS)
}

fn text(value: &Value) -> String {
    cut(value, TEXT_MAX_CHARS)
}

fn cut(value: &Value, max_chars: usize) -> String {
    let text = value.as_str().unwrap_or_default();
    let end = if text.len() <= max_chars { None } else { text.char_indices().nth(max_chars) };
    end.map_or(text, |(end, _)| &text[..end]).to_owned()
}

/// A path without its leading slash.
fn path(value: &Value) -> String {
    word(value).trim_start_matches('/').to_owned()
}

/// A first version of several.
fn first_of(versions: &str) -> Option<String> {
    versions.split(',').map(str::trim).find(|version| !version.is_empty()).map(str::to_owned)
}

fn references<'a>(values: impl Iterator<Item = &'a Value>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for reference in values.map(word).filter(|reference| !reference.is_empty()) {
        if !found.contains(&reference) && found.len() < REFERENCES_MAX {
            found.push(reference);
        }
    }
    found
}

/// A rating, with the score that its vector gives where the report has none.
fn rating(vector: &Value, score: &Value, source: &str) -> Option<Cvss> {
    let vector = word(vector);
    let computed = cvss::score(&vector);
    let score = score.as_f64().and_then(Score::from_f64).or(computed.map(|(_, score)| score));
    let version = computed.map_or_else(
        || vector.strip_prefix("CVSS:").and_then(|rest| rest.split('/').next()).unwrap_or_default(),
        |(version, _)| version,
    );
    (score.is_some() || !vector.is_empty()).then(|| Cvss {
        version: version.to_owned(),
        source: source.to_owned(),
        vector: vector.clone(),
        score,
    })
}

/// Orders the ratings, and takes the score and, where the report has no word for it, the severity from the first.
fn rate(finding: &mut Finding) {
    finding.cvss.sort_by(|one, other| {
        (&other.version, &one.source, &one.vector).cmp(&(&one.version, &other.source, &other.vector))
    });
    finding.cvss.dedup();
    finding.score = finding.score.or_else(|| finding.cvss.iter().find_map(|rating| rating.score));
    if finding.severity == Severity::Undefined {
        finding.severity = finding.score.map_or(Severity::Undefined, Score::severity);
    }
}

/// The word of Amazon Inspector for what scanners call the type of a package.
fn manager(kind: &str) -> String {
    let known = match kind.to_ascii_lowercase().as_str() {
        "deb" | "rpm" | "apk" | "alpm" | "debian" | "ubuntu" | "alpine" | "redhat" | "centos" | "rocky" | "alma"
        | "amazon" | "oracle" | "fedora" | "wolfi" | "chainguard" | "photon" | "azurelinux" | "cbl-mariner"
        | "suse" | "sles" | "opensuse" | "opensuse.leap" | "opensuse-leap" => "OS",
        "python" | "python-pkg" | "pip" | "pipenv" | "poetry" | "uv" | "pypi" => "PYTHONPKG",
        "npm" | "node-pkg" | "yarn" | "pnpm" => "NPM",
        "go-module" | "gobinary" | "gomod" | "golang" => "GOMOD",
        "rust-crate" | "rustbinary" | "cargo" => "CARGO",
        "gem" | "gemspec" | "bundler" => "BUNDLER",
        "java-archive" | "jar" | "pom" | "gradle" | "maven" => "JAR",
        "php-composer" | "composer" | "composer-vendor" => "COMPOSER",
        "dotnet" | "nuget" | "dotnet-core" => "NUGET",
        _ => return kind.to_ascii_uppercase(),
    };
    known.to_owned()
}
