//! Opens sled, in spite of a damaged snapshot if asked to.
//!
//! Why that is safe: sled's snapshots only spare it the reading of its log, and are written anew when they are missing.

use std::fs;
use std::path::PathBuf;

use cove_base::error::chain;

use super::{Check, Mode, Remedy, apply};
use crate::database::sled_config;
use crate::error::StoreError;
use crate::migration::open_sled;
use crate::writer::catch;

const CODE: &str = "database";
const RESTORE: &str = "restore a backup with `cove restore`";
const READ_LOG: &str = "move sled's snapshots to `set-aside/` and read its log instead";

/// `None` when it does not open; the report says so then.
pub(super) fn open(check: &mut Check<'_>, mode: Mode) -> Result<Option<sled::Db>, StoreError> {
    let path = check.data.database();
    let attempt = || catch(|| open_sled(&sled_config(&path)));
    let error = match attempt() {
        Ok(db) => return Ok(Some(db)),
        Err(error) => error,
    };
    let text = format!("the database cannot be opened: {}", chain(&error));
    let snapshots = snapshots(&path)?;
    match mode {
        Mode::Look if !snapshots.is_empty() => {
            check.report.add(CODE, text, Remedy::Possible(READ_LOG));
            return Ok(None);
        }
        Mode::Repair if !snapshots.is_empty() => {
            for snapshot in &snapshots {
                apply::set_file_aside(&apply::aside(check.data), snapshot)?;
            }
            if let Ok(db) = attempt() {
                check.report.add(CODE, text, Remedy::Done(READ_LOG));
                return Ok(Some(db));
            }
        }
        Mode::Look | Mode::Repair => {}
    }
    check.beyond_repair(CODE, text, RESTORE);
    Ok(None)
}

fn snapshots(database: &PathBuf) -> Result<Vec<PathBuf>, StoreError> {
    let entries = fs::read_dir(database).map_err(StoreError::file("read", database))?;
    let snapshot = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("snap."));
    Ok(entries.flatten().map(|entry| entry.path()).filter(snapshot).collect())
}
