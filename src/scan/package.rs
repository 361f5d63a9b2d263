//! What an image holds: packages, where each was found, and what could not be read.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::files::{self, Raw};

/// Who put a package there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Manager {
    Apk,
    Cargo,
    Composer,
    Dpkg,
    Gem,
    Go,
    Maven,
    Npm,
    NuGet,
    Pip,
    Rpm,
}

impl Manager {
    /// The type of a package URL.
    #[must_use]
    pub const fn purl_type(self) -> &'static str {
        match self {
            Self::Apk => "apk",
            Self::Cargo => "cargo",
            Self::Composer => "composer",
            Self::Dpkg => "deb",
            Self::Gem => "gem",
            Self::Go => "golang",
            Self::Maven => "maven",
            Self::Npm => "npm",
            Self::NuGet => "nuget",
            Self::Pip => "pypi",
            Self::Rpm => "rpm",
        }
    }

    /// The word that Amazon Inspector, and so ECR's enhanced findings, use.
    #[must_use]
    pub const fn inspector_name(self) -> &'static str {
        match self {
            Self::Apk | Self::Dpkg | Self::Rpm => "OS",
            Self::Cargo => "CARGO",
            Self::Composer => "COMPOSER",
            Self::Gem => "BUNDLER",
            Self::Go => "GOMOD",
            Self::Maven => "JAR",
            Self::Npm => "NPM",
            Self::NuGet => "NUGET",
            Self::Pip => "PYTHONPKG",
        }
    }
}

/// The package that a distribution built this one from; its advisories name that.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SourcePackage {
    pub name: String,
    pub version: String,
}

/// One installed or locked package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Package {
    pub manager: Manager,
    /// As its manager writes it; Maven's is `group:artifact`.
    pub name: String,
    /// Whole, as its manager orders it: with epoch and release where it has them.
    pub version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourcePackage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    /// OSV's name of the ecosystem, with the release where it has one: `PyPI`, `Debian:12`. Empty when no advisories can name it.
    pub ecosystem: String,
    /// The file that says so, without a leading slash.
    pub path: String,
    /// Digest of the layer that holds that file.
    pub layer: String,
    /// Package URL.
    pub purl: String,
}

/// What `os-release` says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    /// `debian`, `alpine`, `rhel`, …
    pub id: String,
    /// `12`, `3.19.1`, …; empty for rolling releases.
    pub version_id: String,
    /// For people.
    pub pretty_name: String,
    /// `bookworm`, …
    #[serde(default)]
    pub codename: String,
}

/// Something that was not understood: a report with problems is not a clean bill of health.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Problem {
    /// Where; empty when it is about all.
    pub path: String,
    pub text: String,
}

/// All that was found in an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<Distribution>,
    /// In order of manager, name, version, path; none twice.
    pub packages: Vec<Package>,
    pub problems: Vec<Problem>,
}

impl Package {
    /// What a file says, told with where that is.
    pub(crate) fn of(
        raw: &Raw,
        manager: Manager,
        distribution: Option<&Distribution>,
        path: &str,
        layer: &str,
    ) -> Self {
        let lower = raw.name.to_lowercase();
        let (namespace, name) = match manager {
            Manager::Apk | Manager::Dpkg | Manager::Rpm => {
                (distribution.map(|known| known.id.as_str()).unwrap_or_default(), raw.name.as_str())
            }
            Manager::Maven => raw.name.split_once(':').unwrap_or(("", &raw.name)),
            Manager::Npm | Manager::Go => raw.name.rsplit_once('/').unwrap_or(("", &raw.name)),
            Manager::Composer => lower.rsplit_once('/').unwrap_or(("", &lower)),
            Manager::Pip => ("", lower.as_str()),
            Manager::Cargo | Manager::Gem | Manager::NuGet => ("", raw.name.as_str()),
        };
        let name = if manager == Manager::Pip { name.replace('_', "-") } else { name.to_owned() };
        let release = match manager {
            Manager::Apk | Manager::Dpkg | Manager::Rpm => distribution,
            Manager::Cargo
            | Manager::Composer
            | Manager::Gem
            | Manager::Go
            | Manager::Maven
            | Manager::Npm
            | Manager::NuGet
            | Manager::Pip => None,
        };
        let release = release.map(|known| format!("{}-{}", known.id, known.version_id)).unwrap_or_default();
        let qualifiers = [("arch", raw.arch.as_deref().unwrap_or_default()), ("distro", release.as_str())];
        Self {
            manager,
            ecosystem: files::ecosystem(manager, distribution),
            purl: purl(manager, namespace, &name, &raw.version, &qualifiers),
            name: raw.name.clone(),
            version: raw.version.clone(),
            source: raw.source.clone(),
            arch: raw.arch.clone(),
            path: path.to_owned(),
            layer: layer.to_owned(),
        }
    }
}

/// A package URL. `namespace` may hold slashes; qualifiers are given in order of their keys.
pub(crate) fn purl(
    manager: Manager,
    namespace: &str,
    name: &str,
    version: &str,
    qualifiers: &[(&str, &str)],
) -> String {
    let mut text = format!("pkg:{}", manager.purl_type());
    for part in namespace.split('/').chain([name]).filter(|part| !part.is_empty()) {
        text.push('/');
        push_encoded(&mut text, part);
    }
    if !version.is_empty() {
        text.push('@');
        push_encoded(&mut text, version);
    }
    let mut sign = '?';
    for (key, value) in qualifiers.iter().filter(|(_, value)| !value.is_empty()) {
        text.push(sign);
        text.push_str(key);
        text.push('=');
        push_encoded(&mut text, value);
        sign = '&';
    }
    text
}

fn push_encoded(text: &mut String, part: &str) {
    for &byte in part.as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_urls_are_encoded_as_their_specification_says() {
        let deb = purl(Manager::Dpkg, "debian", "libc6", "1:2.36-9+deb12u4", &[("arch", "amd64"), ("distro", "")]);
        assert_eq!(deb, "pkg:deb/debian/libc6@1:2.36-9%2Bdeb12u4?arch=amd64");
        assert_eq!(purl(Manager::Npm, "@angular", "core", "1.0", &[]), "pkg:npm/%40angular/core@1.0");
        assert_eq!(purl(Manager::Go, "github.com/a", "b", "v1", &[]), "pkg:golang/github.com/a/b@v1");
    }
}
