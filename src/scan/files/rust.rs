//! Rust: `Cargo.lock`, and the list that `cargo auditable` puts into executables.

use std::io::Read;

use super::{Parsed, Raw, json, text};

/// The list of a large program has some thousand crates.
const AUDITABLE_MAX_BYTES: u64 = 16 << 20;

pub(super) fn parse_lock(bytes: &[u8]) -> Parsed {
    packages(bytes, |package| {
        // Those of the workspace itself have no source.
        package.get("source").and_then(toml::Value::as_str).is_some_and(|source| source.contains("registry+"))
    })
}

/// The `[[package]]` tables of a lock file that are asked for.
pub(super) fn packages(bytes: &[u8], keep: impl Fn(&toml::Table) -> bool) -> Parsed {
    let lock: toml::Table = text(bytes)?.parse().map_err(|_| "it is no TOML")?;
    let tables = lock.get("package").and_then(toml::Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let tables = tables.iter().filter_map(toml::Value::as_table).filter(|package| keep(package));
    let word = |package: &toml::Table, key: &str| package.get(key).and_then(toml::Value::as_str).map(str::to_owned);
    Ok(tables.filter_map(|package| Some(Raw::new(word(package, "name")?, word(package, "version")?))).collect())
}

/// The section `.dep-v0`: JSON, compressed with zlib. Crates that only built others are not in the program.
pub(super) fn parse_auditable(section: &[u8]) -> Parsed {
    let mut bytes = Vec::new();
    let read = flate2::read::ZlibDecoder::new(section).take(AUDITABLE_MAX_BYTES).read_to_end(&mut bytes);
    read.map_err(|_| "its list of crates is damaged")?;
    let list = json(&bytes)?;
    let packages = list["packages"].as_array().ok_or("its list of crates has no packages")?.iter();
    let packages = packages.filter(|package| matches!(package["source"].as_str(), Some("crates.io" | "registry")));
    let packages = packages.filter(|package| package["kind"].as_str() != Some("build"));
    Ok(packages.filter_map(|package| Some(Raw::new(package["name"].as_str()?, package["version"].as_str()?))).collect())
}
