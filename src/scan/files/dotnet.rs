//! .NET: NuGet's lock file, and the dependencies of published programs.

use super::{Parsed, Raw, json};

pub(super) fn is_deps(path: &str) -> bool {
    path.ends_with(".deps.json")
}

pub(super) fn parse_lock(bytes: &[u8]) -> Parsed {
    let lock = json(bytes)?;
    let frameworks = lock["dependencies"].as_object().into_iter().flatten();
    let packages = frameworks.filter_map(|(_, packages)| packages.as_object()).flatten();
    Ok(packages.filter_map(|(name, package)| Some(Raw::new(name, package["resolved"].as_str()?))).collect())
}

/// `"libraries": {"NAME/VERSION": {"type": "package"}}`
pub(super) fn parse_deps(bytes: &[u8]) -> Parsed {
    let deps = json(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes))?;
    let libraries = deps["libraries"].as_object().into_iter().flatten();
    let packages = libraries.filter(|(_, library)| library["type"].as_str() == Some("package"));
    Ok(packages.filter_map(|(key, _)| key.split_once('/').map(|(name, version)| Raw::new(name, version))).collect())
}
