//! Files that a crash left half written.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use cove_model::registry::Upload;

use super::{Check, Repair};
use crate::key::Prefix;
use crate::table::{Read, View};

/// Looks into every directory that durable files are written to.
pub(super) fn check(check: &mut Check<'_>, view: &View) {
    let data = check.data;
    let mut directories = vec![data.root().to_owned(), data.keys(), data.exits()];
    directories.extend(entries(&data.exits()));
    for path in directories.iter().flat_map(|directory| entries(directory)) {
        if is_temporary(&path) {
            let text = format!("`{}` was never finished", path.display());
            check.repairable("temporary-file", text, "remove it", Repair::RemoveFile(path));
        }
    }
    let recorded: HashSet<String> =
        view.scan::<Upload>(&Prefix::all()).iter().map(|upload| upload.id.clone()).collect();
    for path in entries(&data.uploads()) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !recorded.contains(name) {
            let text = format!("upload `{name}` belongs to no record");
            check.repairable("upload-leftover", text, "remove it", Repair::RemoveFile(path));
        }
    }
}

/// As `write_durably` names what it has not renamed yet.
fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with('.') && name.ends_with(".tmp") && path.is_file()
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
