//! Machines drain, die, are interrupted, leave and come back; the agents on those that died say nothing more.
//!
//! Holds: see [`World::check_moves`] whenever instances of a provider are taken away, [`World::check_sizes`] at rest.

use std::sync::Arc;

use cove_model::container_instance::{ContainerInstance, ContainerInstanceStatus};
use cove_model::instance_type::InstanceType;
use cove_model::service::Service;
use cove_model::task::{Task, TaskNetwork};
use cove_store::{Prefix, Read, Record, StoreError, Tx, keys};

use super::Checked;
use super::bug::Bug;
use super::world::World;
use crate::fleet::{Verb, apply, depart, leaving, scale_in};
use crate::host::HostFacts;
use crate::place::remaining;

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
                tx.delete::<ContainerInstance>(&one.key());
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
        let before = self.memory.view().scan::<ContainerInstance>(&Prefix::all());
        let busy: Vec<String> = before
            .iter()
            .filter(|one| one.managed_by.is_some() && one.is_registered() && one.leaves_at.is_none())
            .filter(|one| !self.tasks_on(one).is_empty())
            .map(|one| one.id.clone())
            .collect();
        let (bug, host) = (self.bug, &self.host);
        let done: Result<(), StoreError> = self.memory.write(self.now, |tx| {
            match bug {
                Some(Bug::IdleStays) => {}
                Some(bug) => scale_in_badly(tx, host, bug)?,
                None => scale_in(tx, host)?,
            }
            Ok(())
        });
        done.map_err(|error| error.to_string())?;
        self.check_moves(&before)?;
        let done: Result<(), StoreError> = self.memory.write(self.now, depart);
        done.map_err(|error| error.to_string())?;
        let after = self.memory.view().scan::<ContainerInstance>(&Prefix::all());
        match after.iter().find(|one| !one.is_registered() && busy.contains(&one.id)) {
            None => Ok(()),
            Some(one) => Err(format!("{} went with its tasks", one.id)),
        }
    }

    fn tasks_on(&self, one: &ContainerInstance) -> Vec<Arc<Task>> {
        self.memory.view().listed::<Task>(&keys::tasks_on(&one.tenant, &one.cluster, &one.id))
    }

    /// What began to drain has no tasks that are protected, and others of its zone have room for each of them; those that
    /// came in place of another have its zone, and cost less.
    fn check_moves(&self, before: &[Arc<ContainerInstance>]) -> Checked {
        let after = self.memory.view().scan::<ContainerInstance>(&Prefix::all());
        let was = |one: &ContainerInstance| before.iter().find(|it| it.id == one.id);
        for one in &after {
            let Some(then) = was(one) else {
                let large = one.replaces.as_ref().and_then(|id| before.iter().find(|it| it.id == *id));
                let Some(large) = large else { continue };
                self.tell(|| format!("{} comes for the tasks of {}", one.id, large.id));
                if price(one) >= price(large) || one.availability_zone != large.availability_zone {
                    return Err(format!("{one:?} was made in place of {large:?}"));
                }
                continue;
            };
            let drains = one.managed_by.is_some() && one.leaves_when_empty && !then.leaves_when_empty;
            let tasks: Vec<_> = self.tasks_on(one).into_iter().filter(|task| task.daemon().is_none()).collect();
            if !drains || then.status != ContainerInstanceStatus::Active || tasks.is_empty() {
                continue;
            }
            self.tell(|| format!("{} drains", one.id));
            if let Some(odd) = tasks.iter().find(|it| it.protected_until.is_some_and(|until| until > self.now)) {
                return Err(format!("{} is protected, and {} drains", odd.id, one.id));
            }
            let others = after.iter().filter(|it| {
                it.managed_by == one.managed_by
                    && it.status == ContainerInstanceStatus::Active
                    && it.availability_zone == one.availability_zone
            });
            let left: Vec<(i64, i64)> = others.map(|it| self.left_on(it)).collect();
            let sum =
                |all: &mut dyn Iterator<Item = (i64, i64)>| all.fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
            let needs = |task: &Arc<Task>| (task.placement.cpu, task.placement.memory_mib);
            let (have, need) = (sum(&mut left.iter().copied()), sum(&mut tasks.iter().map(needs)));
            let fits = |task: &Arc<Task>| left.iter().any(|it| it.0 >= needs(task).0 && it.1 >= needs(task).1);
            if have.0 < need.0 || have.1 < need.1 || !tasks.iter().all(fits) {
                return Err(format!("{} drains, and {need:?} have no room in {left:?}", one.id));
            }
        }
        Ok(())
    }

    fn left_on(&self, one: &ContainerInstance) -> (i64, i64) {
        let tasks = self.tasks_on(one);
        let left = remaining(one, tasks.iter().map(|task| &**task));
        (left.cpu, left.memory_mib)
    }

    /// No managed instance is left whose tasks a cheaper type would hold, of those that can be moved.
    pub(super) fn check_sizes(&self) -> Checked {
        let view = self.memory.view();
        let services = view.scan::<Service>(&Prefix::all());
        let instances = view.scan::<ContainerInstance>(&Prefix::all());
        // One that waits for tasks that are protected keeps others from being made.
        let waits = |one: &ContainerInstance| {
            one.is_registered() && one.replaces.is_some() && self.tasks_on(one).iter().all(|it| it.daemon().is_some())
        };
        if instances.iter().any(|one| waits(one)) {
            return Ok(());
        }
        let is_simple = |task: &Arc<Task>| {
            let service = services.iter().find(|it| task.service() == Some(&it.name));
            service.is_some_and(|it| it.constraints.is_empty())
                && service.is_some_and(|it| it.deployments.iter().any(|one| Some(&one.id) == task.started_by.as_ref()))
                && task.family != "fixed"
                && task.protected_until.is_none()
                && !matches!(task.network, TaskNetwork::Awsvpc(_))
        };
        for one in instances {
            let (daemons, tasks): (Vec<_>, Vec<_>) =
                self.tasks_on(&one).into_iter().partition(|it| it.daemon().is_some());
            let is_active = one.managed_by.is_some() && one.status == ContainerInstanceStatus::Active;
            if !is_active || tasks.is_empty() || !tasks.iter().all(is_simple) {
                continue;
            }
            let all = || tasks.iter().chain(&daemons).map(|task| &task.placement);
            let (cpu, memory_mib) = (all().map(|it| it.cpu).sum::<i64>(), all().map(|it| it.memory_mib).sum::<i64>());
            let mut cheaper = InstanceType::all().filter(|it| !it.is_bare_metal() && it.relative_price() < price(&one));
            let holds =
                |it: &&InstanceType| i64::from(it.vcpus) * 1024 >= cpu && it.registered_memory_mib() >= memory_mib;
            if let Some(cheaper) = cheaper.find(holds) {
                return Err(format!("{} would do for the tasks of {one:?}", cheaper.name));
            }
        }
        Ok(())
    }
}

fn price(one: &ContainerInstance) -> i64 {
    let kind = one.attribute("ecs.instance-type").and_then(InstanceType::find);
    kind.map_or(0, InstanceType::relative_price)
}

/// As [`scale_in`], with a bug.
fn scale_in_badly(tx: &mut Tx<'_>, host: &HostFacts, bug: Bug) -> Result<(), StoreError> {
    let before = tx.scan::<ContainerInstance>(&Prefix::all());
    scale_in(tx, host)?;
    if !matches!(bug, Bug::ReplacedTooEarly | Bug::LargeStays) {
        return Ok(());
    }
    for one in tx.scan::<ContainerInstance>(&Prefix::all()) {
        let Some(large) = one.replaces.as_ref().filter(|_| before.iter().all(|it| it.id != one.id)) else { continue };
        let large = before.iter().find(|it| it.id == *large);
        tx.delete::<ContainerInstance>(&one.key());
        if let Some(large) = large.filter(|_| bug == Bug::ReplacedTooEarly) {
            tx.put(leaving(large, tx.now()));
        }
    }
    Ok(())
}
