//! apk's list of installed packages: a line a field, a letter each.

use super::{Parsed, Raw, text};
use crate::package::SourcePackage;

pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let mut found = Vec::new();
    for paragraph in text(bytes)?.split("\n\n") {
        let field = |name: &str| paragraph.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let Some(name) = field("P") else { continue };
        let version = field("V").ok_or("a package has no version")?;
        let source = SourcePackage { name: field("o").unwrap_or(name).to_owned(), version: version.to_owned() };
        let arch = field("A").map(str::to_owned);
        found.push(Raw { source: Some(source), arch, ..Raw::new(name, version) });
    }
    Ok(found)
}
