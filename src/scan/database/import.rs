//! Makes a database of OSV records.

use std::path::{Path, PathBuf};

use cove_base::Timestamp;

use super::file::Database;
use super::runs::{Runs, base_of_key};
use super::writer::Writer;
use super::{DatabaseError, DatabaseInfo, Entry, key, sources};
use crate::osv;
use crate::package::Problem;

/// Refused records that are told one by one.
const PROBLEMS_MAX: usize = 20;

/// What an import came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// Records that were read, with those that were withdrawn or name no package.
    pub records: u64,
    pub withdrawn: u64,
    /// Records that could not be read: what they say is not in the database.
    pub refused: u64,
    /// The first of those.
    pub problems: Vec<Problem>,
    /// Of the whole database.
    pub info: DatabaseInfo,
}

/// Imports archives, directories or single records into the database at `path`, which need not be there yet.
///
/// A killed import leaves files whose names begin with a dot and end with `.tmp`, which
/// [`cove_base::files::remove_unfinished`] removes.
///
/// # Errors
/// When a source cannot be read or has no advisory, or the database cannot be written; the database is as before then.
pub fn import(path: &Path, sources: &[PathBuf], now: Timestamp) -> Result<Imported, DatabaseError> {
    let earlier = match Database::open(path) {
        Ok(database) => Some(database),
        // What cannot be read any more is replaced: the remedy is this import.
        Err(DatabaseError::Version(_) | DatabaseError::Damaged(_)) => None,
        Err(DatabaseError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => None,
        Err(other) => return Err(other),
    };
    let mut done = Imported::default();
    let mut runs = Runs::new(path);
    let mut fresh = DatabaseInfo::default();
    for source in sources {
        let before = fresh.advisories();
        read(source, &mut done, &mut fresh, &mut runs)?;
        if fresh.advisories() == before {
            return Err(DatabaseError::Empty(source.clone()));
        }
    }
    let mut info = DatabaseInfo::default();
    let old = earlier.as_ref().map(|earlier| earlier.info().ecosystems.clone()).unwrap_or_default();
    info.ecosystems.extend(old.into_iter().filter(|(name, _)| !fresh.ecosystems.contains_key(name)));
    for (name, ecosystem) in &fresh.ecosystems {
        let ecosystem = super::EcosystemInfo { advisories: 0, imported_at: now, newest: ecosystem.newest.clone() };
        info.ecosystems.insert(name.clone(), ecosystem);
    }
    let mut writer = Writer::new(path)?;
    runs.merge(earlier.as_ref(), &|name| !fresh.ecosystems.contains_key(name), &mut |(key, line)| {
        let name = base_of_key(&key);
        // Counted here: the same record in two sources counts once.
        if fresh.ecosystems.contains_key(name) {
            info.ecosystems.entry(name.to_owned()).or_default().advisories += 1;
        }
        writer.add(&key, &line)
    })?;
    writer.finish(info.clone())?;
    done.info = info;
    Ok(done)
}

fn read(source: &Path, done: &mut Imported, fresh: &mut DatabaseInfo, runs: &mut Runs) -> Result<(), DatabaseError> {
    let mut too_large = Vec::new();
    let each: sources::Each = &mut |name, bytes| {
        done.records += 1;
        let (advisory, statements) = match osv::parse(bytes) {
            Ok(Some(found)) => found,
            Ok(None) => {
                done.withdrawn += 1;
                return Ok(());
            }
            Err(fault) => {
                refuse(done, name, fault.to_string());
                return Ok(());
            }
        };
        for statement in statements {
            let key = key(&statement.ecosystem, &statement.package);
            if key.contains(['\t', '\n']) {
                refuse(done, name, "a package's name has a tab or a line end".to_owned());
                continue;
            }
            let ecosystem = fresh.ecosystems.entry(base_of_key(&key).to_owned()).or_default();
            ecosystem.advisories += 1;
            if advisory.modified > ecosystem.newest {
                ecosystem.newest.clone_from(&advisory.modified);
            }
            let entry = Entry { key, advisory: advisory.clone(), statement };
            let line = serde_json::to_vec(&entry).expect("an entry has nothing but texts");
            runs.add((entry.key, line))?;
        }
        Ok(())
    };
    sources::read(source, each, &mut |name| too_large.push(name.to_owned()))?;
    for name in too_large {
        refuse(done, &name, "larger than any record".to_owned());
    }
    Ok(())
}

fn refuse(done: &mut Imported, name: &str, text: String) {
    done.refused += 1;
    if done.problems.len() < PROBLEMS_MAX {
        done.problems.push(Problem { path: name.to_owned(), text });
    }
}
