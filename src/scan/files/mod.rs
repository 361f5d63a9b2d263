//! Which files of an image name packages, and what each says.
//!
//! One row a format: its name, the largest file that is read, its reader. A reader is a plain function of bytes; what it
//! cannot read it refuses with a reason.

mod apk;
mod dotnet;
mod dpkg;
mod executable;
mod go;
mod java;
mod npm;
mod os_release;
mod php;
mod python;
mod rpm;
mod ruby;
mod rust;
#[cfg(test)]
mod tests;

use std::io::{self, Read};

use crate::package::{Distribution, Manager, SourcePackage};

pub(crate) use os_release::parse as os_release;

/// A package as a file names it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Raw {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) source: Option<SourcePackage>,
    pub(crate) arch: Option<String>,
}

/// Why a file says nothing.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The layer ends within it.
    Read(io::Error),
    Broken(&'static str),
}

type Parsed = Result<Vec<Raw>, &'static str>;

/// What a file is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    OsRelease,
    /// Read whole.
    Listing(&'static Listing),
    Jar,
    Executable,
}

#[derive(Debug)]
pub(crate) struct Listing {
    name: Name,
    max_mib: u64,
    manager: Manager,
    parse: fn(&[u8]) -> Parsed,
}

impl PartialEq for Listing {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Listing {}

/// How a file is told.
#[derive(Debug)]
enum Name {
    /// The whole path.
    Path(&'static str),
    /// The last component.
    File(&'static str),
    /// Anything else.
    Test(fn(&str) -> bool),
}

const fn row(name: Name, max_mib: u64, manager: Manager, parse: fn(&[u8]) -> Parsed) -> Listing {
    Listing { name, max_mib, manager, parse }
}

const LISTINGS: &[Listing] = &[
    row(Name::Path("var/lib/dpkg/status"), 64, Manager::Dpkg, dpkg::parse),
    row(Name::Test(dpkg::is_fragment), 4, Manager::Dpkg, dpkg::parse),
    row(Name::Path("lib/apk/db/installed"), 64, Manager::Apk, apk::parse),
    row(Name::Path("usr/lib/apk/db/installed"), 64, Manager::Apk, apk::parse),
    row(Name::Test(rpm::is_database), 256, Manager::Rpm, rpm::parse),
    row(Name::Test(rpm::is_log), 64, Manager::Rpm, rpm::parse_log),
    row(Name::Test(python::is_metadata), 4, Manager::Pip, python::parse_metadata),
    row(Name::File("requirements.txt"), 4, Manager::Pip, python::parse_requirements),
    row(Name::File("Pipfile.lock"), 16, Manager::Pip, python::parse_pipfile_lock),
    row(Name::File("poetry.lock"), 16, Manager::Pip, python::parse_toml_lock),
    row(Name::File("uv.lock"), 16, Manager::Pip, python::parse_toml_lock),
    row(Name::File("package-lock.json"), 64, Manager::Npm, npm::parse_package_lock),
    row(Name::File(".package-lock.json"), 64, Manager::Npm, npm::parse_package_lock),
    row(Name::File("npm-shrinkwrap.json"), 64, Manager::Npm, npm::parse_package_lock),
    row(Name::File("yarn.lock"), 64, Manager::Npm, npm::parse_yarn_lock),
    row(Name::File("pnpm-lock.yaml"), 64, Manager::Npm, npm::parse_pnpm_lock),
    row(Name::Test(npm::is_installed), 4, Manager::Npm, npm::parse_package_json),
    row(Name::File("Cargo.lock"), 16, Manager::Cargo, rust::parse_lock),
    row(Name::File("Gemfile.lock"), 16, Manager::Gem, ruby::parse_lock),
    row(Name::Test(ruby::is_specification), 1, Manager::Gem, ruby::parse_specification),
    row(Name::File("composer.lock"), 64, Manager::Composer, php::parse),
    row(Name::Test(php::is_installed), 64, Manager::Composer, php::parse),
    row(Name::File("packages.lock.json"), 64, Manager::NuGet, dotnet::parse_lock),
    row(Name::Test(dotnet::is_deps), 64, Manager::NuGet, dotnet::parse_deps),
];

/// Archives of Java are read into memory, for their index is at the end.
const JAR_MAX_MIB: u64 = 128;
const OS_RELEASE_MAX_MIB: u64 = 1;
/// Executables are read as they come, but see [`executable`].
const EXECUTABLE_MAX_MIB: u64 = 4096;

impl Kind {
    pub(crate) const fn max_bytes(self) -> u64 {
        let mib = match self {
            Self::OsRelease => OS_RELEASE_MAX_MIB,
            Self::Listing(listing) => listing.max_mib,
            Self::Jar => JAR_MAX_MIB,
            Self::Executable => EXECUTABLE_MAX_MIB,
        };
        mib << 20
    }
}

/// What a file is, if it is of interest. `path` has no leading slash.
pub(crate) fn wanted(path: &str, executable: bool) -> Option<Kind> {
    let file = path.rsplit('/').next().unwrap_or(path);
    if matches!(path, "etc/os-release" | "usr/lib/os-release") {
        return Some(Kind::OsRelease);
    }
    let listing = LISTINGS.iter().find(|listing| match listing.name {
        Name::Path(name) => name == path,
        Name::File(name) => name == file,
        Name::Test(test) => test(path),
    });
    if let Some(listing) = listing {
        return Some(Kind::Listing(listing));
    }
    match file.rsplit_once('.').map(|(_, extension)| extension) {
        Some("jar" | "war" | "ear" | "par") => Some(Kind::Jar),
        Some(_) | None => executable.then_some(Kind::Executable),
    }
}

/// What a file says: packages by manager.
pub(crate) fn read(
    kind: Kind,
    path: &str,
    size: u64,
    content: &mut dyn Read,
) -> Result<Vec<(Manager, Vec<Raw>)>, Fault> {
    match kind {
        Kind::OsRelease => Ok(Vec::new()),
        Kind::Listing(listing) => {
            let packages = (listing.parse)(&whole(kind, content)?).map_err(Fault::Broken)?;
            Ok(vec![(listing.manager, packages)])
        }
        Kind::Jar => {
            let packages = java::parse(path, &whole(kind, content)?).map_err(Fault::Broken)?;
            Ok(vec![(Manager::Maven, packages)])
        }
        Kind::Executable => executable::read(size, content),
    }
}

fn whole(kind: Kind, content: &mut dyn Read) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    content.take(kind.max_bytes()).read_to_end(&mut bytes).map_err(Fault::Read)?;
    Ok(bytes)
}

impl Raw {
    fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self { name: name.into(), version: version.into(), source: None, arch: None }
    }
}

fn text(bytes: &[u8]) -> Result<&str, &'static str> {
    std::str::from_utf8(bytes).map_err(|_| "it is no UTF-8")
}

fn json(bytes: &[u8]) -> Result<serde_json::Value, &'static str> {
    serde_json::from_slice(bytes).map_err(|_| "it is no JSON")
}

/// What a distribution's packages are called in advisories and package URLs.
pub(crate) fn ecosystem(manager: Manager, distribution: Option<&Distribution>) -> String {
    match manager {
        Manager::Apk | Manager::Dpkg | Manager::Rpm => distribution.map(os_release::ecosystem).unwrap_or_default(),
        Manager::Cargo => "crates.io".to_owned(),
        Manager::Composer => "Packagist".to_owned(),
        Manager::Gem => "RubyGems".to_owned(),
        Manager::Go => "Go".to_owned(),
        Manager::Maven => "Maven".to_owned(),
        Manager::Npm => "npm".to_owned(),
        Manager::NuGet => "NuGet".to_owned(),
        Manager::Pip => "PyPI".to_owned(),
    }
}
