//! Which of two versions is newer, as each ecosystem says.
//!
//! Holds: any two texts compare, in time linear in their length and without a panic; what an ecosystem calls no version
//! has a fixed place too. Numbers may have any number of digits. Maven's own order has cycles among odd versions; all
//! others are total preorders.

mod alpine;
mod cran;
mod debian;
mod maven;
mod nuget;
mod packagist;
mod pypi;
mod redhat;
mod rubygems;
mod semver;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;

/// Longest version that is looked at; the rest of a longer one is ignored. The longest honest ones are Go's, below 100.
const VERSION_MAX_BYTES: usize = 1024;

/// An order of versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VersionOrder {
    Alpine,
    Cran,
    Debian,
    Maven,
    NuGet,
    Packagist,
    PyPi,
    RedHat,
    RubyGems,
    /// Of npm, crates.io, Go, Hex, Pub, SwiftURL and all ranges of type SEMVER.
    SemVer,
}

impl VersionOrder {
    /// The order that an OSV ecosystem uses, whatever its release. Nothing for those whose order is not known here.
    #[must_use]
    pub fn of_ecosystem(ecosystem: &str) -> Option<Self> {
        let base = ecosystem.split(':').next().unwrap_or_default();
        Some(match base {
            "Alpine" | "Wolfi" | "Chainguard" | "MinimOS" => Self::Alpine,
            "CRAN" => Self::Cran,
            "Debian" | "Ubuntu" | "Echo" => Self::Debian,
            "Maven" => Self::Maven,
            "NuGet" => Self::NuGet,
            "Packagist" => Self::Packagist,
            "PyPI" => Self::PyPi,
            "Red Hat" | "AlmaLinux" | "Rocky Linux" | "SUSE" | "openSUSE" | "Mageia" | "openEuler" | "Photon OS"
            | "Amazon Linux" | "Oracle Linux" | "Azure Linux" | "Fedora" => Self::RedHat,
            "RubyGems" => Self::RubyGems,
            "npm" | "crates.io" | "Go" | "Hex" | "Pub" | "SwiftURL" | "GitHub Actions" | "Bitnami" => Self::SemVer,
            _ => return None,
        })
    }

    /// Compares two versions.
    #[must_use]
    pub fn compare(self, one: &str, other: &str) -> Ordering {
        let (one, other) = (bounded(one), bounded(other));
        match self {
            Self::Alpine => alpine::compare(one, other),
            Self::Cran => cran::compare(one, other),
            Self::Debian => debian::compare(one, other),
            Self::Maven => maven::compare(one, other),
            Self::NuGet => nuget::compare(one, other),
            Self::Packagist => packagist::compare(one, other),
            Self::PyPi => pypi::compare(one, other),
            Self::RedHat => redhat::compare(one, other),
            Self::RubyGems => rubygems::compare(one, other),
            Self::SemVer => semver::compare(one, other),
        }
    }
}

fn bounded(version: &str) -> &str {
    let version = version.trim();
    version.get(..version.floor_char_boundary(VERSION_MAX_BYTES)).unwrap_or_default()
}

/// Numbers as text, of any length.
fn numbers(one: &str, other: &str) -> Ordering {
    let (one, other) = (one.trim_start_matches('0'), other.trim_start_matches('0'));
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

/// Splits off the digits at the front.
fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// Splits off the ASCII letters at the front.
fn letters(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_alphabetic).count())
}

/// Compares item by item; what is missing of the shorter one is `missing`.
fn padded<T: Copy>(one: &[T], other: &[T], missing: T, compare: fn(T, T) -> Ordering) -> Ordering {
    for at in 0..one.len().max(other.len()) {
        let order = compare(one.get(at).copied().unwrap_or(missing), other.get(at).copied().unwrap_or(missing));
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}
