//! Turns of the scheduler's loop, and what may come between its steps.

use cove_model::capacity_provider::{FARGATE, FARGATE_SPOT};
use cove_model::container_instance::ContainerInstance;
use cove_model::service::Service;
use cove_model::task::{LaunchType, Task, TaskNetwork};
use cove_store::{Key, Prefix, Read, StoreError, Tx, keys};

use super::Checked;
use super::bug::Bug;
use super::check::Seen;
use super::world::World;
use crate::deploy::{Timing, decide};
use crate::host::HostFacts;
use crate::launch::{place_waiting, waiting};
use crate::services::{Scene, apply, look};

impl World {
    /// Looks at everything and does what is to be done, one service after the other; the server may die between any two.
    /// Whether there was anything to do.
    pub(super) fn turn(&mut self) -> Result<bool, String> {
        let is_placed = self.place_waiting()?;
        let round = look(self.memory.view(), &self.timing, self.now);
        // Who waits for capacity is given up then.
        let end = |task: &std::sync::Arc<Task>| task.created_at.plus_millis(self.host.fleet.provisioning_millis);
        let given_up = waiting(self.memory.view()).iter().map(end).min();
        self.wake_at = round.wake_at.into_iter().chain(given_up).min();
        let is_work = is_placed || !round.work.is_empty();
        for key in round.work {
            if self.is_quiet {
                self.reconcile(&key)?;
                continue;
            }
            match self.dice.roll(12) {
                // Decided, and not committed.
                0 => self.abandon(&key),
                // The server dies with the rest of its round in its head.
                1 => return self.restart().map(|()| true),
                // Something happens between the look and the decision.
                2 => {
                    self.hear_one()?;
                    self.reconcile(&key)?;
                }
                _ => self.reconcile(&key)?,
            }
        }
        Ok(is_work)
    }

    /// Tasks that wait for capacity: the other loop. Whether any of them waits no more.
    fn place_waiting(&mut self) -> Result<bool, String> {
        let before = waiting(self.memory.view()).len();
        if before == 0 || self.bug == Some(Bug::WaitingForgotten) {
            return Ok(false);
        }
        let host = &self.host;
        let mut from = None;
        loop {
            let place = |tx: &mut Tx<'_>| place_waiting(tx, host, from.as_ref());
            from = self.memory.write(self.now, place).map_err(|error| error.to_string())?;
            if from.is_none() {
                break;
            }
        }
        let left = waiting(self.memory.view());
        let end = |task: &Task| task.created_at.plus_millis(self.host.fleet.provisioning_millis);
        if let Some(odd) = left.iter().find(|task| end(task) <= self.now) {
            return Err(format!("{} waits for ever", odd.id));
        }
        self.tell(|| format!("{before} waited, {} still do", left.len()));
        self.check_all()?;
        Ok(left.len() < before)
    }

    fn abandon(&mut self, key: &Key) {
        let (host, timing) = (&self.host, &self.timing);
        let done = self.memory.write(self.now, |tx| {
            apply::reconcile(tx, host, timing, key).map_err(|_| ())?;
            Err::<(), ()>(())
        });
        assert!(done.is_err());
    }

    fn reconcile(&mut self, key: &Key) -> Checked {
        let Some(before) = Seen::of(self, key) else { return Ok(()) };
        let (host, timing, bug) = (&self.host, &self.timing, self.bug);
        let done = self.memory.write(self.now, |tx| match bug {
            None => apply::reconcile(tx, host, timing, key),
            Some(bug) => reconcile_badly(tx, host, timing, key, bug),
        });
        done.map_err(|error| error.to_string())?;
        let after = Seen::of(self, key).ok_or("a service vanished")?;
        self.tell(|| format!("{key:?}: {}", after.differs_from(&before)));
        after.check_since(&before)?;
        for id in before.ends().difference(after.ends()) {
            if !self.counted.insert(id.clone()) {
                return Err(format!("the end of {id} is counted twice"));
            }
        }
        self.check_all()
    }

    /// Everything that was in the server's head is gone; the next one begins with what is stored.
    pub(super) fn restart(&mut self) -> Checked {
        self.tell(|| "the server dies".into());
        // Its own memory is nothing but the records. Reading them back costs as much as a hundred steps.
        if self.dice.one_in(8) {
            self.memory = self.memory.reopened().map_err(|error| error.to_string())?;
        }
        if self.bug == Some(Bug::ForgottenByRestart) {
            let services = self.memory.view().scan::<Service>(&Prefix::all());
            let Some(one) = services.into_iter().next() else { return Ok(()) };
            let key = keys::service(&one.tenant, &one.cluster, &one.name);
            let done: Result<bool, StoreError> = self.memory.write(self.now, |tx| Ok(tx.delete::<Service>(&key)));
            done.unwrap();
        }
        self.check_all()
    }
}

/// As [`apply::reconcile`], with a bug.
fn reconcile_badly(tx: &mut Tx<'_>, host: &HostFacts, timing: &Timing, key: &Key, bug: Bug) -> Result<(), StoreError> {
    let Some(service) = tx.get::<Service>(key) else { return Ok(()) };
    let now = tx.now();
    let state = Scene::at(timing, now).state(tx, &service);
    let mut shown = state.clone();
    bug.bend_state(&mut shown);
    let mut decision = decide(&shown);
    bug.bend_decision(&state, &mut decision);
    let inside = Prefix::parent(&service.tenant, &service.cluster);
    let known = tx.live::<Task>(&inside);
    apply::carry_out(tx, host, &state, decision);
    let is_new = |task: &&std::sync::Arc<Task>| !known.iter().any(|one| one.id == task.id);
    let fresh: Vec<Task> = tx.live::<Task>(&inside).iter().filter(is_new).map(|task| (**task).clone()).collect();
    for mut task in fresh {
        match bug {
            Bug::SeveralOnOneInstance => {
                let Some(first) = known.first() else { continue };
                task.placement.container_instance.clone_from(&first.placement.container_instance);
            }
            Bug::PortGivenTwice if matches!(task.network, TaskNetwork::Bridge { .. }) => {
                let taken = known.iter().flat_map(|one| &one.containers).flat_map(|it| &it.ports).next();
                let (Some(taken), Some(own)) = (taken, task.containers[0].ports.first_mut()) else { continue };
                own.host_port = taken.host_port;
            }
            Bug::BaseForgotten if task.placement.capacity_provider.as_deref() == Some(FARGATE) => {
                task.placement.capacity_provider = Some(FARGATE_SPOT.into());
            }
            Bug::FargateOnInstance if task.placement.launch_type == LaunchType::Fargate => {
                let Some(first) = tx.scan::<ContainerInstance>(&inside).into_iter().next() else { continue };
                task.placement.container_instance = Some(first.id.clone());
            }
            _ => continue,
        }
        tx.put(task);
    }
    Ok(())
}
