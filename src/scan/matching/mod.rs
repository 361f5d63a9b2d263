//! Packages against advisories.
//!
//! In: an [`Inventory`], a [`Database`]. Out: a [`Report`].
//!
//! Holds: a package that could not be looked up (no advisories of its ecosystem, no order of its versions) is a
//! [`Problem`], never a package without findings. Two advisories about one flaw of one package are one finding.

mod affected;
mod finding;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::database::{Database, DatabaseError};
use crate::finding::{Finding, Report, Scanner};
use crate::package::{Inventory, Manager, Package, Problem};
use crate::version::VersionOrder;

/// Findings of one image: beyond, nobody reads them.
const FINDINGS_MAX: usize = 50_000;

/// Looks up every package.
///
/// # Errors
/// When the database cannot be read.
pub fn scan(inventory: &Inventory, database: &Database) -> Result<Report, DatabaseError> {
    let mut problems = inventory.problems.clone();
    let mut wanted: BTreeMap<String, Vec<&Package>> = BTreeMap::new();
    let mut unknown: BTreeMap<&str, usize> = BTreeMap::new();
    for package in inventory.packages.iter().filter(|package| !package.ecosystem.is_empty()) {
        let base = package.ecosystem.split(':').next().unwrap_or_default();
        if VersionOrder::of_ecosystem(base).is_none() || !database.info().ecosystems.contains_key(base) {
            *unknown.entry(base).or_default() += 1;
            continue;
        }
        wanted.entry(crate::database::key(&package.ecosystem, looked_up(package).0)).or_default().push(package);
    }
    for (ecosystem, count) in unknown {
        let text = format!("{count} packages not looked up: no advisories of {ecosystem} were imported");
        problems.push(Problem { path: String::new(), text });
    }
    let keys: Vec<String> = wanted.keys().cloned().collect();
    let mut findings: BTreeMap<[String; 4], Finding> = BTreeMap::new();
    let mut full = false;
    database.read(&keys, |key, advisory, statement| {
        for package in wanted.get(key).into_iter().flatten() {
            let Some(fixed) = affected::fixed(&statement, &package.ecosystem, looked_up(package).1) else { continue };
            let found = finding::of(package, &advisory, &statement, fixed);
            let key = [&found.package, &found.version, &found.path, &found.id].map(Clone::clone);
            full |= findings.len() >= FINDINGS_MAX;
            match findings.get_mut(&key) {
                Some(known) => finding::merge(known, found),
                None if full => {}
                None => drop(findings.insert(key, found)),
            }
        }
    })?;
    if full {
        problems.push(Problem { path: String::new(), text: format!("more than {FINDINGS_MAX} findings") });
    }
    let scanner =
        Scanner { name: "Cove".to_owned(), vendor: "Cove".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let findings = findings.into_values().collect();
    let mut report = Report { scanner, distribution: inventory.distribution.clone(), findings, problems };
    report.sort();
    Ok(report)
}

#[cfg(test)]
pub(crate) fn affects(statement: &crate::osv::Statement, ecosystem: &str, version: &str) -> bool {
    affected::fixed(statement, ecosystem, version).is_some()
}

/// Name and version that advisories speak of: Debian's, Ubuntu's and Alpine's of the source package.
fn looked_up(package: &Package) -> (&str, &str) {
    match (&package.source, package.manager) {
        (Some(source), Manager::Dpkg | Manager::Apk) => (&source.name, &source.version),
        _ => (&package.name, &package.version),
    }
}

/// Ecosystems of the packages, without release: what a scan needs advisories of.
#[must_use]
pub fn ecosystems(inventory: &Inventory) -> BTreeSet<&str> {
    let names = inventory.packages.iter().filter_map(|package| package.ecosystem.split(':').next());
    names.filter(|name| !name.is_empty()).collect()
}
