//! Records and the envelope that they are stored in: `{"v": version, "rev": revision, "data": …}`, or `"doc"` with the
//! digest of a file instead of `"data"` when the record is large.

use std::any::Any;
use std::io;
use std::sync::Arc;

use cove_model::taken::Taken;
use cove_model::task::Task;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::derive::Derive;
use crate::key::Key;
use crate::table::{Changes, Table};

/// A noun that the store keeps.
pub trait Record: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// The tree that holds records of this kind.
    const TREE: &'static str;
    /// The version of the form; migrations bring older records up to it.
    const VERSION: u32;
    /// The kind's place in the schema.
    #[doc(hidden)]
    const NUMBER: usize;
    /// What follows from a command's change of a record, in the same transaction.
    #[doc(hidden)]
    const DERIVE: Option<Derive<Self>> = None;

    /// What its live records amount to.
    #[doc(hidden)]
    type Sum: Sum<Self>;

    /// Its key within the tree.
    fn key(&self) -> Key;

    /// Whether it is among the few of its kind that loops look at all the time: [`crate::Read::live`] finds those
    /// without walking over the others.
    fn is_live(&self) -> bool {
        false
    }

    /// The lists that it is on while it is live: [`crate::Read::listed`] finds those of one list.
    fn lists(&self) -> Vec<Key> {
        Vec::new()
    }
}

/// What live records amount to, kept as they come and go: [`crate::Read::sum`] reads none of them.
pub trait Sum<K>: Default + Clone + Send + Sync + 'static {
    /// Adds a record so many times; -1 takes it away.
    fn add(&mut self, record: &K, times: i64);
}

impl<K> Sum<K> for () {
    fn add(&mut self, _: &K, _: i64) {}
}

impl Sum<Task> for Taken {
    fn add(&mut self, record: &Task, times: i64) {
        Self::add(self, record, times);
    }
}

/// A kind of record with its type erased, so that the writer can treat all trees alike.
pub(crate) struct Kind {
    pub(crate) number: usize,
    pub(crate) tree: &'static str,
    pub(crate) version: u32,
    pub(crate) new_table: fn() -> Box<dyn AnyTable>,
    pub(crate) new_changes: fn() -> Box<dyn AnyChanges>,
}

impl Kind {
    pub(crate) const fn of<K: Record>() -> Self {
        Self {
            number: K::NUMBER,
            tree: K::TREE,
            version: K::VERSION,
            new_table: || Box::new(Table::<K>::default()),
            new_changes: || Box::new(Changes::<K>::default()),
        }
    }
}

/// A record as it stays in memory. A list that was read from JSON has room for more, most often for three more of its
/// elements; a copy has not. That is half of a task definition: 3.6 KiB instead of 7.
pub(crate) fn kept<K: Record>(record: &K) -> Arc<K> {
    Arc::new(record.clone())
}

/// A [`Table`] of some kind.
pub(crate) trait AnyTable: Any + Send + Sync {
    /// Adds a record from its envelope, unless a document holds it, and says what the envelope says.
    fn load(&mut self, key: &str, envelope: &[u8]) -> Result<Header, serde_json::Error>;
    /// Adds a record from its document.
    fn load_document(&mut self, key: &str, json: &[u8]) -> Result<(), serde_json::Error>;
    /// Whether a record that was loaded under this key is where it belongs; true for one that is not there.
    fn has_own_key(&self, key: &str) -> bool;
    fn forget(&mut self, key: &str);
    /// The same records; they are shared, not copied.
    fn snapshot(&self) -> Box<dyn AnyTable>;
    /// Hands out every record's key and JSON, in key order, until `out` fails.
    fn export(&self, out: &mut Exported<'_>) -> io::Result<()>;
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

/// Takes the key and the JSON of one record.
pub(crate) type Exported<'a> = dyn FnMut(&Key, &[u8]) -> io::Result<()> + 'a;

/// Takes key, revision and the record's JSON; `None` where it was deleted.
pub(crate) type Encoded<'a> = dyn FnMut(&Key, u64, Option<Vec<u8>>) + 'a;

/// [`Changes`] of some kind.
pub(crate) trait AnyChanges: Any + Send {
    fn is_empty(&self) -> bool;
    /// Hands out every change.
    fn encode(&self, out: &mut Encoded<'_>) -> Result<(), serde_json::Error>;
    /// Moves the changes into the table and is empty after that.
    fn publish(&mut self, table: &mut dyn AnyTable);
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

impl<K: Record> AnyTable for Table<K> {
    fn load(&mut self, key: &str, envelope: &[u8]) -> Result<Header, serde_json::Error> {
        let Envelope { v, rev, data, doc } = serde_json::from_slice::<Envelope<K>>(envelope)?;
        if let Some(data) = data {
            self.insert(Key::from_stored(key), kept(&data));
        }
        Ok(Header { v, rev, doc })
    }

    fn load_document(&mut self, key: &str, json: &[u8]) -> Result<(), serde_json::Error> {
        self.insert(Key::from_stored(key), kept(&serde_json::from_slice(json)?));
        Ok(())
    }

    fn has_own_key(&self, key: &str) -> bool {
        self.rows.get(key).is_none_or(|record| record.key().as_str() == key)
    }

    fn forget(&mut self, key: &str) {
        self.remove(key);
    }

    fn snapshot(&self) -> Box<dyn AnyTable> {
        Box::new(Self::snapshot(self))
    }

    fn export(&self, out: &mut Exported<'_>) -> io::Result<()> {
        self.rows.iter().try_for_each(|(key, record)| out(key, &serde_json::to_vec(&**record)?))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

impl<K: Record> AnyChanges for Changes<K> {
    fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn encode(&self, out: &mut Encoded<'_>) -> Result<(), serde_json::Error> {
        for (key, change) in &self.rows {
            let json = change.record.as_ref().map(|record| serde_json::to_vec(&**record)).transpose()?;
            out(key, change.revision, json);
        }
        Ok(())
    }

    fn publish(&mut self, table: &mut dyn AnyTable) {
        let table = table.as_any_mut().downcast_mut::<Table<K>>().expect("tables and changes share one numbering");
        for (key, change) in self.take() {
            match change.record {
                Some(record) => table.insert(key, record),
                None => table.remove(key.as_str()),
            }
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// What a stored value says about itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Header {
    pub(crate) v: u32,
    pub(crate) rev: u64,
    /// The document that holds the data, when the value does not.
    #[serde(default)]
    pub(crate) doc: Option<String>,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "K: DeserializeOwned"))]
struct Envelope<K> {
    v: u32,
    rev: u64,
    #[serde(default = "Option::default")]
    data: Option<K>,
    #[serde(default)]
    doc: Option<String>,
}

/// The stored form of a record that is small enough to stand in the database.
pub(crate) fn envelope(version: u32, revision: u64, json: &[u8]) -> Vec<u8> {
    let mut value = format!("{{\"v\":{version},\"rev\":{revision},\"data\":").into_bytes();
    value.extend_from_slice(json);
    value.push(b'}');
    value
}

/// The stored form of a record whose JSON is a document of that digest.
pub(crate) fn envelope_of_document(version: u32, revision: u64, digest: &str) -> Vec<u8> {
    format!("{{\"v\":{version},\"rev\":{revision},\"doc\":\"{digest}\"}}").into_bytes()
}
