//! dpkg's `status`, and the fragments of it that distroless images have.

use super::{Parsed, Raw, text};
use crate::package::SourcePackage;

pub(super) fn is_fragment(path: &str) -> bool {
    path.strip_prefix("var/lib/dpkg/status.d/").is_some_and(|name| !name.contains('/') && !name.ends_with(".md5sums"))
}

pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let mut found = Vec::new();
    for paragraph in text(bytes)?.split("\n\n") {
        let field = |name: &str| {
            let mut lines = paragraph.lines().filter_map(|line| line.split_once(':'));
            lines.find(|(key, _)| *key == name).map(|(_, value)| value.trim())
        };
        let Some(name) = field("Package") else { continue };
        // Removed packages whose configuration stays are listed too.
        if field("Status").is_some_and(|status| status.split(' ').nth(2) != Some("installed")) {
            continue;
        }
        let version = field("Version").ok_or("a package has no version")?;
        let (source, source_version) =
            match field("Source").map(|source| source.split_once(" (").unwrap_or((source, ""))) {
                Some((source, version)) => (source, version.trim_end_matches(')')),
                None => (name, ""),
            };
        let source_version = if source_version.is_empty() { version } else { source_version };
        found.push(Raw {
            name: name.to_owned(),
            version: version.to_owned(),
            source: Some(SourcePackage { name: source.to_owned(), version: source_version.to_owned() }),
            arch: field("Architecture").map(str::to_owned),
        });
    }
    Ok(found)
}
