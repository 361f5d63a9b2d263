//! `cove fsck`: looks at a data directory that no server uses, repairs what can be repaired, and says what cannot.
//!
//! ```text
//! lock ▸ open sled ▸ records and documents ▸ references between records, blobs ▸ leftovers ▸ repairs, all at once
//! ```
//!
//! Holds: without [`Mode::Repair`] no record and no file of ours is changed (sled itself puts its log in order when it is
//! opened, as at any start). A repair never throws away what cannot be made again: records and blobs that are taken out
//! are put into `set-aside/` first.
//! Absent on purpose: looking for what a damaged tail of the log has lost. There is no trace of it; counting helps.

mod apply;
mod database;
mod leftovers;
mod records;
mod references;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use cove_base::Timestamp;
use cove_base::paths::DataDir;

use crate::directory::{RESTORE_UNFINISHED, claim, remove_torn_snapshots, settle};
use crate::error::StoreError;
use crate::migration;
use crate::table::View;

/// Whether anything is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Look,
    Repair,
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub records: u64,
    pub documents: u64,
    pub blobs: u64,
    pub findings: Vec<Finding>,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The same for all of a sort, as in `blob-missing`.
    pub code: &'static str,
    pub text: String,
    pub remedy: Remedy,
}

/// What can be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// A repair would do this.
    Possible(&'static str),
    /// The repair did this.
    Done(&'static str),
    /// Only a person can; how.
    Person(&'static str),
}

impl Report {
    /// Whether something is wrong still.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        self.findings.iter().any(|finding| !matches!(finding.remedy, Remedy::Done(_)))
    }

    fn add(&mut self, code: &'static str, text: impl Into<String>, remedy: Remedy) {
        self.findings.push(Finding { code, text: text.into(), remedy });
    }
}

/// A change that a repair makes.
enum Repair {
    /// Takes a record out, keeping its bytes.
    SetRecordAside {
        tree: &'static str,
        key: Vec<u8>,
    },
    /// Removes a record that can be made again from what is left.
    DeleteRecord {
        tree: &'static str,
        key: Vec<u8>,
    },
    PutRecord {
        tree: &'static str,
        key: Vec<u8>,
        value: Vec<u8>,
    },
    SetFileAside(PathBuf),
    RemoveFile(PathBuf),
}

/// What the checks share: they add to the report, and each repair beside its finding.
struct Check<'a> {
    data: &'a DataDir,
    now: Timestamp,
    report: Report,
    repairs: Vec<Repair>,
}

impl Check<'_> {
    fn repairable(&mut self, code: &'static str, text: impl Into<String>, what: &'static str, repair: Repair) {
        self.report.add(code, text, Remedy::Possible(what));
        self.repairs.push(repair);
    }

    fn beyond_repair(&mut self, code: &'static str, text: impl Into<String>, advice: &'static str) {
        self.report.add(code, text, Remedy::Person(advice));
    }
}

/// Looks at everything, and repairs if asked to.
///
/// # Errors
/// When a server uses the directory, it is none of a store, or it cannot be read.
pub fn fsck(data: &DataDir, mode: Mode, now: Timestamp) -> Result<Report, StoreError> {
    let path = data.database();
    if !path.is_dir() {
        let none = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(StoreError::file("find a database in", data.root())(none));
    }
    let _lock = claim(data)?;
    let mut check = Check { data, now, report: Report::default(), repairs: Vec::new() };
    if data.root().join(RESTORE_UNFINISHED).exists() {
        check.beyond_repair("restore-unfinished", "a restore did not finish", "run `cove restore` again");
        return Ok(check.report);
    }
    remove_torn_snapshots(&path)?;
    settle(&path)?;
    let Some(db) = database::open(&mut check, mode)? else { return Ok(check.report) };
    if !fits(&mut check, migration::schema(&db)?) {
        return Ok(check.report);
    }
    let mut view = View::empty();
    records::check(&mut check, &db, &mut view)?;
    references::check(&mut check, &view)?;
    leftovers::check(&mut check, &view);
    if mode == Mode::Repair && !check.repairs.is_empty() {
        apply::apply(&check, &db)?;
        for finding in &mut check.report.findings {
            if let Remedy::Possible(what) = finding.remedy {
                finding.remedy = Remedy::Done(what);
            }
        }
    }
    drop(db);
    settle(&path)?;
    Ok(check.report)
}

/// Whether the records have the schema that this version knows.
fn fits(check: &mut Check<'_>, schema: Option<u32>) -> bool {
    let known = migration::newest();
    match schema {
        // New, or it has lost everything.
        None if migration::was_used(check.data) => {
            let text = "the database is empty, yet there are blobs or logs";
            check.beyond_repair("database-lost", text, "restore a backup with `cove restore`");
            false
        }
        None => true,
        Some(found) if found == known => true,
        Some(found) if found > known => {
            let text = format!("the data has schema {found}, this version knows {known}");
            check.beyond_repair("schema", text, "use the version of Cove that wrote it, or a newer one");
            false
        }
        Some(found) => {
            let text = format!("the data has schema {found}, older than {known}");
            check.beyond_repair("schema", text, "start this version once: it brings the data to its schema");
            false
        }
    }
}
