//! From the store to the state that a decision looks at.

use std::collections::HashMap;
use std::sync::Arc;

use cove_base::Timestamp;
use cove_model::alarm::{Alarm, StateValue};
use cove_model::arn::Tenant;
use cove_model::container_instance::{ContainerInstance, ContainerInstanceStatus};
use cove_model::service::{Departed, SchedulingStrategy, Service, ServiceDeployment, ServiceRevision, TaskSet};
use cove_model::task::Task;
use cove_model::task_definition::TaskDefinition;
use cove_store::{Prefix, Read, keys};

use crate::deploy::{InstanceView, State, TaskView, Timing};
use crate::launch::is_suitable;

const SECOND_MILLIS: i64 = 1000;

/// What all services look at, read once.
pub struct Scene<'a> {
    /// Live tasks by tenant, cluster and service.
    tasks: HashMap<(String, String, String, String), Vec<Arc<Task>>>,
    all: Vec<Arc<Task>>,
    timing: &'a Timing,
    now: Timestamp,
}

impl<'a> Scene<'a> {
    /// Reads all live tasks.
    #[must_use]
    pub fn read(source: &impl Read, timing: &'a Timing, now: Timestamp) -> Self {
        let all = source.live::<Task>(&Prefix::all());
        let mut tasks: HashMap<_, Vec<Arc<Task>>> = HashMap::new();
        for task in &all {
            let Some(name) = task.service() else { continue };
            let Tenant { account, region } = &task.tenant;
            let of = (account.clone(), region.clone(), task.cluster.clone(), name.to_owned());
            tasks.entry(of).or_default().push(Arc::clone(task));
        }
        Self { tasks, all, timing, now }
    }

    /// The state of one service.
    #[must_use]
    pub fn state(&self, source: &impl Read, service: &Service) -> State {
        let (tenant, cluster, name) = (&service.tenant, &service.cluster, &service.name);
        let of = (tenant.account.clone(), tenant.region.clone(), cluster.clone(), name.clone());
        let instances = source.scan::<ContainerInstance>(&Prefix::parent(tenant, cluster));
        let own = self.tasks.get(&of).map(Vec::as_slice).unwrap_or_default();
        let grace_millis = i64::from(service.health_check_grace_secs.unwrap_or(0)) * SECOND_MILLIS;
        let is_draining = |task: &Task| {
            let id = task.placement.container_instance.as_deref();
            id.and_then(|id| instances.iter().find(|one| one.id == id))
                .is_some_and(|one| one.status == ContainerInstanceStatus::Draining)
        };
        let view =
            |task: &Arc<Task>| TaskView::of(task, is_draining(task), self.now, self.timing.settle_millis, grace_millis);
        let inside = Prefix::parent(tenant, &keys::service_parent(cluster, name));
        let mut rollouts: Vec<ServiceDeployment> =
            source.live::<ServiceDeployment>(&inside).iter().map(|one| (**one).clone()).collect();
        rollouts.sort_by_key(|one| std::cmp::Reverse(one.created_at));
        State {
            service: service.clone(),
            rollouts,
            task_sets: source.scan::<TaskSet>(&inside).iter().map(|one| (**one).clone()).collect(),
            tasks: own.iter().map(view).collect(),
            departed: source.scan::<Departed>(&inside).iter().map(|one| (**one).clone()).collect(),
            instances: self.instances(source, service, &instances),
            alarms: alarms(source, service),
            timing: self.timing.clone(),
            now: self.now,
            seed: cove_base::ids::random_u64(),
        }
    }

    /// As a DAEMON service sees them.
    fn instances(
        &self,
        source: &impl Read,
        service: &Service,
        instances: &[Arc<ContainerInstance>],
    ) -> Vec<InstanceView> {
        match service.scheduling {
            SchedulingStrategy::Replica => return Vec::new(),
            SchedulingStrategy::Daemon => {}
        }
        let Some(primary) = service.primary() else { return Vec::new() };
        let key = keys::service_revision(&service.tenant, &service.cluster, &service.name, &primary.revision);
        let Some(revision) = source.get::<ServiceRevision>(&key) else { return Vec::new() };
        let template = &revision.template;
        let key = keys::definition(&template.tenant, &template.family, template.revision);
        let Some(definition) = source.get::<TaskDefinition>(&key) else { return Vec::new() };
        let others =
            |instance: &ContainerInstance| self.all.iter().filter(|task| is_other(source, task, instance)).count();
        let registered = instances.iter().filter(|one| one.is_connected());
        registered
            .map(|one| InstanceView {
                id: one.id.clone(),
                is_eligible: one.status == ContainerInstanceStatus::Active && is_suitable(template, &definition, one),
                is_draining: one.status == ContainerInstanceStatus::Draining,
                others: others(one),
            })
            .collect()
    }
}

/// Those of the configuration that are in ALARM.
fn alarms(source: &impl Read, service: &Service) -> Vec<String> {
    let Some(alarms) = service.configuration.alarms.as_ref().filter(|alarms| alarms.enable) else { return Vec::new() };
    firing(source, &service.tenant, &alarms.alarm_names)
}

/// Those of the names that are in ALARM.
pub(crate) fn firing(source: &impl Read, tenant: &Tenant, names: &[String]) -> Vec<String> {
    let fires = |name: &&String| {
        let alarm = source.get::<Alarm>(&keys::alarm(tenant, name));
        alarm.is_some_and(|alarm| alarm.state.value == StateValue::Alarm)
    };
    names.iter().filter(fires).cloned().collect()
}

/// Whether a daemon that leaves the instance last waits for the task: not for other daemons, which wait as well.
fn is_other(source: &impl Read, task: &Task, instance: &ContainerInstance) -> bool {
    let is_of_daemon = |name: &str| {
        let service = source.get::<Service>(&keys::service(&task.tenant, &task.cluster, name));
        service.is_some_and(|service| service.scheduling == SchedulingStrategy::Daemon)
    };
    task.is_on(instance) && task.daemon().is_none() && !task.service().is_some_and(is_of_daemon)
}
