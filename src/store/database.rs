//! sled, and nothing but sled: opening, loading everything into memory, one durable transaction per batch.
//!
//! Holds: [`Database::commit`] returns `Ok` only after flush **and** `fdatasync`: sled's flush alone survives no power
//! cut (facts: 11 of 14 rounds lost acknowledged writes). After an `Err` the handle must not be used again.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use cove_base::crash::{self, Point};
use cove_base::files::sync_directory;
use cove_base::paths::DataDir;
use sled::transaction::{ConflictableTransactionError, TransactionError, Transactional};

use crate::directory::{remove_torn_snapshots, settle, sync_names};
use crate::document::{Documents, RECORD_MAX_BYTES, digest_of};
use crate::error::StoreError;
use crate::event::{EVENTS_KEPT, Event};
use crate::migration::{self, MIGRATIONS};
use crate::record::{Header, envelope, envelope_of_document};
use crate::schema::KINDS;
use crate::table::View;
use crate::tx::Batch;

/// Everything is read from memory, so that sled's cache only serves its own writes.
const CACHE_BYTES: u64 = 16 << 20;
/// sled's own background flush; acknowledgements do not wait for it.
const FLUSH_EVERY_MS: u64 = 500;
pub(crate) const EVENTS_TREE: &str = "events";
/// Written and removed in sled's default tree, which holds nothing else.
const PROBE_KEY: &str = "probe";
/// As large as a record may be.
const PROBE_BYTES: usize = RECORD_MAX_BYTES;

/// The open database.
pub(crate) struct Database {
    data: DataDir,
    db: sled::Db,
    /// One per kind, by number, and the events last.
    trees: Vec<sled::Tree>,
    /// sled's one file, opened once more: `fdatasync` works on any descriptor of it.
    file: File,
    blobs: SpilledPages,
    documents: Documents,
    revision: u64,
    /// The oldest event that is still there.
    first_event: u64,
    durability: Durability,
    /// Whether the names of sled's files are durable; the first commit sees to it, so that opening need not wait.
    names_synced: bool,
}

/// How much is done before a command is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    Synced,
    /// For the control run of the power-loss trial, which must lose writes.
    #[cfg(test)]
    Flushed,
    /// For the control run of the SIGKILL trial, which must lose writes.
    #[cfg(test)]
    None,
}

/// One change, ready to be stored.
struct Write {
    kind: usize,
    key: String,
    /// `None` deletes.
    value: Option<Vec<u8>>,
    document: Option<(String, Vec<u8>)>,
}

pub(crate) fn sled_config(path: &Path) -> sled::Config {
    sled::Config::new()
        .path(path)
        .mode(sled::Mode::LowSpace)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(Some(FLUSH_EVERY_MS))
}

impl Database {
    /// Opens the database and loads every record.
    pub(crate) fn open(data: &DataDir, durability: Durability) -> Result<(Self, View), StoreError> {
        let path = data.database();
        remove_torn_snapshots(&path)?;
        settle(&path)?;
        let mut config = sled_config(&path);
        if durability != Durability::Synced {
            config = config.flush_every_ms(None);
        }
        let db = migration::open(data, &config, MIGRATIONS)?;
        let names = KINDS.iter().map(|kind| kind.tree).chain([EVENTS_TREE]);
        let trees = names.map(|name| db.open_tree(name)).collect::<Result<Vec<_>, _>>();
        let trees = trees.map_err(StoreError::database("open the trees of"))?;
        let file_path = path.join("db");
        let file = OpenOptions::new().read(true).write(true).open(&file_path);
        let file = file.map_err(StoreError::file("open", file_path))?;
        let mut database = Self {
            data: data.clone(),
            db,
            trees,
            file,
            blobs: SpilledPages::new(path.join("blobs")),
            documents: Documents::open(&data.documents()),
            revision: 0,
            first_event: 1,
            durability,
            names_synced: false,
        };
        let view = database.load()?;
        database.documents.sweep()?;
        Ok((database, view))
    }

    /// Opens the database after a failure and proves that it takes writes: a probe goes through transaction, flush and
    /// `fdatasync` before anybody trusts it.
    pub(crate) fn reopen(data: &DataDir, durability: Durability) -> Result<(Self, View), StoreError> {
        let (mut database, view) = Self::open(data, durability)?;
        let probe = vec![0x55; PROBE_BYTES];
        database.db.insert(PROBE_KEY, probe).map_err(StoreError::database("write to"))?;
        database.sync("write to")?;
        database.db.remove(PROBE_KEY).map_err(StoreError::database("write to"))?;
        database.sync("write to")?;
        Ok((database, view))
    }

    /// The revision of the last command on disk.
    pub(crate) const fn revision(&self) -> u64 {
        self.revision
    }

    /// Makes a batch and its events durable, all or nothing.
    pub(crate) fn commit(&mut self, batch: &mut Batch, events: Vec<Event>) -> Result<(), StoreError> {
        let writes = encode(batch)?;
        let documents = writes.iter().filter_map(|write| write.document.as_ref());
        self.documents.write(documents.map(|(digest, json)| (digest.as_str(), json.as_slice())))?;
        crash::at(Point::StoreDocuments);
        let revision = events.last().map_or(self.revision, |event| event.revision);
        let first_event = revision.saturating_sub(EVENTS_KEPT - 1).max(self.first_event);
        self.store(&writes, events, first_event)?;
        crash::at(Point::StoreWritten);
        self.sync("write to")?;
        crash::at(Point::StoreSynced);
        if !self.names_synced {
            sync_names(&self.data)?;
            self.names_synced = true;
        }
        self.first_event = first_event;
        self.revision = revision;
        self.forget_documents(&writes);
        Ok(())
    }

    /// Events behind a revision, oldest first. Only the writer thread may call this: sled's ranges and writes hang.
    pub(crate) fn events(&self, after: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        let from = after.saturating_add(1).to_be_bytes();
        self.trees[KINDS.len()]
            .range(from..)
            .take(limit)
            .map(|entry| decode_event(&entry.map_err(read_failed)?.1))
            .collect()
    }

    fn store(&self, writes: &[Write], events: Vec<Event>, first_event: u64) -> Result<(), StoreError> {
        let mut kinds: Vec<usize> = writes.iter().map(|write| write.kind).collect();
        kinds.dedup();
        // `encode` goes through the kinds in order, so that a kind's place here is found by search.
        let mut trees: Vec<sled::Tree> = kinds.iter().map(|kind| self.trees[*kind].clone()).collect();
        trees.push(self.trees[KINDS.len()].clone());
        let events: Vec<(u64, Vec<u8>)> = events
            .into_iter()
            .map(|event| {
                Ok((
                    event.revision,
                    event.encode(RECORD_MAX_BYTES).map_err(|error| undecodable(EVENTS_TREE, "", error))?,
                ))
            })
            .collect::<Result<_, StoreError>>()?;
        let done = trees.as_slice().transaction(|views| -> Result<(), ConflictableTransactionError<()>> {
            for write in writes {
                let place = kinds.binary_search(&write.kind).expect("`kinds` was made from `writes`");
                match &write.value {
                    Some(value) => views[place].insert(write.key.as_bytes(), value.as_slice())?,
                    None => views[place].remove(write.key.as_bytes())?,
                };
            }
            let log = &views[kinds.len()];
            for (revision, event) in &events {
                log.insert(&revision.to_be_bytes(), event.as_slice())?;
            }
            for old in self.first_event..first_event {
                log.remove(&old.to_be_bytes())?;
            }
            Ok(())
        });
        match done {
            Ok(()) => Ok(()),
            Err(TransactionError::Storage(source)) => Err(StoreError::Database { what: "write to", source }),
            Err(TransactionError::Abort(())) => unreachable!("the transaction never aborts itself"),
        }
    }

    /// Flush, pages that sled spilled beside its file, then the file itself.
    fn sync(&mut self, what: &'static str) -> Result<(), StoreError> {
        match self.durability {
            Durability::Synced => {}
            #[cfg(test)]
            Durability::Flushed => return self.db.flush().map(drop).map_err(StoreError::database(what)),
            #[cfg(test)]
            Durability::None => return Ok(()),
        }
        self.db.flush().map_err(StoreError::database(what))?;
        crash::at(Point::StoreFlushed);
        self.blobs.sync()?;
        self.file.sync_data().map_err(StoreError::file("sync", self.blobs.directory.with_file_name("db")))
    }

    fn forget_documents(&mut self, writes: &[Write]) {
        let mut unnamed = Vec::new();
        for write in writes {
            let digest = write.document.as_ref().map(|(digest, _)| digest.as_str());
            unnamed.extend(self.documents.note(write.kind, &write.key, digest));
        }
        for digest in unnamed {
            self.documents.remove(&digest);
        }
    }

    fn load(&mut self) -> Result<View, StoreError> {
        let mut view = View::empty();
        for kind in KINDS {
            for entry in &self.trees[kind.number] {
                let (key, value) = entry.map_err(read_failed)?;
                let key = String::from_utf8_lossy(&key);
                let decoded = |error| undecodable(kind.tree, &key, error);
                let table = view.erased_mut(kind.number);
                let loaded = table.load(&key, &value);
                // The version first: it explains why a record of another one does not parse.
                let version = match &loaded {
                    Ok(header) => Some(header.v),
                    Err(_) => serde_json::from_slice::<Header>(&value).ok().map(|header| header.v),
                };
                if let Some(version) = version.filter(|version| *version != kind.version) {
                    let text = format!("it has version {version}, this one reads {}", kind.version);
                    return Err(unreadable(kind.tree, &key, io::Error::new(io::ErrorKind::InvalidData, text)));
                }
                let header = loaded.map_err(decoded)?;
                self.revision = self.revision.max(header.rev);
                if let Some(digest) = &header.doc {
                    table.load_document(&key, &self.documents.read(digest)?).map_err(decoded)?;
                    self.documents.note(kind.number, &key, Some(digest));
                }
            }
        }
        let events = &self.trees[KINDS.len()];
        if let Some((last, _)) = events.last().map_err(read_failed)? {
            self.revision = self.revision.max(revision_of(&last));
        }
        let first = events.first().map_err(read_failed)?;
        self.first_event = first.map_or(self.revision + 1, |(first, _)| revision_of(&first));
        view.set_revision(self.revision);
        Ok(view)
    }
}

fn encode(batch: &mut Batch) -> Result<Vec<Write>, StoreError> {
    let mut writes = Vec::new();
    for (number, changes) in batch.changed() {
        let kind = &KINDS[number];
        let encoded = changes.encode(&mut |key, revision, json| {
            let (value, document) = match json {
                None => (None, None),
                Some(json) if json.len() <= RECORD_MAX_BYTES => (Some(envelope(kind.version, revision, &json)), None),
                Some(json) => {
                    let digest = digest_of(&json);
                    (Some(envelope_of_document(kind.version, revision, &digest)), Some((digest, json)))
                }
            };
            writes.push(Write { kind: number, key: key.as_str().to_owned(), value, document });
        });
        encoded.map_err(|error| undecodable(kind.tree, "", error))?;
    }
    Ok(writes)
}

pub(crate) fn decode_event(value: &[u8]) -> Result<Event, StoreError> {
    serde_json::from_slice(value).map_err(|error| undecodable(EVENTS_TREE, "", error))
}

fn revision_of(key: &[u8]) -> u64 {
    key.try_into().map_or(0, u64::from_be_bytes)
}

pub(crate) fn read_failed(source: sled::Error) -> StoreError {
    StoreError::Database { what: "read", source }
}

fn undecodable(tree: &'static str, key: &str, error: serde_json::Error) -> StoreError {
    unreadable(tree, key, error.into())
}

fn unreadable(tree: &'static str, key: &str, source: io::Error) -> StoreError {
    StoreError::Decode { tree, key: key.escape_debug().to_string(), source }
}

/// The files beside sled's own into which it spills large pages, and which it never syncs.
struct SpilledPages {
    directory: PathBuf,
    synced: HashSet<OsString>,
}

impl SpilledPages {
    fn new(directory: PathBuf) -> Self {
        Self { directory, synced: HashSet::new() }
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(StoreError::file("read", &self.directory)(error)),
        };
        let mut there = HashSet::new();
        let mut fresh = false;
        for entry in entries {
            let entry = entry.map_err(StoreError::file("read", &self.directory))?;
            let name = entry.file_name();
            if !self.synced.contains(&name) {
                match File::open(entry.path()).and_then(|file| file.sync_all()) {
                    Ok(()) => fresh = true,
                    // sled removes a page that it has replaced, at any moment.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(StoreError::file("sync", entry.path())(error)),
                }
            }
            there.insert(name);
        }
        self.synced = there;
        if fresh {
            sync_directory(&self.directory).map_err(StoreError::file("sync", &self.directory))?;
        }
        Ok(())
    }
}
