//! The same state without a disk: for simulations in virtual time and for measurements of decisions.
//!
//! In: commands, as [`crate::Store::write`] takes them, and the moment of each. Out: the published state.
//! Holds: a command runs, derives, fails and is published as on the writer thread; nothing is durable. Why beside the store:
//! ten thousand simulated servers cannot wait for an `fdatasync` each, and what they try is the commands, not the disk.

use cove_base::Timestamp;

use crate::error::StoreError;
use crate::record::envelope;
use crate::schema::KINDS;
use crate::table::View;
use crate::tx::{Batch, Tx};

/// State that only its owner sees.
pub struct Memory {
    view: View,
}

impl Default for Memory {
    fn default() -> Self {
        Self { view: View::empty() }
    }
}

impl Memory {
    /// Published state.
    #[must_use]
    pub const fn view(&self) -> &View {
        &self.view
    }

    /// Runs one command alone in its batch. `Err` takes its writes back.
    ///
    /// # Errors
    /// The closure's own.
    pub fn write<T, E>(&mut self, now: Timestamp, f: impl FnOnce(&mut Tx<'_>) -> Result<T, E>) -> Result<T, E> {
        let mut batch = Batch::new();
        let revision = self.view.revision() + 1;
        let mut tx = Tx::new(&self.view, &mut batch, revision, now);
        let done = f(&mut tx)?;
        tx.derive();
        drop(tx);
        if !batch.is_empty() {
            for (number, changes) in batch.changed() {
                changes.publish(self.view.erased_mut(number));
            }
            self.view.set_revision(revision);
        }
        Ok(done)
    }

    /// The same state, for one who tries what follows from it; the records are shared.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self { view: self.view.snapshot() }
    }

    /// What a server finds that is started on this: every record out of its stored form.
    ///
    /// # Errors
    /// When a record does not come back out of it.
    pub fn reopened(&self) -> Result<Self, StoreError> {
        let mut fresh = View::empty();
        for kind in KINDS {
            let decode = |source| StoreError::Decode { tree: kind.tree, key: String::new(), source };
            let into = fresh.erased_mut(kind.number);
            let mut load = |key: &crate::Key, json: &[u8]| {
                let stored = envelope(kind.version, self.view.revision(), json);
                into.load(key.as_str(), &stored).map(drop).map_err(std::io::Error::from)
            };
            self.view.erased(kind.number).export(&mut load).map_err(decode)?;
        }
        fresh.set_revision(self.view.revision());
        Ok(Self { view: fresh })
    }
}

#[cfg(test)]
mod tests {
    use cove_model::arn::Tenant;
    use cove_model::rule::EventBus;

    use super::*;
    use crate::{Prefix, Read};

    fn bus(name: &str) -> EventBus {
        let tenant = Tenant::new("000000000000", "us-east-1");
        EventBus { tenant, name: name.into(), description: None, tags: Vec::new(), created_at: Timestamp(1) }
    }

    #[test]
    fn a_command_is_seen_when_it_succeeds_and_leaves_nothing_when_it_fails() {
        let mut memory = Memory::default();
        memory
            .write(Timestamp(1), |tx| {
                tx.put(bus("a"));
                Ok::<_, ()>(())
            })
            .unwrap();
        memory
            .write(Timestamp(2), |tx| {
                tx.put(bus("b"));
                Err::<(), _>(())
            })
            .unwrap_err();
        let names = |it: &Memory| {
            it.view().scan::<EventBus>(&Prefix::all()).iter().map(|one| one.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(&memory), ["a"]);
        assert_eq!(names(&memory.reopened().unwrap()), ["a"]);
        assert_eq!(memory.reopened().unwrap().view().revision(), 1);
    }
}
