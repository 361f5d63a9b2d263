//! Ruby: `Gemfile.lock`, and the specifications of installed gems.

use super::{Parsed, Raw, text};

pub(super) fn is_specification(path: &str) -> bool {
    path.ends_with(".gemspec") && path.contains("/specifications/")
}

/// Below `specs:`, four spaces, `name (version)`; six spaces are dependencies.
pub(super) fn parse_lock(bytes: &[u8]) -> Parsed {
    let mut found = Vec::new();
    let mut gems = false;
    for line in text(bytes)?.lines() {
        if !line.starts_with(' ') {
            gems = line == "GEM";
        }
        let spec = line.strip_prefix("    ").filter(|spec| gems && !spec.starts_with(' '));
        let Some((name, version)) = spec.and_then(|spec| spec.split_once(" (")) else { continue };
        found.push(Raw::new(name, without_platform(version.trim_end_matches(')'))));
    }
    Ok(found)
}

/// `1.2-x86_64-linux`
fn without_platform(version: &str) -> &str {
    version.split('-').next().unwrap_or(version)
}

pub(super) fn parse_specification(bytes: &[u8]) -> Parsed {
    // Authors' names are not always UTF-8.
    let text = String::from_utf8_lossy(bytes);
    let quoted = |name: &str| {
        let value = text.lines().find_map(|line| line.trim().strip_prefix(name)?.trim_start().strip_prefix('='))?;
        value.split('"').nth(1).map(str::to_owned)
    };
    match (quoted("s.name"), quoted("s.version")) {
        (Some(name), Some(version)) => Ok(vec![Raw::new(name, version)]),
        _ => Err("it has no name or no version"),
    }
}
