//! Tables in memory, the changes laid over them, and reading through both.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use crate::events;
use crate::key::{Key, Prefix};
use crate::record::{AnyTable, Record, Sum};
use crate::schema::KINDS;

/// All published records of a kind, in key order.
///
/// Holds: `live` has those rows that are live ([`Record::is_live`]) and no other; so have `lists` ([`Record::lists`]), and
/// `sum` is of them.
pub(crate) struct Table<K: Record> {
    pub(crate) rows: BTreeMap<Key, Arc<K>>,
    live: BTreeMap<Key, Arc<K>>,
    lists: HashMap<Key, BTreeMap<Key, Arc<K>>>,
    sum: K::Sum,
}

impl<K: Record> Default for Table<K> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), live: BTreeMap::new(), lists: HashMap::new(), sum: K::Sum::default() }
    }
}

impl<K: Record> Table<K> {
    pub(crate) fn insert(&mut self, key: Key, record: Arc<K>) {
        self.leave(key.as_str());
        if record.is_live() {
            self.sum.add(&record, 1);
            for list in record.lists() {
                self.lists.entry(list).or_default().insert(key.clone(), Arc::clone(&record));
            }
            self.live.insert(key.clone(), Arc::clone(&record));
        }
        self.rows.insert(key, record);
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.leave(key);
        self.rows.remove(key);
    }

    /// Takes a row from everything that only live ones are in.
    fn leave(&mut self, key: &str) {
        let Some(before) = self.live.remove(key) else { return };
        self.sum.add(&before, -1);
        for list in before.lists() {
            if let Some(rows) = self.lists.get_mut(&list) {
                rows.remove(key);
                if rows.is_empty() {
                    self.lists.remove(&list);
                }
            }
        }
    }

    /// The same rows; they are shared, not copied.
    pub(crate) fn snapshot(&self) -> Self {
        let Self { rows, live, lists, sum } = self;
        Self { rows: rows.clone(), live: live.clone(), lists: lists.clone(), sum: sum.clone() }
    }
}

/// What the commands of one batch did to a kind.
pub(crate) struct Changes<K> {
    pub(crate) rows: BTreeMap<Key, Changed<K>>,
    /// Keys of rows that came onto a list; they may have left it again.
    listed: HashMap<Key, BTreeSet<Key>>,
}

impl<K> Default for Changes<K> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), listed: HashMap::new() }
    }
}

impl<K: Record> Changes<K> {
    /// Lays a change over the others; the one that it replaces.
    pub(crate) fn insert(&mut self, key: Key, changed: Changed<K>) -> Option<Changed<K>> {
        for list in changed.record.iter().flat_map(|record| record.lists()) {
            self.listed.entry(list).or_default().insert(key.clone());
        }
        self.rows.insert(key, changed)
    }

    /// All of them; none is left.
    pub(crate) fn take(&mut self) -> BTreeMap<Key, Changed<K>> {
        self.listed.clear();
        std::mem::take(&mut self.rows)
    }
}

/// The new record (`None`: deleted) and the revision of the command that made it.
pub(crate) struct Changed<K> {
    pub(crate) revision: u64,
    pub(crate) record: Option<Arc<K>>,
}

/// Reading, the same on published state ([`View`]) and inside a command ([`crate::Tx`]).
pub trait Read {
    /// One record.
    fn get<K: Record>(&self, key: &Key) -> Option<Arc<K>>;
    /// Up to `limit` records of a range, in key order, those behind `after` only.
    fn page<K: Record>(&self, prefix: &Prefix, after: Option<&Key>, limit: usize) -> Vec<Arc<K>>;
    /// How many records lie in a range.
    fn count<K: Record>(&self, prefix: &Prefix) -> usize;
    /// Those records of a range that are live ([`Record::is_live`]), in key order; the others cost nothing.
    fn live<K: Record>(&self, prefix: &Prefix) -> Vec<Arc<K>>;
    /// Those live records that are on a list ([`Record::lists`]), in key order; the others cost nothing.
    fn listed<K: Record>(&self, list: &Key) -> Vec<Arc<K>>;
    /// What all live records of a kind amount to; it costs nothing to ask.
    fn sum<K: Record>(&self) -> Summed<'_, K::Sum>;
    /// All records of a range, in key order.
    fn scan<K: Record>(&self, prefix: &Prefix) -> Vec<Arc<K>> {
        self.page(prefix, None, usize::MAX)
    }
}

/// What live records amount to: the published ones, and how the changes of the batch differ from them.
#[derive(Debug, Clone)]
pub struct Summed<'a, S> {
    pub published: &'a S,
    pub changes: S,
}

impl<S> Summed<'_, S> {
    /// A number of both together.
    pub fn number(&self, of: impl Fn(&S) -> i64) -> i64 {
        of(self.published) + of(&self.changes)
    }
}

/// Published state: everything in it is durable.
pub struct View {
    tables: Vec<Box<dyn AnyTable>>,
    revision: u64,
}

impl View {
    pub(crate) fn empty() -> Self {
        Self { tables: KINDS.iter().map(|kind| (kind.new_table)()).collect(), revision: 0 }
    }

    /// The revision of the last published command.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// No event has this number yet: one that is told a number from here on was told it of another store.
    #[must_use]
    pub const fn next_event_number(&self) -> u64 {
        events::number(self.revision + 1, 0)
    }

    pub(crate) const fn set_revision(&mut self, revision: u64) {
        self.revision = revision;
    }

    /// The same state; later publishing does not change it.
    pub(crate) fn snapshot(&self) -> Self {
        Self { tables: self.tables.iter().map(|table| table.snapshot()).collect(), revision: self.revision }
    }

    pub(crate) fn erased(&self, number: usize) -> &dyn AnyTable {
        &*self.tables[number]
    }

    pub(crate) fn erased_mut(&mut self, number: usize) -> &mut dyn AnyTable {
        &mut *self.tables[number]
    }

    pub(crate) fn table<K: Record>(&self) -> &Table<K> {
        self.tables[K::NUMBER].as_any().downcast_ref().expect("a kind's number is its place in the schema")
    }
}

impl Read for View {
    fn get<K: Record>(&self, key: &Key) -> Option<Arc<K>> {
        self.table::<K>().rows.get(key).cloned()
    }

    fn page<K: Record>(&self, prefix: &Prefix, after: Option<&Key>, limit: usize) -> Vec<Arc<K>> {
        range(&self.table::<K>().rows, prefix, after).take(limit).map(|(_, record)| Arc::clone(record)).collect()
    }

    fn count<K: Record>(&self, prefix: &Prefix) -> usize {
        range(&self.table::<K>().rows, prefix, None).count()
    }

    fn live<K: Record>(&self, prefix: &Prefix) -> Vec<Arc<K>> {
        range(&self.table::<K>().live, prefix, None).map(|(_, record)| Arc::clone(record)).collect()
    }

    fn listed<K: Record>(&self, list: &Key) -> Vec<Arc<K>> {
        self.table::<K>().lists.get(list).into_iter().flat_map(BTreeMap::values).cloned().collect()
    }

    fn sum<K: Record>(&self) -> Summed<'_, K::Sum> {
        Summed { published: &self.table::<K>().sum, changes: K::Sum::default() }
    }
}

/// The rows whose key begins with `prefix` and lies behind `after`.
pub(crate) fn range<'a, V>(
    rows: &'a BTreeMap<Key, V>,
    prefix: &'a Prefix,
    after: Option<&Key>,
) -> impl Iterator<Item = (&'a Key, &'a V)> {
    let first = match after {
        Some(after) if after.as_str() >= prefix.as_str() => Bound::Excluded(after.as_str()),
        Some(_) | None => Bound::Included(prefix.as_str()),
    };
    rows.range::<str, _>((first, Bound::Unbounded)).take_while(|(key, _)| key.as_str().starts_with(prefix.as_str()))
}

/// The rows of a range as they are under the changes.
pub(crate) fn merged<'a, K: Record>(
    table: &'a Table<K>,
    changes: &'a Changes<K>,
    prefix: &'a Prefix,
    after: Option<&Key>,
) -> impl Iterator<Item = &'a Arc<K>> {
    laid_over(&table.rows, changes, prefix, after)
}

/// The same of the live rows.
pub(crate) fn merged_live<'a, K: Record>(
    table: &'a Table<K>,
    changes: &'a Changes<K>,
    prefix: &'a Prefix,
) -> impl Iterator<Item = &'a Arc<K>> {
    laid_over(&table.live, changes, prefix, None).filter(|record| record.is_live())
}

/// The rows of a list as they are under the changes.
pub(crate) fn merged_list<K: Record>(table: &Table<K>, changes: &Changes<K>, list: &Key) -> Vec<Arc<K>> {
    let old = table.lists.get(list).into_iter().flatten().filter(|(key, _)| !changes.rows.contains_key(*key));
    let Some(touched) = changes.listed.get(list) else { return old.map(|(_, record)| Arc::clone(record)).collect() };
    let new = touched.iter().filter_map(|key| {
        let record = changes.rows.get(key)?.record.as_ref()?;
        (record.is_live() && record.lists().contains(list)).then_some((key, record))
    });
    let rows: BTreeMap<&Key, &Arc<K>> = old.chain(new).collect();
    rows.into_values().cloned().collect()
}

/// What live rows amount to under the changes.
pub(crate) fn merged_sum<'a, K: Record>(table: &'a Table<K>, changes: &Changes<K>) -> Summed<'a, K::Sum> {
    let mut difference = K::Sum::default();
    for (key, changed) in &changes.rows {
        if let Some(before) = table.live.get(key) {
            difference.add(before, -1);
        }
        if let Some(after) = changed.record.as_ref().filter(|record| record.is_live()) {
            difference.add(after, 1);
        }
    }
    Summed { published: &table.sum, changes: difference }
}

fn laid_over<'a, K>(
    rows: &'a BTreeMap<Key, Arc<K>>,
    changes: &'a Changes<K>,
    prefix: &'a Prefix,
    after: Option<&Key>,
) -> impl Iterator<Item = &'a Arc<K>> {
    let mut old = range(rows, prefix, after).peekable();
    let mut new = range(&changes.rows, prefix, after).peekable();
    std::iter::from_fn(move || {
        loop {
            let take_new = match (old.peek(), new.peek()) {
                (None, None) => return None,
                (Some(_), None) => false,
                (None, Some(_)) => true,
                (Some((old_key, _)), Some((new_key, _))) => {
                    if old_key == new_key {
                        old.next();
                        true
                    } else {
                        new_key < old_key
                    }
                }
            };
            if !take_new {
                return old.next().map(|(_, record)| record);
            }
            if let Some((_, Changed { record: Some(record), .. })) = new.next() {
                return Some(record);
            }
        }
    })
}
