//! What a command sees and does on the writer thread.
//!
//! What follows from a change of a record ([`crate::derive`]) is computed when the command's closure has succeeded, once for
//! each record, from what the record was before the command and is after it: no writer can forget it.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use cove_base::Timestamp;
use cove_base::ids::uuid;
use cove_model::event::{Event, NewEvent};
use cove_model::rule::{Delivery, Routed};

use crate::event::Change;
use crate::events;
use crate::key::{Key, Prefix};
use crate::keys;
use crate::record::{AnyChanges, Record, kept};
use crate::schema::KINDS;
use crate::table::{Changed, Changes, Read, Summed, View, merged, merged_list, merged_live, merged_sum};

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
    /// What is still to be derived from changed records, one entry for each.
    underived: VecDeque<Underived>,
    /// Their keys by the number of their kind.
    waiting: BTreeMap<usize, HashSet<Key>>,
    /// Numbers that this command took, one for each of its events.
    events: u64,
    /// It gave some up.
    has_dead_deliveries: bool,
}

/// A changed record of a kind that derives, by the number of its kind and its key.
struct Underived {
    kind: usize,
    key: Key,
    run: Box<dyn FnOnce(&mut Tx<'_>)>,
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
        Self {
            view,
            batch,
            revision,
            now,
            undo: Vec::new(),
            touched: Vec::new(),
            underived: VecDeque::new(),
            waiting: BTreeMap::new(),
            events: 0,
            has_dead_deliveries: false,
        }
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

    /// Keeps an event: durable with the command, or not at all. It ends the life of the oldest ones when there are too
    /// many. The event's id.
    pub fn emit(&mut self, event: NewEvent) -> String {
        let number = self.next_number();
        let id = event.id.clone().unwrap_or_else(uuid);
        self.put(event.numbered(id.clone(), number));
        id
    }

    /// Keeps what is on its way to a target, or what became of it. A new one gets its number. The oldest dead ones go when
    /// there are too many.
    pub fn put_delivery(&mut self, mut delivery: Delivery) {
        if delivery.number == 0 {
            delivery.number = self.next_number();
        }
        self.has_dead_deliveries |= delivery.dead_at.is_some();
        self.put(delivery);
    }

    /// A number that grows with every one that any command takes.
    pub(crate) const fn next_number(&mut self) -> u64 {
        let number = events::number(self.revision, self.events);
        self.events += 1;
        number
    }

    /// The number that every event of this command and of later ones lies above.
    #[must_use]
    pub const fn events_before(&self) -> u64 {
        events::number(self.revision, 0).saturating_sub(1)
    }

    /// Brings about what follows from the command's changes. Called once, when its closure has succeeded.
    pub(crate) fn derive(&mut self) {
        while let Some(next) = self.underived.pop_front() {
            if let Some(keys) = self.waiting.get_mut(&next.kind) {
                keys.remove(&next.key);
            }
            (next.run)(self);
        }
        if self.events > 0 {
            self.trim_events();
        }
        if self.has_dead_deliveries {
            self.bury_deliveries();
        }
    }

    /// Whether the command changed the record and nothing has been derived from that yet.
    pub(crate) fn is_underived<K: Record>(&self, key: &Key) -> bool {
        self.waiting.get(&K::NUMBER).is_some_and(|keys| keys.contains(key))
    }

    fn trim_events(&mut self) {
        let changes = &self.batch.of::<Event>().rows;
        let deleted = changes.values().filter(|changed| changed.record.is_none()).count();
        // A deleted one may have been new in this batch; then one more stays until the next command.
        let there = (self.view.table::<Event>().rows.len() + changes.len()).saturating_sub(2 * deleted);
        let oldest = self.page::<Event>(&Prefix::all(), None, events::trimmed_at_once(self.events));
        let routed = self.get::<Routed>(&keys::routed()).map_or(0, |routed| routed.number);
        let mut going = events::expired(&oldest, there, routed, self.now);
        going.extend(events::too_large(&self.live::<Event>(&Prefix::all())));
        for key in going {
            self.delete::<Event>(&key);
        }
    }

    fn bury_deliveries(&mut self) {
        let dead = self.scan::<Delivery>(&Prefix::all()).into_iter().filter(|one| one.dead_at.is_some());
        for key in events::buried(&dead.collect::<Vec<_>>()) {
            self.delete::<Delivery>(&key);
        }
    }

    fn change<K: Record>(&mut self, key: Key, record: Option<Arc<K>>) {
        if let Some(derive) = K::DERIVE
            && !self.is_underived::<K>(&key)
        {
            let (before, of) = (self.get::<K>(&key), key.clone());
            let run = Box::new(move |tx: &mut Tx<'_>| {
                let after = tx.get::<K>(&of);
                derive(tx, before.as_deref(), after.as_deref());
            });
            self.waiting.entry(K::NUMBER).or_default().insert(key.clone());
            self.underived.push_back(Underived { kind: K::NUMBER, key: key.clone(), run });
        }
        let change = Change { tree: K::TREE.into(), key: key.as_str().to_owned(), deleted: record.is_none() };
        self.touched.push(change);
        let before = self.batch.of_mut::<K>().insert(key.clone(), Changed { revision: self.revision, record });
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

    fn listed<K: Record>(&self, list: &Key) -> Vec<Arc<K>> {
        merged_list(self.view.table::<K>(), self.batch.of::<K>(), list)
    }

    fn sum<K: Record>(&self) -> Summed<'_, K::Sum> {
        merged_sum(self.view.table::<K>(), self.batch.of::<K>())
    }
}
