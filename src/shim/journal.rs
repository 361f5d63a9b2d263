//! Exit records on disk: written by the shim before it tells anybody, read by whoever comes later.
//!
//! Holds: a record is whole or absent, also after a power cut. Writing the same record again is harmless.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::protocol::ExitRecord;

/// The task's first container was about to start.
const BEGUN_FILE: &str = "begun";
/// Records above this size are not ours.
const RECORD_MAX_BYTES: u64 = 64 << 10;

/// Where the record of one attempt of one container lies.
#[must_use]
pub fn path(exits: &Path, container: &str, attempt: u32) -> PathBuf {
    exits.join(format!("{container}.{attempt}.json"))
}

/// Makes a record durable. The one of the attempt before is of no use then: a container that starts again and again
/// leaves one, not thousands.
///
/// # Errors
/// Whatever the file system says.
pub fn write(exits: &Path, record: &ExitRecord) -> io::Result<()> {
    let body = serde_json::to_vec(record)?;
    cove_base::files::write_durably(&path(exits, &record.container, record.attempt), &body, 0o600)?;
    if let Some(before) = record.attempt.checked_sub(1) {
        // One that stays is read as the older attempt that it is.
        let _ = fs::remove_file(path(exits, &record.container, before));
    }
    Ok(())
}

/// Says that from here on something of the task may have run, for a server that finds the shim dead and no record. Beside
/// the records, which stay until STOPPED is durable. Not synced: what loses it is a reboot, and the record of the task
/// mostly knows that.
///
/// # Errors
/// Whatever the file system says.
pub fn begin(exits: &Path) -> io::Result<()> {
    fs::write(exits.join(BEGUN_FILE), "")
}

/// Whether [`begin`] was called; so it was before any record was written.
#[must_use]
pub fn has_begun(exits: &Path) -> bool {
    exits.join(BEGUN_FILE).exists()
}

/// All records of a task, by container and attempt. What cannot be read is left out: a half-written file does not
/// exist, and a foreign one says nothing about a container.
#[must_use]
pub fn read(exits: &Path) -> Vec<ExitRecord> {
    let Ok(entries) = fs::read_dir(exits) else { return Vec::new() };
    let mut records: Vec<ExitRecord> = entries.flatten().filter_map(|entry| read_one(&entry.path())).collect();
    records.sort_by(|a, b| (&a.container, a.attempt).cmp(&(&b.container, b.attempt)));
    records
}

fn read_one(path: &Path) -> Option<ExitRecord> {
    if path.extension()? != "json" || fs::symlink_metadata(path).ok()?.len() > RECORD_MAX_BYTES {
        return None;
    }
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cove_base::Timestamp;

    fn record(container: &str, attempt: u32) -> ExitRecord {
        ExitRecord {
            container: container.to_owned(),
            attempt,
            started_at: Some(Timestamp(1)),
            stopped_at: Timestamp(2),
            exit_code: Some(3),
            oom_killed: false,
            error: None,
        }
    }

    #[test]
    fn records_are_read_back_in_order_and_strangers_are_left_out() {
        let directory = tempfile::tempdir().unwrap();
        for one in [record("b", 0), record("a", 1), record("a", 0)] {
            write(directory.path(), &one).unwrap();
        }
        fs::write(directory.path().join("c.0.json"), b"{\"container\":").unwrap();
        fs::write(directory.path().join(".a.0.json.tmp"), b"").unwrap();
        let names: Vec<_> = read(directory.path()).into_iter().map(|one| (one.container, one.attempt)).collect();
        assert_eq!(names, [("a".to_owned(), 0), ("a".to_owned(), 1), ("b".to_owned(), 0)]);
        write(directory.path(), &record("a", 2)).unwrap();
        let left: Vec<_> = read(directory.path()).iter().map(|one| one.attempt).collect();
        assert_eq!(left, [0, 2, 0], "only the attempt before it goes");
    }

    #[test]
    fn no_directory_is_no_records() {
        assert!(read(Path::new("/nonexistent/exits")).is_empty());
    }
}
