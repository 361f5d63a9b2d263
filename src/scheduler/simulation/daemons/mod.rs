//! Daemons in the simulated world: turns of their loop, beside those of the services' one.
//!
//! Real: looking, deciding, carrying out, beginning deployments. Made up: who asks ([`ask`]), and the gate before which the
//! tasks of an instance wait until its daemons run, which is the agent's.
//!
//! Holds: see [`check`] after every decision, and [`rest`] once the faults have stopped.

mod ask;
mod check;
mod rest;

use std::sync::Arc;

use cove_model::container_instance::{ContainerInstance, ContainerInstanceStatus};
use cove_model::daemon::{Daemon, DaemonDeployment, DaemonRevision};
use cove_model::task::{Task, TaskStatus};
use cove_store::{Key, Prefix, Read, StoreError, Tx, keys};

use super::Checked;
use super::bug::Bug;
use super::world::World;
use crate::daemons::decide::decide;
use crate::daemons::{apply, covered_by, covering, look, read};
use crate::deploy::Timing;
use crate::host::HostFacts;
use check::Watched;

impl World {
    pub(super) fn daemons(&self) -> Vec<Arc<Daemon>> {
        self.memory.view().scan::<Daemon>(&Prefix::all())
    }

    /// Looks at all daemons and does what is to be done; the server may die between any two steps.
    pub(super) fn daemons_turn(&mut self) -> Checked {
        let (work, wake_at) = look(self.memory.view(), &self.timing, self.now);
        self.wake_at = [self.wake_at, wake_at].into_iter().flatten().min();
        for key in work {
            if self.is_quiet {
                self.reconcile_daemon(&key)?;
                continue;
            }
            match self.dice.roll(12) {
                // Decided, and not committed.
                0 => self.abandon_daemon(&key),
                // The server dies with the rest of its round in its head.
                1 => return self.restart(),
                // Something happens between the look and the decision.
                2 => {
                    self.hear_one()?;
                    self.reconcile_daemon(&key)?;
                }
                _ => self.reconcile_daemon(&key)?,
            }
        }
        Ok(())
    }

    fn abandon_daemon(&mut self, key: &Key) {
        let (host, timing) = (&self.host, &self.timing);
        let done = self.memory.write(self.now, |tx| {
            apply::reconcile(tx, host, timing, key).map_err(|_| ())?;
            Err::<(), ()>(())
        });
        assert!(done.is_err());
    }

    fn reconcile_daemon(&mut self, key: &Key) -> Checked {
        let Some(before) = Watched::of(self, key) else { return Ok(()) };
        let (host, timing, bug) = (&self.host, &self.timing, self.bug);
        let done = self.memory.write(self.now, |tx| match bug {
            None => apply::reconcile(tx, host, timing, key),
            Some(bug) => reconcile_badly(tx, host, timing, key, bug),
        });
        done.map_err(|error| error.to_string())?;
        let after = Watched::of(self, key);
        self.tell(|| {
            format!("{key:?}: {}", after.as_ref().map_or_else(|| "gone".into(), |it| it.differs_from(&before)))
        });
        match &after {
            Some(after) => after.check_since(&before)?,
            None => self.check_gone(&before)?,
        }
        let left = after.as_ref().map(Watched::ends);
        for id in before.ends().iter().filter(|id| !left.is_some_and(|left| left.contains(*id))) {
            if !self.counted.insert(id.clone()) {
                return Err(format!("the end of {id} is counted twice"));
            }
        }
        self.check_all()
    }

    /// Whether the task stands before the gate of a managed instance whose daemons do not run yet.
    pub(super) fn waits_for_daemons(&self, task: &Task) -> bool {
        let view = self.memory.view();
        let Some(id) = task.placement.container_instance.as_ref().filter(|_| task.daemon().is_none()) else {
            return false;
        };
        let instance = view.get::<ContainerInstance>(&keys::container_instance(&task.tenant, &task.cluster, id));
        let Some(instance) = instance.filter(|one| one.status == ContainerInstanceStatus::Active) else { return false };
        let there = view.listed::<Task>(&keys::tasks_on(&task.tenant, &task.cluster, id));
        let is_of = |one: &Task, daemon: &Daemon| one.daemon() == Some(&*daemon.name);
        let is_up = |one: &Task, daemon: &Daemon| is_of(one, daemon) && one.observed.status == TaskStatus::Running;
        let runs = |daemon: &Daemon| there.iter().any(|one| is_up(one, daemon));
        let comes = |daemon: &Daemon| {
            let part = |id: &str| keys::daemon_part(&daemon.tenant, &daemon.cluster, &daemon.name, id);
            let deployment = view.get::<DaemonDeployment>(&part(&daemon.deployment)).unwrap();
            let revision = view.get::<DaemonRevision>(&part(&daemon.revision)).unwrap();
            daemon.is_active()
                && daemon.trouble.is_none()
                && !deployment.status.has_failed()
                && (there.iter().any(|one| is_of(one, daemon)) || !instance.is_older_than(&daemon.revision))
                && covered_by(&instance, &covering(view, &daemon.tenant, &revision.capacity_providers)).is_some()
        };
        self.daemons().iter().any(|daemon| comes(daemon) && !runs(daemon))
    }
}

/// As [`apply::reconcile`], with a bug.
fn reconcile_badly(tx: &mut Tx<'_>, host: &HostFacts, timing: &Timing, key: &Key, bug: Bug) -> Result<(), StoreError> {
    let Some(daemon) = tx.get::<Daemon>(key) else { return Ok(()) };
    let Some(state) = read::state(tx, &daemon, timing, tx.now()) else { return Ok(()) };
    let mut shown = state.clone();
    bug.bend_daemon(&mut shown);
    let mut decision = decide(&shown);
    // What was asked for is kept, not what was made of it to fool the decision.
    decision.daemon.configuration.clone_from(&state.daemon.configuration);
    apply::carry_out(tx, host, &state, decision);
    Ok(())
}
