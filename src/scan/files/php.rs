//! PHP: composer's lock file and its list of installed packages.

use serde_json::Value;

use super::{Parsed, Raw, json};

pub(super) fn is_installed(path: &str) -> bool {
    path.ends_with("vendor/composer/installed.json")
}

/// Both are lists of packages, under one name or another or none.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let document = json(bytes)?;
    let lists = [&document, &document["packages"], &document["packages-dev"]];
    let packages = lists.into_iter().filter_map(Value::as_array).flatten();
    Ok(packages.filter_map(|package| Some(Raw::new(package["name"].as_str()?, package["version"].as_str()?))).collect())
}
