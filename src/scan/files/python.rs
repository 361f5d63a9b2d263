//! Python: installed distributions, and what lock files pin.

use super::{Parsed, Raw, json, text};

pub(super) fn is_metadata(path: &str) -> bool {
    let Some((parent, file)) = path.rsplit_once('/') else { return false };
    match file {
        "METADATA" => parent.ends_with(".dist-info"),
        "PKG-INFO" => parent.ends_with(".egg-info") || parent.ends_with("EGG-INFO"),
        file => file.ends_with(".egg-info"),
    }
}

/// Headers as of a mail; the first empty line ends them.
pub(super) fn parse_metadata(bytes: &[u8]) -> Parsed {
    // Authors' names are not always UTF-8.
    let text = String::from_utf8_lossy(bytes);
    let headers = || text.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(':'));
    let header = |name: &str| {
        headers().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
    };
    match (header("Name"), header("Version")) {
        (Some(name), Some(version)) if !name.is_empty() && !version.is_empty() => Ok(vec![Raw::new(name, version)]),
        _ => Err("it has no name or no version"),
    }
}

/// Lines `name[extra]==version ; marker --hash=…`. What is not pinned says nothing of what is installed.
pub(super) fn parse_requirements(bytes: &[u8]) -> Parsed {
    let lines = text(bytes)?.lines().filter_map(|line| {
        let line = line.split([';', '#']).next()?.split_whitespace().collect::<Vec<_>>().concat();
        let line = line.split("--").next()?.trim_end_matches('\\').to_owned();
        let (name, version) = line.split_once("===").or_else(|| line.split_once("=="))?;
        let name = name.split('[').next()?;
        let good = |text: &str| !text.is_empty() && !text.contains(['*', ',', '<', '>', '/', '=', '~', '!']);
        (good(name) && good(version)).then(|| Raw::new(name, version))
    });
    Ok(lines.collect())
}

pub(super) fn parse_pipfile_lock(bytes: &[u8]) -> Parsed {
    let lock = json(bytes)?;
    let sections = ["default", "develop"].iter().filter_map(|name| lock[*name].as_object());
    let packages = sections
        .flatten()
        .filter_map(|(name, package)| Some(Raw::new(name, package["version"].as_str()?.trim_start_matches('='))));
    Ok(packages.collect())
}

/// Poetry's and uv's: `[[package]]` with name and version; what lies in the project itself is no package of PyPI.
pub(super) fn parse_toml_lock(bytes: &[u8]) -> Parsed {
    let own = |package: &toml::Table| {
        let source = package.get("source").and_then(toml::Value::as_table);
        source.is_some_and(|source| ["virtual", "editable", "directory"].iter().any(|key| source.contains_key(*key)))
    };
    super::rust::packages(bytes, |package| !own(package))
}
