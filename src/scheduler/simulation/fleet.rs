//! Machines drain, die, are interrupted, leave and come back; the agents on those that died say nothing more.

use cove_model::container_instance::ContainerInstance;
use cove_model::task::Task;
use cove_store::{Prefix, Read, StoreError};

use super::Checked;
use super::bug::Bug;
use super::setting::IDLE_MILLIS;
use super::world::World;
use crate::fleet::{Verb, apply, depart, scale_in};

impl World {
    pub(super) fn a_machine_changes(&mut self) -> Checked {
        let all = self.memory.view().scan::<ContainerInstance>(&Prefix::all());
        let one = &all[self.dice.roll(all.len())];
        let verb = match self.dice.roll(9) {
            0 | 1 => Verb::Drain,
            2 | 3 => Verb::Activate,
            4 => Verb::Fail,
            5 => Verb::Remove { force: self.dice.one_in(2) },
            6 => Verb::Interrupt { warning_millis: 60_000 },
            _ => Verb::Recover,
        };
        self.change(one, verb);
        self.leave()?;
        self.check_all()
    }

    pub(super) fn change(&mut self, one: &ContainerInstance, verb: Verb) {
        let bug = self.bug;
        let done = self.memory.write(self.now, |tx| {
            if bug == Some(Bug::MachineDiesUnnoticed) && verb == Verb::Fail {
                tx.delete::<ContainerInstance>(&cove_store::Record::key(one));
                return Ok(());
            }
            apply(tx, one, verb).map(drop)
        });
        // It may not be in a state for it; then nothing has happened.
        if done.is_ok() {
            self.tell(|| format!("{}: {verb:?}", one.id));
        }
    }

    /// Those whose warning is over, and those that have been idle; none of these with a task.
    pub(super) fn leave(&mut self) -> Checked {
        let view = self.memory.view();
        let busy: Vec<String> = view
            .scan::<ContainerInstance>(&Prefix::all())
            .iter()
            .filter(|one| one.managed_by.is_some() && one.is_registered() && one.leaves_at.is_none())
            .filter(|one| view.live::<Task>(&Prefix::all()).iter().any(|task| task.is_on(one)))
            .map(|one| one.id.clone())
            .collect();
        let bug = self.bug;
        let done: Result<(), StoreError> = self.memory.write(self.now, |tx| {
            if bug != Some(Bug::IdleStays) {
                scale_in(tx, IDLE_MILLIS)?;
            }
            depart(tx)
        });
        done.map_err(|error| error.to_string())?;
        let after = self.memory.view().scan::<ContainerInstance>(&Prefix::all());
        match after.iter().find(|one| !one.is_registered() && busy.contains(&one.id)) {
            None => Ok(()),
            Some(one) => Err(format!("{} went with its tasks", one.id)),
        }
    }
}
