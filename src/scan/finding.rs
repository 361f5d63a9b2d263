//! What a scan found, in one form whoever scanned.

use serde::{Deserialize, Serialize};

use crate::package::{Distribution, Problem};
use crate::severity::{Score, Severity};

/// What kind of thing was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum FindingKind {
    /// A known flaw of a package.
    #[default]
    Vulnerability,
    /// A key or password that lies in the image.
    Secret,
    /// A setting that invites trouble.
    Misconfiguration,
}

/// One CVSS rating.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cvss {
    /// `2.0`, `3.0`, `3.1`, `4.0`.
    pub version: String,
    /// `CVSS:3.1/AV:N/…`
    pub vector: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<Score>,
    /// Who rated: `nvd`, `ghsa`, …; empty when unsaid.
    #[serde(default)]
    pub source: String,
}

/// One finding. Fields that do not apply to its kind are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub kind: FindingKind,
    /// `CVE-2023-1234` where there is one, else the advisory's or the rule's id.
    pub id: String,
    /// Other names of the same flaw, without `id`, in order.
    #[serde(default)]
    pub aliases: Vec<String>,
    pub severity: Severity,
    /// The score that the severity comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<Score>,
    #[serde(default)]
    pub cvss: Vec<Cvss>,
    /// One line.
    #[serde(default)]
    pub title: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub references: Vec<String>,
    /// Name of the package as it is installed.
    #[serde(default)]
    pub package: String,
    /// Installed version, whole.
    #[serde(default)]
    pub version: String,
    /// The first version without the flaw, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed_version: Option<String>,
    #[serde(default)]
    pub arch: String,
    /// As [`crate::Manager::inspector_name`] or as the scanner says.
    #[serde(default)]
    pub manager: String,
    #[serde(default)]
    pub purl: String,
    /// File within the image, without a leading slash.
    #[serde(default)]
    pub path: String,
    /// First line of that file which it is about; 0 when unsaid.
    #[serde(default)]
    pub line: u32,
    /// Digest of the layer.
    #[serde(default)]
    pub layer: String,
    /// What to do about it, as the scanner says.
    #[serde(default)]
    pub remediation: String,
    /// RFC 3339, as the advisory says.
    #[serde(default)]
    pub published: String,
    #[serde(default)]
    pub modified: String,
}

/// Who scanned.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scanner {
    pub name: String,
    pub vendor: String,
    pub version: String,
}

/// What a scan came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub scanner: Scanner,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<Distribution>,
    /// The worst first, then by package, version, id, path; none twice.
    pub findings: Vec<Finding>,
    /// What could not be looked at. Empty findings with problems are not "no findings".
    pub problems: Vec<Problem>,
}

impl Report {
    /// How many findings there are of each severity, in the order of [`Severity::ALL`].
    #[must_use]
    pub fn counts(&self) -> [usize; 6] {
        Severity::ALL.map(|severity| self.findings.iter().filter(|finding| finding.severity == severity).count())
    }

    /// Brings the findings into their order.
    pub(crate) fn sort(&mut self) {
        self.findings.sort_by(|one, other| key(one).cmp(&key(other)).then_with(|| other.score.cmp(&one.score)));
        self.findings.dedup_by(|one, other| key(one) == key(other));
        self.problems.sort();
        self.problems.dedup();
    }
}

fn key(finding: &Finding) -> (std::cmp::Reverse<Severity>, [&str; 5], u32) {
    let Finding { package, version, id, path, purl, .. } = finding;
    (std::cmp::Reverse(finding.severity), [package, version, id, path, purl], finding.line)
}
