//! Findings as files by the SHA-256 of their content: there may be thousands, and a record is small.
//!
//! Holds: a file is durable before the record names it; one that no record names is removed by [`sweep`].

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cove_base::files::write_durably;
use cove_base::paths::DataDir;
use cove_scan::Report;
use sha2::{Digest, Sha256};

/// Where the findings of that digest lie.
pub(super) fn path(data: &DataDir, digest: &str) -> PathBuf {
    data.findings().join(digest)
}

/// Writes the report; its digest.
pub(super) fn write(data: &DataDir, report: &Report) -> io::Result<String> {
    let content = serde_json::to_vec(report)?;
    let digest = hex::encode(Sha256::digest(&content));
    fs::create_dir_all(data.findings())?;
    write_durably(&path(data, &digest), &content, 0o600)?;
    Ok(digest)
}

pub(super) fn read(path: &Path) -> io::Result<Report> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

/// Removes the files that nobody names. Nobody may be writing any.
pub(super) fn sweep(data: &DataDir, named: &HashSet<String>) -> io::Result<()> {
    let entries = match fs::read_dir(data.findings()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_str().is_none_or(|name| !named.contains(name)) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
