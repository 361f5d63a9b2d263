//! From the store to the state that a decision looks at.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use cove_base::Timestamp;
use cove_model::alarm::{Alarm, StateValue};
use cove_model::arn::Tenant;
use cove_model::capacity_provider::{CapacityProvider, Pool};
use cove_model::container_instance::{ContainerInstance, ContainerInstanceStatus};
use cove_model::network::Subnet;
use cove_model::service::{Departed, SchedulingStrategy, Service, ServiceDeployment, ServiceRevision, TaskSet};
use cove_model::task::{LaunchType, Task};
use cove_model::task_definition::TaskDefinition;
use cove_model::task_template::TaskTemplate;
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
        let drains = |one: &&Arc<ContainerInstance>| one.status == ContainerInstanceStatus::Draining;
        let draining: HashSet<&str> = instances.iter().filter(drains).map(|one| &*one.id).collect();
        let is_draining =
            |task: &Task| task.placement.container_instance.as_deref().is_some_and(|id| draining.contains(id));
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
            zones: zones(source, service, &instances),
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
        let Some((template, definition)) = workload(source, service) else { return Vec::new() };
        let others =
            |instance: &ContainerInstance| self.all.iter().filter(|task| is_other(source, task, instance)).count();
        let registered = instances.iter().filter(|one| one.is_connected());
        registered
            .map(|one| InstanceView {
                id: one.id.clone(),
                is_eligible: one.status == ContainerInstanceStatus::Active
                    && one.managed_by.is_none()
                    && is_suitable(&template, &definition, one),
                is_draining: one.status == ContainerInstanceStatus::Draining,
                others: others(one),
            })
            .collect()
    }
}

/// What the tasks of the primary deployment are made from, the service's own constraints among it.
fn workload(source: &impl Read, service: &Service) -> Option<(TaskTemplate, Arc<TaskDefinition>)> {
    let primary = service.primary()?;
    let key = keys::service_revision(&service.tenant, &service.cluster, &service.name, &primary.revision);
    let mut template = source.get::<ServiceRevision>(&key)?.template.clone();
    template.constraints.extend(service.constraints.iter().cloned());
    let key = keys::definition(&template.tenant, &template.family, template.revision);
    Some((template, source.get::<TaskDefinition>(&key)?))
}

/// Zones that tasks of the service could come to, if that matters: where it has subnets, and on EC2 an instance that is
/// what it asks for.
fn zones(source: &impl Read, service: &Service, instances: &[Arc<ContainerInstance>]) -> Vec<String> {
    if !service.rebalances_zones || service.scheduling != SchedulingStrategy::Replica {
        return Vec::new();
    }
    let Some((template, definition)) = workload(source, service) else { return Vec::new() };
    let subnets = template.interface.iter().flat_map(|it| &it.subnets);
    let of_subnet =
        |id: &String| Some(source.get::<Subnet>(&keys::subnet(&service.tenant, id))?.availability_zone.clone());
    let reached: BTreeSet<String> = subnets.filter_map(of_subnet).collect();
    if template.placing.launch_type == LaunchType::Fargate {
        return reached.into_iter().collect();
    }
    let pools = pools(source, &template);
    let takes_tasks = |one: &&Arc<ContainerInstance>| {
        one.is_connected()
            && one.status == ContainerInstanceStatus::Active
            && (if pools.is_empty() { one.managed_by.is_none() } else { pools.iter().any(|pool| pool.has(one)) })
            && (template.interface.is_none() || reached.contains(&one.availability_zone))
            && is_suitable(&template, &definition, one)
    };
    let there: BTreeSet<&String> = instances.iter().filter(takes_tasks).map(|one| &one.availability_zone).collect();
    there.into_iter().cloned().collect()
}

/// The instances that the template's capacity providers stand for.
fn pools(source: &impl Read, template: &TaskTemplate) -> Vec<Pool> {
    let names = template.placing.strategy.iter().map(|item| &item.capacity_provider);
    let found =
        names.filter_map(|name| source.get::<CapacityProvider>(&keys::capacity_provider(&template.tenant, name)));
    found.map(|provider| provider.pool()).collect()
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

#[cfg(test)]
mod tests {
    use cove_model::task_template::{PlacementConstraint, PlacementConstraintType};
    use cove_store::Memory;

    use super::*;
    use crate::place::tests::instance;
    use crate::simulation::{requests, setting};

    #[test]
    fn a_daemon_is_wanted_only_where_the_services_own_constraints_are_met() {
        let (now, family, timing) = (Timestamp(1_000_000), &setting::FAMILIES[4], Timing::default());
        let in_zone_a = PlacementConstraint {
            kind: Some(PlacementConstraintType::MemberOf),
            expression: Some("attribute:ecs.availability-zone == a".into()),
        };
        let mut service = Service {
            scheduling: SchedulingStrategy::Daemon,
            constraints: vec![in_zone_a],
            ..crate::deploy::tests::service()
        };
        let mut memory = Memory::default();
        let done = memory.write(now, |tx| {
            let revision = requests::revision(tx, &service, setting::template(family));
            service.name.clone_from(&revision.service);
            service.deployments[0].revision.clone_from(&revision.id);
            tx.put(revision);
            tx.put(setting::definition(family));
            ["a", "b"].iter().for_each(|zone| tx.put((*instance(zone, zone, 64)).clone()));
            Ok::<_, ()>(())
        });
        done.unwrap();
        let state = Scene::read(memory.view(), &timing, now).state(memory.view(), &service);
        let eligible: Vec<&str> = state.instances.iter().filter(|it| it.is_eligible).map(|it| &*it.id).collect();
        assert_eq!((eligible, state.instances.len()), (vec!["a"], 2));
    }
}
