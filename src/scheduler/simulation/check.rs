//! What must hold after every step.
//!
//! | | of |
//! |---|---|
//! | no instance has more promised than it has: CPU, memory, interfaces | everything |
//! | no host port and no address is given twice | everything |
//! | a task that waits for capacity takes nothing, and waits for a group that grows | everything |
//! | every other task on EC2 has an instance that is known, and one that is to run a keeper that is not gone | everything |
//! | what [`super::fargate`] says of tasks without one, and [`super::daemons`] of theirs | |
//! | a status only moves forward, and every end is counted once | everything |
//! | never above maximumPercent, never below minimumHealthyPercent, by our own doing | one decision |
//! | what is protected stays, and the base of a strategy; what has failed starts nothing | one decision |
//! | the old revision stays, and no hook is passed over, until a deployment has come to CLEAN_UP | one decision |
//! | a rolling update is not over before its alarm had time to notice | one decision |

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

use cove_base::Timestamp;
use cove_model::alarm::{Alarm, StateValue};
use cove_model::container_instance::{ContainerInstance, ContainerInstanceStatus};
use cove_model::daemon::Daemon;
use cove_model::service::{
    Departed, DeploymentController, DeploymentStrategy, HookStatus, LifecycleStage, RolloutState, SchedulingStrategy,
    Service, ServiceDeployment, ServiceDeploymentStatus, ServiceRevision, ServiceStatus, TaskSet,
};
use cove_model::task::{Health, LaunchType, Task, TaskNetwork, TaskStatus};
use cove_store::{Key, Prefix, Read, keys};

use super::fargate::{check_host, check_place, check_strategy};
use super::world::World;
use super::{Checked, setting};

impl World {
    /// What holds whoever did something.
    pub(super) fn check_all(&mut self) -> Checked {
        let view = self.memory.view();
        let tasks = view.live::<Task>(&Prefix::all());
        let instances = view.scan::<ContainerInstance>(&Prefix::all());
        let mut used: BTreeMap<&str, (i64, i64, u32)> = BTreeMap::new();
        let (mut ports, mut addresses) = (BTreeSet::new(), BTreeSet::new());
        for task in &tasks {
            if task.unplaced.is_some() {
                self.has_nothing(task)?;
                continue;
            }
            check_place(task)?;
            if let Some(id) = task.placement.container_instance.as_deref() {
                if !instances.iter().any(|one| one.id == id) {
                    return Err(format!("{} is on {id}, which nobody knows", task.id));
                }
                let sums = used.entry(id).or_default();
                sums.0 += task.placement.cpu;
                sums.1 += task.placement.memory_mib;
                sums.2 += u32::from(matches!(task.network, TaskNetwork::Awsvpc(_)));
            }
            if matches!(task.network, TaskNetwork::Bridge { .. }) {
                for binding in task.containers.iter().flat_map(|it| &it.ports) {
                    if !ports.insert(binding.host_port) {
                        return Err(format!("host port {} is given twice", binding.host_port));
                    }
                }
            }
            if let Some(address) = task.network.address()
                && !addresses.insert(address)
            {
                return Err(format!("{address} is given twice"));
            }
            self.is_kept(task)?;
        }
        for one in &instances {
            let (cpu, memory, interfaces) = used.get(&*one.id).copied().unwrap_or_default();
            let has = &one.registered;
            if cpu > has.cpu || memory > has.memory_mib || one.task_interfaces_max.is_some_and(|most| interfaces > most)
            {
                return Err(format!("{} has {cpu} {memory} {interfaces} promised of {has:?}", one.id));
            }
        }
        check_host(&tasks, &self.host)?;
        Self::check_alone(&tasks)?;
        let heard = tasks.iter().map(|task| (task.id.clone(), task.observed.status)).collect();
        self.moved_forward(heard)
    }

    /// A task that waits for capacity takes nothing, runs nowhere, and does not wait for ever.
    fn has_nothing(&self, task: &Task) -> Checked {
        let is_nowhere = task.placement.container_instance.is_none() && task.network == TaskNetwork::None;
        let has_more =
            task.containers.iter().any(|it| it.log.is_some() || !it.ports.is_empty() || !it.gpu_ids.is_empty());
        if !is_nowhere || has_more || task.observed.started_at.is_some() {
            return Err(format!("{} has no place, and something of one", task.id));
        }
        if task.placement.capacity_provider.as_deref() != Some(setting::PROVIDER) {
            return Err(format!("{} waits for {:?}, which does not grow", task.id, task.placement.capacity_provider));
        }
        self.is_kept(task)
    }

    /// Whether somebody will look after the task, or sees to it that it ends.
    fn is_kept(&self, task: &Task) -> Checked {
        if let Some(name) = task.daemon() {
            let daemon = self.memory.view().get::<Daemon>(&keys::daemon(&task.tenant, &task.cluster, name));
            return daemon.map_or_else(|| Err(format!("{} lives on after {name}", task.id)), |_| Ok(()));
        }
        let name = task.service().ok_or("a task of nobody")?;
        let service = self.memory.view().get::<Service>(&keys::service(&task.tenant, &task.cluster, name));
        match service {
            None => Err(format!("{} is of {name}, which nobody knows", task.id)),
            Some(service) if service.status == ServiceStatus::Inactive => {
                Err(format!("{} lives on after {name}", task.id))
            }
            Some(_) => Ok(()),
        }
    }

    /// A task that was seen in a status is not seen in an earlier one later, and what has ended does not come back.
    fn moved_forward(&mut self, heard: BTreeMap<String, TaskStatus>) -> Checked {
        for (id, status) in &heard {
            let before = self.heard.get(id).copied().unwrap_or(TaskStatus::Provisioning);
            if *status < before || self.ended.contains(id) {
                return Err(format!("{id} was {before:?} and is {status:?}"));
            }
        }
        self.ended.extend(self.heard.keys().filter(|id| !heard.contains_key(*id)).cloned());
        self.heard = heard;
        Ok(())
    }
}

/// Nobody has asked it to stop, and it is not ending by itself.
pub(super) fn is_wanted(task: &Task) -> bool {
    task.observed.status <= TaskStatus::Running && !task.desired.is_stopped()
}

/// What its health check says; without one it must have run for a while.
pub(super) fn is_healthy(task: &Task, settle_millis: i64, now: Timestamp) -> bool {
    let has_settled = || task.observed.started_at.is_some_and(|at| at.plus_millis(settle_millis) <= now);
    let is_well = match task.containers.first().and_then(|it| it.seen.health) {
        Some(health) => health == Health::Healthy,
        None => has_settled(),
    };
    is_wanted(task) && task.observed.status == TaskStatus::Running && is_well
}

fn is_failing(task: &Task) -> bool {
    task.observed.status == TaskStatus::Running
        && task.containers.first().is_some_and(|it| it.seen.health == Some(Health::Unhealthy))
}

/// A service at one moment, as far as the checks look at it.
pub(super) struct Seen {
    service: Service,
    sets: Vec<TaskSet>,
    rollout: Option<ServiceDeployment>,
    /// What deployments and task sets run, by their ids.
    revisions: Vec<(String, Arc<ServiceRevision>)>,
    tasks: Vec<Task>,
    departed: BTreeSet<String>,
    active: BTreeSet<String>,
    draining: BTreeSet<String>,
    /// Its alarm, if it has one.
    alarm: Option<Arc<Alarm>>,
    settle_millis: i64,
    now: Timestamp,
}

impl Seen {
    pub(super) fn of(world: &World, key: &Key) -> Option<Self> {
        let view = world.memory.view();
        let service = (*view.get::<Service>(key)?).clone();
        let (tenant, cluster) = (&service.tenant, &service.cluster);
        let inside = Prefix::parent(tenant, &keys::service_parent(cluster, &service.name));
        let primary = service.primary().map(|it| it.service_deployment.clone()).unwrap_or_default();
        let tasks = view.live::<Task>(&Prefix::parent(tenant, cluster));
        let of_status = |status| {
            let all = view.scan::<ContainerInstance>(&Prefix::parent(tenant, cluster));
            all.iter().filter(|one| one.status == status).map(|one| one.id.clone()).collect()
        };
        let sets: Vec<TaskSet> = view.scan::<TaskSet>(&inside).iter().map(|it| (**it).clone()).collect();
        let known = |(id, revision): (&String, &String)| {
            let key = keys::service_revision(tenant, cluster, &service.name, revision);
            Some((id.clone(), view.get::<ServiceRevision>(&key)?))
        };
        let deployments = service.deployments.iter().map(|it| (&it.id, &it.revision));
        let alarms = service.configuration.alarms.as_ref().filter(|alarms| alarms.enable);
        Some(Self {
            revisions: deployments.chain(sets.iter().map(|it| (&it.id, &it.revision))).filter_map(known).collect(),
            sets,
            rollout: view
                .get::<ServiceDeployment>(&keys::service_deployment(tenant, cluster, &service.name, &primary))
                .map(|it| (*it).clone()),
            tasks: tasks.iter().filter(|it| it.service() == Some(&service.name)).map(|it| (**it).clone()).collect(),
            departed: view.scan::<Departed>(&inside).iter().map(|it| it.task_id.clone()).collect(),
            active: of_status(ContainerInstanceStatus::Active),
            draining: of_status(ContainerInstanceStatus::Draining),
            alarm: alarms.and_then(|alarms| view.get::<Alarm>(&keys::alarm(tenant, &alarms.alarm_names[0]))),
            settle_millis: world.timing.settle_millis,
            now: world.now,
            service,
        })
    }

    fn healthy(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter().filter(|task| is_healthy(task, self.settle_millis, self.now))
    }

    /// What maximumPercent counts; of daemons, those on instances that are to have one.
    fn occupying(&self) -> u32 {
        let is_daemon = self.service.scheduling == SchedulingStrategy::Daemon;
        let here = self.tasks.iter().filter(|task| !is_daemon || self.is_on(task, &self.active));
        u32::try_from(here.filter(|task| task.observed.status <= TaskStatus::Running).count()).unwrap()
    }

    fn find(&self, id: &str) -> Option<&Task> {
        self.tasks.iter().find(|task| task.id == id)
    }

    /// The stage of a deployment that keeps two revisions.
    fn hold(&self) -> Option<LifecycleStage> {
        let rollout = self.rollout.as_ref()?;
        let is_forward =
            matches!(rollout.status, ServiceDeploymentStatus::Pending | ServiceDeploymentStatus::InProgress);
        rollout.stage.filter(|stage| is_forward && *stage != LifecycleStage::CleanUp)
    }

    /// The tasks whose ends are still to be counted.
    pub(super) const fn ends(&self) -> &BTreeSet<String> {
        &self.departed
    }

    /// What is told of a step.
    pub(super) fn differs_from(&self, before: &Self) -> String {
        let mut text = String::new();
        let short = |task: &Task| {
            format!("{}@{}", &task.id[..6], task.placement.container_instance.as_deref().unwrap_or_default())
        };
        for task in self.tasks.iter().filter(|task| before.find(&task.id).is_none()) {
            let _ = write!(text, "+{} ", short(task));
        }
        for task in before.tasks.iter().filter(|it| is_wanted(it) && !self.find(&it.id).is_some_and(is_wanted)) {
            let _ = write!(text, "-{} ", short(task));
        }
        let deployments: Vec<_> =
            self.service.deployments.iter().map(|it| (&it.id[8..12], it.rollout, it.failed_tasks)).collect();
        let stage = self.rollout.as_ref().map(|it| (it.status, it.stage));
        let _ = write!(
            text,
            "desired {} {:?} {deployments:?} {stage:?} steady {} trouble {:?}",
            self.service.desired_count,
            self.service.status,
            self.service.is_steady,
            self.service.trouble.as_ref().map(|it| &it.reason)
        );
        text
    }

    pub(super) fn tells(&self) -> String {
        let tasks: Vec<_> = self.tasks.iter().map(|it| (&it.id[..6], it.observed.status, is_wanted(it))).collect();
        format!("{} {:?} {} {tasks:?}", self.service.name, self.service.configuration, self.differs_from(self))
    }

    /// What holds between the moments before and after a decision was carried out.
    pub(super) fn check_since(&self, before: &Self) -> Checked {
        let started: Vec<&Task> = self.tasks.iter().filter(|task| before.find(&task.id).is_none()).collect();
        let went = |task: &&Task| is_wanted(task) && !self.find(&task.id).is_some_and(is_wanted);
        let stopped: Vec<&Task> = before.tasks.iter().filter(went).collect();
        let failures = self.service.failures().saturating_sub(before.service.failures());
        if failures as usize > before.departed.len() {
            return Err(format!("{:?} were counted as {failures}", before.departed));
        }
        let is_in_place =
            |task: &Task| task.placement.launch_type == LaunchType::Fargate || self.is_on(task, &self.active);
        if let Some(odd) = started.iter().find(|task| task.unplaced.is_none() && !is_in_place(task)) {
            return Err(format!("{} starts on {:?}", odd.id, odd.placement.container_instance));
        }
        if before.service.status == ServiceStatus::Draining {
            let left = self.tasks.iter().find(|task| is_wanted(task));
            return left.map_or(Ok(()), |left| Err(format!("{} outlives its service", left.id)));
        }
        if let Some(odd) = stopped.iter().find(|task| task.protected_until.is_some_and(|until| until > self.now)) {
            return Err(format!("{} is protected and stopped", odd.id));
        }
        self.check_strategies(&started)?;
        if self.service.controller == DeploymentController::External {
            return self.check_sets(&started);
        }
        self.check_hold(before, &started)?;
        self.check_baked(before)?;
        self.check_maximum(before, &started)?;
        self.check_base(before)?;
        self.check_minimum(before)
    }

    /// Those that are the base of their strategy stay when there are too many.
    fn check_base(&self, before: &Self) -> Checked {
        let Some(primary) = self.service.primary() else { return Ok(()) };
        let revision = self.revisions.iter().find(|(id, _)| *id == primary.id);
        let strategy = revision.map(|(_, revision)| &*revision.template.placing.strategy).unwrap_or_default();
        let Some(item) = strategy.iter().find(|item| item.base > 0 && strategy.len() > 1) else { return Ok(()) };
        let own = |seen: &Self| {
            let on_base = |task: &&Task| {
                task.started_by.as_ref() == Some(&primary.id)
                    && task.placement.capacity_provider.as_ref() == Some(&item.capacity_provider)
            };
            let stays = |task: &&Task| is_wanted(task) && !is_failing(task) && !seen.is_on(task, &seen.draining);
            seen.tasks.iter().filter(on_base).filter(stays).count()
        };
        let (then, now) = (own(before), own(self));
        let least = usize::try_from(item.base).unwrap().min(self.service.desired_count as usize);
        let is_replica = self.service.scheduling == SchedulingStrategy::Replica;
        if is_replica && before.service.primary().map(|it| &it.id) == Some(&primary.id) && now < least.min(then) {
            return Err(format!("{now} of {then} are left of the base of {least}"));
        }
        Ok(())
    }

    fn is_on(&self, task: &Task, instances: &BTreeSet<String>) -> bool {
        task.placement.container_instance.as_ref().is_some_and(|id| instances.contains(id))
    }

    /// Where some found no place the others go on as if they had one.
    fn check_strategies(&self, started: &[&Task]) -> Checked {
        if self.service.trouble.is_some() {
            return Ok(());
        }
        for (deployment, revision) in &self.revisions {
            let own = |task: &&Task| task.started_by.as_ref() == Some(deployment);
            let new: Vec<&Task> = started.iter().copied().filter(|task| own(task)).collect();
            let stays =
                |task: &&Task| own(task) && is_wanted(task) && !is_failing(task) && !self.is_on(task, &self.draining);
            let staying: Vec<&Task> = self.tasks.iter().filter(stays).collect();
            check_strategy(&revision.template.placing.strategy, &staying, &new)?;
        }
        Ok(())
    }

    /// A set has no more tasks that are well or on their way than it wants.
    fn check_sets(&self, started: &[&Task]) -> Checked {
        for set in &self.sets {
            let own = |task: &&Task| task.started_by.as_deref() == Some(&*set.id);
            let is_current = |task: &&Task| is_wanted(task) && !is_failing(task) && !self.is_on(task, &self.draining);
            let count = self.tasks.iter().filter(own).filter(is_current).count();
            let wanted = set.computed_desired_count(self.service.desired_count) as usize;
            if started.iter().copied().any(|task| own(&task)) && count > wanted {
                return Err(format!("{count} tasks of a set that wants {wanted}"));
            }
        }
        Ok(())
    }

    /// An alarm that was not in ALARM already has its time to notice what a rolling update did.
    fn check_baked(&self, before: &Self) -> Checked {
        let (Some(was), Some(rollout), Some(alarm)) = (&before.rollout, &self.rollout, &self.alarm) else {
            return Ok(());
        };
        let is_over = was.id == rollout.id && was.is_open() && rollout.status == ServiceDeploymentStatus::Successful;
        let is_ignored = alarm.state.value == StateValue::Alarm && alarm.transitioned_at <= rollout.created_at;
        let is_rolling = rollout.configuration.strategy() == DeploymentStrategy::Rolling;
        let has_baked =
            was.baking_since.is_some_and(|at| at.plus_millis(alarm.watches.notices_within_millis()) <= self.now);
        if is_over && is_rolling && !is_ignored && !has_baked {
            return Err("a deployment was over before its alarm could notice anything".into());
        }
        Ok(())
    }

    fn check_hold(&self, before: &Self, started: &[&Task]) -> Checked {
        let primary = self.service.primary();
        let failed = before.service.deployments.iter().filter(|it| it.rollout == RolloutState::Failed);
        // One that had failed before may be what the next one rolls back to.
        let is_back =
            |id: &str| primary.is_some_and(|it| it.id == id) && before.service.primary().is_some_and(|it| it.id != id);
        let failed: Vec<&str> = failed.map(|it| &*it.id).filter(|id| !is_back(id)).collect();
        if let Some(odd) = started.iter().find(|it| it.started_by.as_deref().is_some_and(|id| failed.contains(&id))) {
            return Err(format!("{} starts for a deployment that has failed", odd.id));
        }
        let (Some(was), Some(rollout)) = (before.hold(), &self.rollout) else { return Ok(()) };
        let waits =
            before.rollout.iter().flat_map(|it| &it.hooks).any(|hook| {
                hook.status == HookStatus::AwaitingAction && hook.expires_at.is_none_or(|at| at > self.now)
            });
        let same = before.rollout.as_ref().is_some_and(|it| it.id == rollout.id);
        if same && waits && rollout.stage.is_some_and(|stage| stage > was) {
            return Err(format!("a hook of {was:?} was passed over"));
        }
        let bake = i64::from(self.service.configuration.bake_time_in_minutes.unwrap_or(0)) * 60_000;
        let since = before.rollout.as_ref().and_then(|it| it.stage_since).unwrap_or(self.now);
        let is_left =
            rollout.stage == Some(LifecycleStage::CleanUp) || rollout.status == ServiceDeploymentStatus::Successful;
        if same && was == LifecycleStage::BakeTime && is_left && since.plus_millis(bake) > self.now {
            return Err("the bake time was cut short".into());
        }
        // The old revision goes when the deployment has come to CLEAN_UP; before, what is more than wanted goes.
        if self.hold().is_some() && self.service.deployments.first() == before.service.deployments.first() {
            let old = |seen: &Self| {
                let is_old = |task: &&Task| task.started_by.as_ref() != primary.map(|it| &it.id);
                seen.healthy().filter(is_old).filter(|task| !seen.is_on(task, &seen.draining)).count()
            };
            let (then, now) = (old(before), old(self));
            if now < then.min(self.service.desired_count as usize) {
                return Err(format!("{now} of {then} of the old revision are left in {was:?}"));
            }
        }
        Ok(())
    }

    fn check_maximum(&self, before: &Self, started: &[&Task]) -> Checked {
        let desired = self.service.desired_count;
        let mut most = self.service.configuration.maximum(desired);
        if before.hold().is_some() || self.hold().is_some() {
            most = most.max(2 * desired);
        }
        if !started.is_empty() && self.occupying() > most {
            return Err(format!("{} tasks of at most {most}", self.occupying()));
        }
        Ok(())
    }

    fn check_minimum(&self, before: &Self) -> Checked {
        let least = usize::try_from(self.service.configuration.minimum(self.service.desired_count)).unwrap();
        let counted = |seen: &Self| match self.service.scheduling {
            SchedulingStrategy::Replica => seen.healthy().count(),
            // One each on the instances that are the service's; who leaves the others is not missed.
            SchedulingStrategy::Daemon => {
                let on = seen.healthy().filter(|task| self.is_on(task, &self.active));
                on.map(|task| &task.placement.container_instance).collect::<BTreeSet<_>>().len()
            }
        };
        let (then, now) = (counted(before), counted(self));
        if now < least.min(then) {
            return Err(format!("{now} healthy after {then}, at least {least} of {}", self.service.desired_count));
        }
        Ok(())
    }
}
