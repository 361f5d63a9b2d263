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
    use cove_model::taken::Taken;
    use cove_model::task::{Keeper, Task, TaskNetwork, TaskStatus};
    use proptest::prelude::{Strategy, proptest};

    use super::*;
    use crate::tests::{task, tenant};
    use crate::{Prefix, Read, keys};

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

    /// A task's id, instance, service and status; `None` for one that is deleted.
    type Step = (u8, Option<(u8, u8, bool)>);

    fn carry_out(tx: &mut Tx<'_>, (id, to): Step) {
        let id = format!("t{id}");
        let Some((instance, service, stopped)) = to else {
            tx.delete::<Task>(&keys::task(&tenant(), "default", &id));
            return;
        };
        let mut it = task(&id, if stopped { TaskStatus::Stopped } else { TaskStatus::Running });
        it.placement.container_instance = Some(format!("i{instance}"));
        (it.placement.cpu, it.placement.memory_mib) = (i64::from(instance), 7);
        it.network = TaskNetwork::Bridge { address: std::net::Ipv4Addr::new(10, 0, instance, service) };
        let keeper = if id == "t0" { Keeper::Daemon } else { Keeper::Service };
        it.keeper = Some(keeper(format!("s{service}")));
        tx.put(it);
    }

    /// Lists and sums say what reading everything says.
    fn agrees(source: &impl Read) {
        let live = source.live::<Task>(&Prefix::all());
        for number in 0..3 {
            let (instance, service) = (format!("i{number}"), format!("s{number}"));
            let on = source.listed::<Task>(&keys::tasks_on(&tenant(), "default", &instance));
            let wanted = live.iter().filter(|it| it.placement.container_instance.as_ref() == Some(&instance));
            assert!(on.iter().eq(wanted), "in key order, and no other");
            let of = source.listed::<Task>(&keys::tasks_of(&tenant(), "default", &service));
            assert!(of.iter().eq(live.iter().filter(|it| it.service() == Some(&*service))));
            let of = source.listed::<Task>(&keys::tasks_of_daemon(&tenant(), "default", &service));
            assert!(of.iter().eq(live.iter().filter(|it| it.daemon() == Some(&*service))));
        }
        let mut wanted = Taken::nothing();
        live.iter().for_each(|it| wanted.add(it, 1));
        let there = source.sum::<Task>();
        assert_eq!(there.number(|it| it.tasks), wanted.tasks);
        for instance in 0..3 {
            for service in 0..3 {
                let address = std::net::Ipv4Addr::new(10, 0, instance, service);
                assert_eq!(there.number(|it| it.bridge_address(address)), wanted.bridge_address(address));
            }
        }
        if there.changes == Taken::nothing() {
            assert_eq!(*there.published, wanted, "nothing is left of what went");
        }
    }

    fn step() -> impl Strategy<Value = Step> {
        (0_u8..6, proptest::option::weighted(0.8, (0_u8..3, 0_u8..3, proptest::bool::weighted(0.3))))
    }

    proptest! {
        #[test]
        fn lists_and_sums_say_what_reading_everything_says(
            commands in proptest::collection::vec((proptest::collection::vec(step(), 0..6), proptest::bool::ANY), 1..8),
        ) {
            // Those of a batch see each other; those that fail are taken back.
            let mut memory = Memory::default();
            for batch in commands.chunks(2) {
                let mut changes = Batch::new();
                for (steps, fails) in batch {
                    let mut tx = Tx::new(&memory.view, &mut changes, memory.view.revision() + 1, Timestamp(1));
                    for step in steps {
                        carry_out(&mut tx, *step);
                        agrees(&tx);
                    }
                    if *fails {
                        tx.roll_back();
                    }
                }
                for (number, changes) in changes.changed() {
                    changes.publish(memory.view.erased_mut(number));
                }
                agrees(memory.view());
                agrees(memory.reopened().unwrap().view());
            }
        }
    }
}
