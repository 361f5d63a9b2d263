//! What a command sees and does on the writer thread.

use std::sync::Arc;

use cove_base::Timestamp;

use crate::event::Change;
use crate::key::{Key, Prefix};
use crate::record::{AnyChanges, Record, kept};
use crate::schema::KINDS;
use crate::table::{Changed, Changes, Read, View, merged, merged_live};

/// One command's access to the state: published records, what earlier commands of the batch did, its own writes.
///
/// Holds: dropped or rolled back, it leaves the batch as it found it.
pub struct Tx<'a> {
    view: &'a View,
    batch: &'a mut Batch,
    revision: u64,
    now: Timestamp,
    undo: Vec<Undo>,
    touched: Vec<Change>,
}

type Undo = Box<dyn FnOnce(&mut Batch)>;

/// What the commands of a batch did together.
pub(crate) struct Batch {
    changes: Vec<Box<dyn AnyChanges>>,
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self { changes: KINDS.iter().map(|kind| (kind.new_changes)()).collect() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.changes.iter().all(|changes| changes.is_empty())
    }

    /// The kinds that changed, by number.
    pub(crate) fn changed(&mut self) -> impl Iterator<Item = (usize, &mut Box<dyn AnyChanges>)> {
        self.changes.iter_mut().enumerate().filter(|(_, changes)| !changes.is_empty())
    }

    fn of<K: Record>(&self) -> &Changes<K> {
        self.changes[K::NUMBER].as_any().downcast_ref().expect("a kind's number is its place in the schema")
    }

    fn of_mut<K: Record>(&mut self) -> &mut Changes<K> {
        self.changes[K::NUMBER].as_any_mut().downcast_mut().expect("a kind's number is its place in the schema")
    }
}

impl<'a> Tx<'a> {
    pub(crate) const fn new(view: &'a View, batch: &'a mut Batch, revision: u64, now: Timestamp) -> Self {
        Self { view, batch, revision, now, undo: Vec::new(), touched: Vec::new() }
    }

    /// Adds the record or replaces the one of the same key.
    pub fn put<K: Record>(&mut self, record: K) {
        let key = record.key();
        self.change(key, Some(kept(&record)));
    }

    /// Removes a record; whether there was one.
    pub fn delete<K: Record>(&mut self, key: &Key) -> bool {
        let there = self.get::<K>(key).is_some();
        if there {
            self.change::<K>(key.clone(), None);
        }
        there
    }

    /// The moment of this command; it stands still while the command runs.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    fn change<K: Record>(&mut self, key: Key, record: Option<Arc<K>>) {
        let change = Change { tree: K::TREE.into(), key: key.as_str().to_owned(), deleted: record.is_none() };
        self.touched.push(change);
        let before = self.batch.of_mut::<K>().rows.insert(key.clone(), Changed { revision: self.revision, record });
        self.undo.push(Box::new(move |batch| {
            let rows = &mut batch.of_mut::<K>().rows;
            match before {
                Some(before) => rows.insert(key, before),
                None => rows.remove(&key),
            };
        }));
    }

    /// Takes every write of this command back, the last one first.
    pub(crate) fn roll_back(self) {
        for undo in self.undo.into_iter().rev() {
            undo(self.batch);
        }
    }

    /// What this command changed; empty when it only read.
    pub(crate) fn into_changes(self) -> Vec<Change> {
        self.touched
    }
}

impl Read for Tx<'_> {
    fn get<K: Record>(&self, key: &Key) -> Option<Arc<K>> {
        match self.batch.of::<K>().rows.get(key) {
            Some(changed) => changed.record.clone(),
            None => self.view.get(key),
        }
    }

    fn page<K: Record>(&self, prefix: &Prefix, after: Option<&Key>, limit: usize) -> Vec<Arc<K>> {
        merged(self.view.table::<K>(), self.batch.of::<K>(), prefix, after).take(limit).cloned().collect()
    }

    fn count<K: Record>(&self, prefix: &Prefix) -> usize {
        merged(self.view.table::<K>(), self.batch.of::<K>(), prefix, None).count()
    }

    fn live<K: Record>(&self, prefix: &Prefix) -> Vec<Arc<K>> {
        merged_live(self.view.table::<K>(), self.batch.of::<K>(), prefix).cloned().collect()
    }
}
