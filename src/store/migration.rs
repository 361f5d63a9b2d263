//! Numbered steps that bring old data to the present form, run when the store is opened.
//!
//! In: a database of schema N. Out: the same of the newest schema. The number stands in sled's default tree.
//! Holds: before the first step the database is closed and copied; a step and its number are one transaction, so that
//! a crash between two steps goes on with the next; data of a newer version is refused untouched.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use cove_base::files::sync_directory;
use cove_base::paths::DataDir;
use serde_json::{Value, json};
use sled::transaction::{ConflictableTransactionError, TransactionError, Transactional};

use crate::directory::{LOCK_PATIENCE, LOCK_POLL, settle};
use crate::document::{Documents, RECORD_MAX_BYTES, digest_of};
use crate::error::StoreError;

/// Where the number stands.
pub(crate) const SCHEMA_KEY: &str = "schema";

/// One step.
pub(crate) struct Migration {
    /// The schema that it leads to; steps are numbered without gaps.
    pub(crate) number: u32,
    pub(crate) name: &'static str,
    pub(crate) run: fn(&mut Records<'_>) -> io::Result<()>,
}

/// Every step since the first schema, which is 1: a step that leads to schema 2 comes first.
pub(crate) const MIGRATIONS: &[Migration] = &[];

/// The records as a step sees them: JSON, whatever their type was.
pub(crate) struct Records<'a> {
    db: &'a sled::Db,
    documents: &'a Documents,
    edits: Vec<Edit>,
    documents_written: Vec<(String, Vec<u8>)>,
}

struct Edit {
    tree: String,
    key: Vec<u8>,
    /// `None` deletes.
    value: Option<Vec<u8>>,
}

impl Records<'_> {
    /// Rewrites every record of a tree: `edit` gets its data and returns the new data, or `None` to delete it. The
    /// records have version `version` after that.
    #[cfg_attr(not(test), expect(dead_code, reason = "the first step that needs it is still to come"))]
    pub(crate) fn rewrite(
        &mut self,
        tree: &str,
        version: u32,
        mut edit: impl FnMut(Value) -> io::Result<Option<Value>>,
    ) -> io::Result<()> {
        for entry in &self.db.open_tree(tree).map_err(io::Error::from)? {
            let (key, value) = entry.map_err(io::Error::from)?;
            let mut envelope: Value = serde_json::from_slice(&value)?;
            let data = match envelope["doc"].as_str() {
                Some(digest) => serde_json::from_slice(&self.documents.read(digest).map_err(io::Error::other)?)?,
                None => envelope["data"].take(),
            };
            let value = match edit(data)? {
                None => None,
                Some(data) => Some(self.encode(version, &envelope["rev"], &data)?),
            };
            self.edits.push(Edit { tree: tree.to_owned(), key: key.to_vec(), value });
        }
        Ok(())
    }

    fn encode(&mut self, version: u32, revision: &Value, data: &Value) -> io::Result<Vec<u8>> {
        let content = serde_json::to_vec(data)?;
        let envelope = if content.len() <= RECORD_MAX_BYTES {
            json!({"v": version, "rev": revision, "data": data})
        } else {
            let digest = digest_of(&content);
            self.documents_written.push((digest.clone(), content));
            json!({"v": version, "rev": revision, "doc": digest})
        };
        Ok(serde_json::to_vec(&envelope)?)
    }

    fn commit(self, number: u32) -> io::Result<()> {
        let documents = self.documents_written.iter();
        let written = documents.map(|(digest, content)| (digest.as_str(), content.as_slice()));
        self.documents.write(written).map_err(io::Error::other)?;
        let mut names: Vec<&str> = self.edits.iter().map(|edit| edit.tree.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let mut trees = names.iter().map(|name| self.db.open_tree(name)).collect::<Result<Vec<_>, _>>()?;
        trees.push(sled::Tree::clone(self.db));
        let done = trees.as_slice().transaction(|views| -> Result<(), ConflictableTransactionError<()>> {
            for edit in &self.edits {
                let place = names.binary_search(&edit.tree.as_str()).expect("`names` was made from `edits`");
                match &edit.value {
                    Some(value) => views[place].insert(edit.key.as_slice(), value.as_slice())?,
                    None => views[place].remove(edit.key.as_slice())?,
                };
            }
            views[names.len()].insert(SCHEMA_KEY, number.to_string().as_bytes())?;
            Ok(())
        });
        match done {
            Ok(()) => self.db.flush().map(drop).map_err(io::Error::from),
            Err(TransactionError::Storage(error)) => Err(error.into()),
            Err(TransactionError::Abort(())) => unreachable!("the transaction never aborts itself"),
        }
    }
}

/// The schema that this version writes.
pub(crate) fn newest() -> u32 {
    MIGRATIONS.last().map_or(1, |step| step.number)
}

/// Opens sled and brings its data to the newest schema of `steps`; what was changed is durable.
pub(crate) fn open(data: &DataDir, config: &sled::Config, steps: &[Migration]) -> Result<sled::Db, StoreError> {
    let newest = steps.last().map_or(1, |step| step.number);
    let db = open_sled(config)?;
    let found = match schema(&db)? {
        None if was_used(data) => return Err(StoreError::Lost(data.root().to_owned())),
        // New, or cut off by a crash before anything was stored.
        None => {
            db.insert(SCHEMA_KEY, newest.to_string().as_bytes()).map_err(StoreError::database("write to"))?;
            return Ok(db);
        }
        Some(found) => found,
    };
    if found == newest {
        return Ok(db);
    }
    if found > newest {
        return Err(StoreError::NewerSchema { found, known: newest });
    }
    // Only a closed database can be copied.
    drop(db);
    let copy = data.root().join(format!("before-schema-{newest}-from-{found}"));
    copy_data(data, &copy).map_err(StoreError::file("copy the data to", &copy))?;
    let db = open_sled(config)?;
    let documents = Documents::open(&data.documents());
    for step in steps.iter().filter(|step| step.number > found) {
        tracing::info!(number = step.number, name = step.name, "bringing the data to a newer schema");
        let mut records = Records { db: &db, documents: &documents, edits: Vec::new(), documents_written: Vec::new() };
        let run = (step.run)(&mut records).and_then(|()| records.commit(step.number));
        run.map_err(|source| StoreError::Migrate { number: step.number, name: step.name, copy: copy.clone(), source })?;
    }
    // Documents that only the old records named are swept next: the new ones must be on the disk by then.
    settle(&data.database())?;
    Ok(db)
}

/// Opens sled, whose own lock may seem taken for a moment ([`LOCK_PATIENCE`]). Other servers are kept out before this.
pub(crate) fn open_sled(config: &sled::Config) -> Result<sled::Db, StoreError> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match config.open() {
            Err(sled::Error::Io(error))
                if error.to_string().contains("could not acquire lock") && Instant::now() < deadline =>
            {
                std::thread::sleep(LOCK_POLL);
            }
            opened => return opened.map_err(StoreError::database("open")),
        }
    }
}

/// Whether records must have been acknowledged in this directory: blobs and logs come after a record each. Then an empty
/// database is one that was lost, and going on with it would sweep away the rest.
pub(crate) fn was_used(data: &DataDir) -> bool {
    let any = |path: PathBuf| fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
    any(data.blobs().join("sha256")) || any(data.blobs().join("sha512")) || any(data.logs())
}

pub(crate) fn schema(db: &sled::Db) -> Result<Option<u32>, StoreError> {
    let Some(value) = db.get(SCHEMA_KEY).map_err(StoreError::database("read"))? else { return Ok(None) };
    let number = std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| StoreError::Decode {
        tree: "default",
        key: SCHEMA_KEY.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidData, "no number"),
    })
}

/// Copies database and documents beside themselves. A copy that is there is complete, and older: it stays.
fn copy_data(data: &DataDir, copy: &Path) -> io::Result<()> {
    if copy.exists() {
        return Ok(());
    }
    let mut partial = copy.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    for source in [data.database(), data.documents()] {
        let name = source.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        copy_directory(&source, &partial.join(name))?;
    }
    fs::rename(&partial, copy)?;
    sync_directory(data.root())
}

fn copy_directory(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_directory(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
            fs::File::open(&target)?.sync_all()?;
        }
    }
    sync_directory(to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::sled_config;
    use crate::schema::KINDS;

    fn put(db: &sled::Db, tree: &str, key: &str, value: &Value) {
        db.open_tree(tree).unwrap().insert(key, serde_json::to_vec(value).unwrap()).unwrap();
    }

    fn get(db: &sled::Db, tree: &str, key: &str) -> Option<Value> {
        db.open_tree(tree).unwrap().get(key).unwrap().map(|value| serde_json::from_slice(&value).unwrap())
    }

    /// Made up: schema 2 calls `colour` what was `color`; schema 3 forgets nameless ones and grows a large field.
    const STEPS: &[Migration] = &[
        Migration {
            number: 2,
            name: "rename color",
            run: |records| {
                records.rewrite("things", 2, |mut data| {
                    data["colour"] = data["color"].take();
                    data.as_object_mut().expect("an object").remove("color");
                    Ok(Some(data))
                })
            },
        },
        Migration {
            number: 3,
            name: "forget the nameless",
            run: |records| {
                records.rewrite("things", 3, |mut data| {
                    data["note"] = "x".repeat(10_000).into();
                    Ok(data["name"].is_string().then_some(data))
                })
            },
        },
    ];

    /// What a server of schema 1 left when it was killed with a task running; `tests/blackbox/care.rs` made it. One for
    /// each schema stays here, so that every step is tried on real data.
    const SCHEMA_1: &[u8] = include_bytes!("old/schema-1.tar.gz");
    /// How many records it has.
    const SCHEMA_1_RECORDS: &[(&str, usize)] = &[
        ("clusters", 2),
        ("task_families", 3),
        ("task_definitions", 3),
        ("tasks", 2),
        ("client_tokens", 1),
        ("container_instances", 1),
        ("account_settings", 1),
        ("tenants", 1),
        ("vpcs", 1),
        ("subnets", 3),
        ("security_groups", 1),
        ("roles", 3),
        ("log_groups", 1),
        ("log_streams", 1),
        ("repositories", 1),
        ("images", 1),
        ("image_tags", 1),
        ("blob_links", 2),
        ("uploads", 1),
    ];

    #[tokio::test]
    async fn a_store_of_schema_1_is_opened_and_a_newer_one_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let data = DataDir::new(directory.path());
        tar::Archive::new(flate2::read::GzDecoder::new(SCHEMA_1)).unpack(data.root()).unwrap();
        let store = crate::tests::open(&data).unwrap();
        store.close().await;
        let counts = |db: &sled::Db| {
            KINDS
                .iter()
                .map(|kind| (kind.tree, db.open_tree(kind.tree).unwrap().len()))
                .filter(|(_, count)| *count > 0)
                .collect::<Vec<_>>()
        };
        // A step over all of it, as the next schema may have one.
        let every_record = Migration {
            number: newest() + 1,
            name: "every record",
            run: |records| {
                KINDS.iter().try_for_each(|kind| records.rewrite(kind.tree, kind.version, |data| Ok(Some(data))))
            },
        };
        let db = open(&data, &sled_config(&data.database()), &[every_record]).unwrap();
        assert_eq!(counts(&db), SCHEMA_1_RECORDS);
        drop(db);
        let copy = data.root().join(format!("before-schema-{}-from-{}/db", newest() + 1, newest()));
        assert_eq!(counts(&open_sled(&sled_config(&copy)).unwrap()), SCHEMA_1_RECORDS);
        let refused = crate::tests::open(&data).err().unwrap();
        assert!(matches!(refused, StoreError::NewerSchema { .. }), "{refused}");
    }

    #[test]
    fn an_old_record_is_brought_through_every_step_and_a_copy_stays() {
        let directory = tempfile::tempdir().unwrap();
        let data = DataDir::new(directory.path());
        fs::create_dir_all(data.documents()).unwrap();
        let config = sled_config(&data.database());
        {
            let db = open(&data, &config, &[]).unwrap();
            put(&db, "things", "a", &json!({"v": 1, "rev": 4, "data": {"name": "a", "color": "red"}}));
            put(&db, "things", "b", &json!({"v": 1, "rev": 5, "data": {"color": "blue"}}));
        }
        let db = open(&data, &config, STEPS).unwrap();
        assert_eq!(schema(&db).unwrap(), Some(3));
        assert_eq!(get(&db, "things", "b"), None);
        let a = get(&db, "things", "a").unwrap();
        assert_eq!((&a["v"], &a["rev"]), (&json!(3), &json!(4)));
        let document = Documents::open(&data.documents()).read(a["doc"].as_str().unwrap()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&document).unwrap()["colour"], "red");
        drop(db);

        let old = sled_config(&directory.path().join("before-schema-3-from-1/db")).open().unwrap();
        assert_eq!(get(&old, "things", "a").unwrap()["data"]["color"], "red");
        let again = open(&data, &config, STEPS).unwrap();
        assert_eq!(schema(&again).unwrap(), Some(3));
        drop(again);
        let refused = open(&data, &config, &[]);
        assert!(matches!(refused, Err(StoreError::NewerSchema { found: 3, known: 1 })));
    }
}
