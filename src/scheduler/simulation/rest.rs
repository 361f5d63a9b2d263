//! The faults are over: messages arrive, machines are back, tasks start and stay well, somebody makes room and answers hooks.
//! Then everything must come to rest within bounded virtual time, and what is there must be what is wanted.

use std::collections::BTreeSet;
use std::sync::Arc;

use cove_model::container_instance::{ContainerInstance, ContainerInstanceStatus, Origin};
use cove_model::service::{
    Departed, DeploymentController, LifecycleStage, RolloutState, SchedulingStrategy, Service, ServiceDeployment,
    ServiceStatus, TaskSet, TaskSetStatus,
};
use cove_model::task::Task;
use cove_store::{Prefix, Read, keys};

use super::Checked;
use super::check::Seen;
use super::setting::{IDLE_MILLIS, ZONES};
use super::world::World;
use crate::fleet::Verb;

/// The longest that everything together may take: two deployments with every wait that the services ask for.
const PATIENCE_MILLIS: i64 = 4 * 60 * 60 * 1000;
const MINUTE_MILLIS: i64 = 60_000;
/// For so long a group keeps an instance that it has just got.
const WARMUP_MILLIS: i64 = 300_000;
/// Steps that one moment may need until nothing is left to do.
const ROUNDS: u32 = 200;
/// Rounds in a row without anything to do.
const CALM: u32 = 3;

impl World {
    pub(super) fn come_to_rest(&mut self) -> Checked {
        self.is_quiet = true;
        self.tell(|| "quiet".into());
        self.make_room();
        self.mend_machines();
        self.loosen();
        let until = self.now.plus_millis(PATIENCE_MILLIS);
        let mut calm = 0;
        while calm < CALM {
            if self.now > until {
                return Err(format!("no rest: {}", self.story()));
            }
            let is_busy = self.quiet_round()?;
            calm = if is_busy || self.wake_at.is_some() { 0 } else { calm + 1 };
        }
        self.services().iter().try_for_each(|service| self.check_rest(service))?;
        self.check_daemons_rest()?;
        self.check_sizes()?;
        self.idle_goes()?;
        self.check_leavings()
    }

    /// Everything that can happen now happens; then time passes. Whether anything did.
    fn quiet_round(&mut self) -> Result<bool, String> {
        let mut is_busy = false;
        for round in 0.. {
            if round > ROUNDS {
                return Err(format!("it does the same for ever: {}", self.story()));
            }
            let tasks = self.memory.view().live::<Task>(&Prefix::all());
            let revision = self.memory.view().revision();
            tasks.iter().for_each(|task| self.look_after(task));
            while !self.messages.is_empty() {
                self.hear_one()?;
            }
            self.leave()?;
            self.check_all()?;
            self.turn()?;
            self.daemons_turn()?;
            if self.memory.view().revision() == revision {
                break;
            }
            is_busy = true;
        }
        is_busy |= self.help_daemons();
        for service in self.services() {
            self.answer_hook(&service);
            // Whoever sees that a deployment has failed makes another one.
            if service.status == ServiceStatus::Active
                && service.primary().is_some_and(|it| it.rollout == RolloutState::Failed)
            {
                self.update((*service).clone());
                is_busy = true;
            }
        }
        let next = self.now.plus_millis(MINUTE_MILLIS);
        let wake = self.wake_at.filter(|at| *at > self.now).map_or(next, |at| at.min(next));
        self.now = wake;
        Ok(is_busy)
    }

    /// Those that died are back; of those that drain some go on.
    fn mend_machines(&mut self) {
        for one in self.memory.view().scan::<ContainerInstance>(&Prefix::all()) {
            match one.status {
                ContainerInstanceStatus::Inactive if one.leaves_at.is_none() => self.change(&one, Verb::Recover),
                ContainerInstanceStatus::Draining if self.dice.one_in(2) => self.change(&one, Verb::Activate),
                _ => {}
            }
        }
    }

    /// Percentages that leave no task to spare and no room for another block every deployment, as they do on AWS.
    fn loosen(&mut self) {
        for service in self.services() {
            let (configuration, desired) = (&service.configuration, service.desired_count);
            if desired > 0 && configuration.minimum(desired) >= configuration.maximum(desired) {
                let mut service = (*service).clone();
                service.configuration.maximum_percent = Some(200);
                self.write(|tx| tx.put(service));
            }
        }
    }

    fn story(&self) -> String {
        let seen = self
            .services()
            .iter()
            .filter_map(|it| Seen::of(self, &cove_store::Record::key(&**it)))
            .map(|it| it.tells())
            .collect::<Vec<_>>();
        format!("{}; {}", seen.join("; "), self.story_of_daemons())
    }

    fn check_rest(&self, service: &Service) -> Checked {
        let view = self.memory.view();
        let all = view.live::<Task>(&Prefix::all());
        let own: Vec<_> = all.iter().filter(|task| task.service() == Some(&service.name)).collect();
        let instances = view.scan::<ContainerInstance>(&Prefix::all());
        let broken = |what: &str| Err(format!("{what}: {}", self.story()));
        let is_draining = |task: &Task| {
            instances.iter().any(|one| task.is_on(one) && one.status == ContainerInstanceStatus::Draining)
        };
        if service.status != ServiceStatus::Active {
            return broken("deleted and not gone");
        }
        if own.iter().any(|task| is_draining(task)) {
            return broken("an instance was not drained");
        }
        if service.controller == DeploymentController::External {
            return self.check_sets_at_rest(service, &all);
        }
        let is_complete = service.deployments.len() == 1 && service.deployments[0].rollout == RolloutState::Completed;
        let wanted = match service.scheduling {
            SchedulingStrategy::Replica => service.desired_count as usize,
            SchedulingStrategy::Daemon => {
                let in_reach = |one: &&Arc<ContainerInstance>| {
                    service.constraints.is_empty() || ZONES[..2].contains(&&*one.availability_zone)
                };
                let is_open = |one: &&Arc<ContainerInstance>| {
                    one.status == ContainerInstanceStatus::Active && one.managed_by.is_none()
                };
                instances.iter().filter(is_open).filter(in_reach).count()
            }
        };
        let is_steady = service.is_steady && service.trouble.is_none();
        if !is_complete || !is_steady || own.len() != wanted || service.desired_count as usize != wanted {
            return broken(&format!("{} is not steady, {wanted} wanted", service.name));
        }
        let inside = Prefix::parent(&service.tenant, &keys::service_parent(&service.cluster, &service.name));
        match view.live::<ServiceDeployment>(&inside).first() {
            Some(open) => broken(&format!("a deployment stays in {:?}", open.stage.unwrap_or(LifecycleStage::CleanUp))),
            None => Ok(()),
        }
    }

    fn check_sets_at_rest(&self, service: &Service, tasks: &[Arc<Task>]) -> Checked {
        let inside = Prefix::parent(&service.tenant, &keys::service_parent(&service.cluster, &service.name));
        for set in self.memory.view().scan::<TaskSet>(&inside) {
            let own = tasks.iter().filter(|task| task.started_by.as_deref() == Some(&*set.id)).count();
            let wanted = set.computed_desired_count(service.desired_count) as usize;
            if own != wanted || !set.is_steady || set.status == TaskSetStatus::Draining {
                return Err(format!("{own} of {wanted} tasks of {set:?}"));
            }
        }
        Ok(())
    }

    /// No instance is left that was made for tasks and has none but those of daemons.
    fn idle_goes(&mut self) -> Checked {
        self.pass(IDLE_MILLIS.max(WARMUP_MILLIS));
        self.quiet_round()?;
        let view = self.memory.view();
        let daemons: BTreeSet<String> = self
            .services()
            .iter()
            .filter(|it| it.scheduling == SchedulingStrategy::Daemon)
            .map(|it| it.name.clone())
            .collect();
        let tasks = view.live::<Task>(&Prefix::all());
        let is_of_daemon =
            |task: &Task| task.daemon().is_some() || task.service().is_some_and(|it| daemons.contains(it));
        let instances = view.scan::<ContainerInstance>(&Prefix::all());
        let is_to_go = |one: &ContainerInstance| match one.managed_by {
            Some(_) => one.is_registered(),
            None => one.origin == Origin::Added && one.status == ContainerInstanceStatus::Active,
        };
        let is_idle = |one: &&Arc<ContainerInstance>| {
            is_to_go(one) && !tasks.iter().any(|task| task.is_on(one) && !is_of_daemon(task))
        };
        match instances.iter().find(is_idle) {
            None => Ok(()),
            Some(one) => Err(format!("{} is idle and stays", one.id)),
        }
    }

    /// Nothing is left that nobody will look at again.
    fn check_leavings(&self) -> Checked {
        let view = self.memory.view();
        let departed = view.count::<Departed>(&Prefix::all());
        let strays = view.live::<Task>(&Prefix::all());
        let stray = strays.iter().find(|task| task.desired.is_stopped());
        match (departed, stray) {
            (0, None) => Ok(()),
            (0, Some(stray)) => Err(format!("{} never ends", stray.id)),
            (many, _) => Err(format!("{many} ends are not counted")),
        }
    }
}
