//! Carries repairs out.
//!
//! Holds: what is taken out is durable in `set-aside/` before it goes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cove_base::files::{sync_directory, write_durably};
use cove_base::paths::DataDir;
use serde_json::json;

use super::{Check, Repair};
use crate::error::StoreError;

/// Below the data directory.
const SET_ASIDE: &str = "set-aside";

/// Everything, in this order: copies, then records, then files.
pub(super) fn apply(check: &Check<'_>, db: &sled::Db) -> Result<(), StoreError> {
    let aside = aside(check.data);
    keep_records(check, db, &aside)?;
    let failed = || StoreError::database("write to");
    for repair in &check.repairs {
        match repair {
            Repair::SetRecordAside { tree, key } | Repair::DeleteRecord { tree, key } => {
                db.open_tree(tree).and_then(|tree| tree.remove(key)).map_err(failed())?;
            }
            Repair::PutRecord { tree, key, value } => {
                db.open_tree(tree).and_then(|tree| tree.insert(key, value.as_slice())).map_err(failed())?;
            }
            Repair::SetFileAside(path) => set_file_aside(&aside, path)?,
            Repair::RemoveFile(path) => match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::file("remove", path)(error));
                }
                Ok(()) | Err(_) => {}
            },
        }
    }
    db.flush().map(drop).map_err(failed())
}

/// Where things are set aside.
pub(super) fn aside(data: &DataDir) -> PathBuf {
    data.root().join(SET_ASIDE)
}

pub(super) fn set_file_aside(aside: &Path, path: &Path) -> Result<(), StoreError> {
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput));
    let moved = fs::create_dir_all(aside).and(name).and_then(|name| fs::rename(path, aside.join(name)));
    moved.and_then(|()| sync_directory(aside)).map_err(StoreError::file("set aside", path))
}

/// Writes the records that will be taken out to one file, a line each.
fn keep_records(check: &Check<'_>, db: &sled::Db, aside: &Path) -> Result<(), StoreError> {
    let mut lines = Vec::new();
    for repair in &check.repairs {
        let Repair::SetRecordAside { tree, key } = repair else { continue };
        let value = db.open_tree(tree).and_then(|tree| tree.get(key)).map_err(StoreError::database("read"))?;
        let (key, value) = (String::from_utf8_lossy(key), value.unwrap_or_default());
        // Text where it is text, so that a person can read it.
        let line = match std::str::from_utf8(&value) {
            Ok(text) => json!({"tree": tree, "key": key, "text": text}),
            Err(_) => json!({"tree": tree, "key": key, "hex": hex::encode(&value)}),
        };
        lines.extend_from_slice(line.to_string().as_bytes());
        lines.push(b'\n');
    }
    if lines.is_empty() {
        return Ok(());
    }
    fs::create_dir_all(aside).map_err(StoreError::file("create directory", aside))?;
    let path = aside.join(format!("records-{}.jsonl", check.now.millis()));
    write_durably(&path, &lines, 0o600).map_err(StoreError::file("write", path))
}
