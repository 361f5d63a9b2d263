//! Node: lock files of npm, yarn and pnpm, and installed packages.

use serde_json::Value;

use super::{Parsed, Raw, json, text};

/// Dependencies within dependencies, in the first version of npm's lock file.
const DEPTH_MAX: usize = 64;

/// `…/node_modules/NAME/package.json`, `…/node_modules/@SCOPE/NAME/package.json`.
pub(super) fn is_installed(path: &str) -> bool {
    let mut parts = path.rsplit('/');
    if parts.next() != Some("package.json") || parts.next().is_none() {
        return false;
    }
    match parts.next() {
        Some("node_modules") => true,
        Some(scope) if scope.starts_with('@') => parts.next() == Some("node_modules"),
        Some(_) | None => false,
    }
}

/// Private ones, and the stubs that some packages carry, have no name or version.
pub(super) fn parse_package_json(bytes: &[u8]) -> Parsed {
    let package = json(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes))?;
    let found = package["name"].as_str().zip(package["version"].as_str());
    Ok(found.map(|(name, version)| Raw::new(name, version)).into_iter().collect())
}

pub(super) fn parse_package_lock(bytes: &[u8]) -> Parsed {
    let lock = json(bytes)?;
    let mut found = Vec::new();
    let Some(packages) = lock["packages"].as_object() else {
        dependencies(&lock["dependencies"], DEPTH_MAX, &mut found);
        return Ok(found);
    };
    for (path, package) in packages {
        // The project itself and its workspaces are not in `node_modules`; links lead to them.
        let Some((_, name)) = path.rsplit_once("node_modules/") else { continue };
        let name = package["name"].as_str().unwrap_or(name);
        if let Some(version) = package["version"].as_str().filter(|_| package["link"] != Value::Bool(true)) {
            found.push(Raw::new(name, version));
        }
    }
    Ok(found)
}

fn dependencies(list: &Value, depth: usize, found: &mut Vec<Raw>) {
    for (name, package) in list.as_object().into_iter().flatten() {
        // `npm:other@1.0` is an alias; addresses and files are no versions.
        match package["version"].as_str().map(|version| version.strip_prefix("npm:").unwrap_or(version)) {
            Some(version) if version.contains("://") || version.starts_with("file:") => {}
            Some(version) => match version.get(1..).and_then(|rest| rest.find('@')) {
                Some(at) => found.push(Raw::new(&version[..=at], &version[at + 2..])),
                None => found.push(Raw::new(name, version)),
            },
            None => {}
        }
        if depth > 0 {
            dependencies(&package["dependencies"], depth - 1, found);
        }
    }
}

/// Both forms: `name@range, name@range:` and, below it, `version "1.0"` or `version: 1.0`.
pub(super) fn parse_yarn_lock(bytes: &[u8]) -> Parsed {
    let mut found = Vec::new();
    let mut name: Option<String> = None;
    for line in text(bytes)?.lines() {
        if !line.starts_with([' ', '#']) && line.ends_with(':') {
            name = yarn_name(line.trim_end_matches(':'));
        } else if let Some(version) = line.strip_prefix("  version").filter(|_| line.starts_with("  version")) {
            let version = version.trim_start_matches([':', ' ']).trim_matches('"');
            // Workspaces of the project itself.
            if version != "0.0.0-use.local" {
                found.extend(name.take().map(|name| Raw::new(name, version)));
            }
        }
    }
    Ok(found)
}

fn yarn_name(key: &str) -> Option<String> {
    let first = key.trim_matches('"').split(", ").next()?.trim_matches('"');
    let at = first.get(1..)?.find('@')? + 1;
    let (name, range) = (&first[..at], &first[at + 1..]);
    // `alias@npm:name@range`
    let target = range.strip_prefix("npm:").and_then(|target| Some(&target[..target.get(1..)?.find('@')? + 1]));
    Some(target.unwrap_or(name).to_owned())
}

/// The keys below `packages:`: `/name/1.0:`, `/name@1.0(peer@2):`, `name@1.0:`. Other YAML is passed over.
pub(super) fn parse_pnpm_lock(bytes: &[u8]) -> Parsed {
    let mut found = Vec::new();
    let mut within = false;
    for line in text(bytes)?.lines() {
        if !line.starts_with(' ') && !line.is_empty() {
            within = line.trim_end() == "packages:";
        }
        let key = line.strip_prefix("  ").filter(|rest| within && !rest.starts_with(' '));
        let Some(key) = key.and_then(|key| key.trim_end().strip_suffix(':')) else { continue };
        let key = key.trim_matches(['\'', '"']);
        let key = key.strip_prefix('/').unwrap_or(key).split('(').next().unwrap_or_default();
        let version_at = |at: usize| key[at..].starts_with(|sign: char| sign.is_ascii_digit());
        // `name/1.0_peer@2`, else `name@1.0`.
        let slash = key.split('_').next().and_then(|key| key.rfind('/')).filter(|at| version_at(at + 1));
        let slash = slash.filter(|at| !key[*at..].split('_').next().unwrap_or_default().contains('@'));
        let at = slash.or_else(|| key.get(1..).and_then(|rest| rest.find('@')).map(|at| at + 1));
        if let Some(at) = at.filter(|at| version_at(at + 1)) {
            let version = key[at + 1..].split('_').next().unwrap_or_default();
            found.push(Raw::new(&key[..at], version));
        }
    }
    Ok(found)
}
