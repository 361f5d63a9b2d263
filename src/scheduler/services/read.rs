//! From the store to the state that a decision looks at.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use cove_base::Timestamp;
use cove_model::alarm::{Alarm, StateValue};
use cove_model::arn::Tenant;
use cove_model::capacity_provider::{CapacityProvider, Pool};
use cove_model::container_instance::{ContainerInstance, ContainerInstanceStatus};
use cove_model::network::Subnet;
use cove_model::service::{
    Departed, SchedulingStrategy, Service, ServiceDeployment, ServiceDeploymentStatus, ServiceRevision, TaskSet,
};
use cove_model::taken::OnInstance;
use cove_model::task::{LaunchType, Task};
use cove_model::task_definition::TaskDefinition;
use cove_model::task_template::TaskTemplate;
use cove_store::{Prefix, Read, keys};

use crate::deploy::{Base, InstanceView, State, TaskView, Timing};
use crate::launch::Suitability;

const SECOND_MILLIS: i64 = 1000;

/// What services look at. What those of one cluster share is read once, as long as they come one after the other.
pub struct Scene<'a> {
    cluster: Option<Cluster>,
    timing: &'a Timing,
    now: Timestamp,
}

impl<'a> Scene<'a> {
    /// At that moment. Nothing is read yet.
    #[must_use]
    pub const fn at(timing: &'a Timing, now: Timestamp) -> Self {
        Self { cluster: None, timing, now }
    }

    /// The state of one service. The source must be the same, and say the same, as for the others.
    #[must_use]
    pub fn state(&mut self, source: &impl Read, service: &Service) -> State {
        let (tenant, cluster, name) = (&service.tenant, &service.cluster, &service.name);
        let known = self.cluster.take().filter(|it| it.tenant == *tenant && it.name == *cluster);
        let here = self.cluster.insert(known.unwrap_or_else(|| Cluster::read(source, tenant, cluster)));
        let grace_millis = i64::from(service.health_check_grace_secs.unwrap_or(0)) * SECOND_MILLIS;
        let tasks = source.listed::<Task>(&keys::tasks_of(tenant, cluster, name));
        let is_draining = |task: &Task| here.is_draining(task);
        let inside = Prefix::parent(tenant, &keys::service_parent(cluster, name));
        let mut rollouts: Vec<ServiceDeployment> =
            source.live::<ServiceDeployment>(&inside).iter().map(|one| (**one).clone()).collect();
        rollouts.sort_by_key(|one| std::cmp::Reverse(one.created_at));
        let watching = rollouts.first().map_or_else(Vec::new, |rollout| watching(source, service, rollout));
        State {
            service: service.clone(),
            rollouts,
            task_sets: source.scan::<TaskSet>(&inside).iter().map(|one| (**one).clone()).collect(),
            tasks: TaskView::of_all(&tasks, is_draining, self.now, self.timing.settle_millis, grace_millis),
            departed: source.scan::<Departed>(&inside),
            instances: here.instances(source, service),
            zones: zones(source, service, &here.instances),
            base: base(source, service),
            alarms: watching.iter().filter(|alarm| fires(alarm)).map(|alarm| alarm.name.clone()).collect(),
            alarms_need_millis: watching.iter().map(|alarm| alarm.watches.notices_within_millis()).max().unwrap_or(0),
            timing: self.timing.clone(),
            now: self.now,
            seed: cove_base::ids::random_u64(),
        }
    }
}

/// What the services of a cluster share.
struct Cluster {
    tenant: Tenant,
    name: String,
    instances: Vec<Arc<ContainerInstance>>,
    /// Ids of those that drain.
    draining: HashSet<String>,
}

impl Cluster {
    fn read(source: &impl Read, tenant: &Tenant, name: &str) -> Self {
        let inside = Prefix::parent(tenant, name);
        let instances = source.scan::<ContainerInstance>(&inside);
        let drains = |one: &&Arc<ContainerInstance>| one.status == ContainerInstanceStatus::Draining;
        let draining = instances.iter().filter(drains).map(|one| one.id.clone()).collect();
        Self { tenant: tenant.clone(), name: name.to_owned(), instances, draining }
    }

    fn is_draining(&self, task: &Task) -> bool {
        task.placement.container_instance.as_ref().is_some_and(|id| self.draining.contains(id))
    }

    /// As a DAEMON service sees them.
    fn instances(&self, source: &impl Read, service: &Service) -> Vec<InstanceView> {
        match service.scheduling {
            SchedulingStrategy::Replica => return Vec::new(),
            SchedulingStrategy::Daemon => {}
        }
        let Some((revision, definition)) = workload(source, service) else { return Vec::new() };
        let suitability = suitability(service, &revision, definition);
        let others = self.others(source);
        let taken = source.sum::<Task>();
        let own = |here: &OnInstance| here.services.get(&service.name).copied().unwrap_or(0);
        // Where the agent does not answer, its daemon stays and none is started.
        let stays = |one: &ContainerInstance| taken.number(|it| it.on(one).map_or(0, own)) > 0;
        let registered = self.instances.iter().filter(|one| one.is_registered() && (one.is_connected() || stays(one)));
        registered
            .map(|one| InstanceView {
                id: one.id.clone(),
                is_eligible: one.status == ContainerInstanceStatus::Active
                    && one.managed_by.is_none()
                    && suitability.holds(one),
                is_draining: one.status == ContainerInstanceStatus::Draining,
                is_managed: false,
                is_repaired: false,
                is_older: false,
                others: others.get(&*one.id).copied().unwrap_or(0),
            })
            .collect()
    }

    /// For how many tasks a daemon waits that leaves an instance last: not for other daemons, which wait as well.
    fn others(&self, source: &impl Read) -> HashMap<&str, usize> {
        let taken = source.sum::<Task>();
        let services = source.live::<Service>(&Prefix::parent(&self.tenant, &self.name));
        let daemons = services.iter().filter(|it| it.scheduling == SchedulingStrategy::Daemon);
        let daemons: HashSet<&str> = daemons.map(|it| &*it.name).collect();
        let waited_for = |here: &OnInstance| {
            let of_daemons =
                here.services.iter().filter(|(name, _)| daemons.contains(&***name)).map(|(_, number)| number);
            here.tasks() - of_daemons.chain(here.daemons.values()).sum::<i64>()
        };
        let number = |one: &ContainerInstance| taken.number(|it| it.on(one).map_or(0, waited_for));
        let others = self.instances.iter().map(|one| (&*one.id, usize::try_from(number(one)).unwrap_or(0)));
        others.collect()
    }
}

/// What the tasks of the primary deployment are made from.
fn workload(source: &impl Read, service: &Service) -> Option<(Arc<ServiceRevision>, Arc<TaskDefinition>)> {
    let primary = service.primary()?;
    let key = keys::service_revision(&service.tenant, &service.cluster, &service.name, &primary.revision);
    let revision = source.get::<ServiceRevision>(&key)?;
    let template = &revision.template;
    let key = keys::definition(&template.tenant, &template.family, template.revision);
    Some((revision, source.get::<TaskDefinition>(&key)?))
}

/// What the primary's strategy wants of one of its providers in any case; of a single one everything is.
fn base(source: &impl Read, service: &Service) -> Option<Base> {
    let primary = service.primary().filter(|_| service.scheduling == SchedulingStrategy::Replica)?;
    let key = keys::service_revision(&service.tenant, &service.cluster, &service.name, &primary.revision);
    let revision = source.get::<ServiceRevision>(&key)?;
    let strategy = Some(&revision.template.placing.strategy).filter(|strategy| strategy.len() > 1)?;
    let item = strategy.iter().find(|item| item.base > 0)?;
    Some(Base { provider: item.capacity_provider.clone(), tasks: u32::try_from(item.base).ok()? })
}

/// What an instance must be, the service's own constraints among it.
fn suitability(service: &Service, revision: &ServiceRevision, definition: Arc<TaskDefinition>) -> Suitability {
    Suitability::of(revision.template.constraints.iter().chain(&service.constraints), definition)
}

/// Zones that tasks of the service could come to, if that matters: where it has subnets, and on EC2 an instance that is
/// what it asks for.
fn zones(source: &impl Read, service: &Service, instances: &[Arc<ContainerInstance>]) -> Vec<String> {
    if !service.rebalances_zones || service.scheduling != SchedulingStrategy::Replica {
        return Vec::new();
    }
    let Some((revision, definition)) = workload(source, service) else { return Vec::new() };
    let template = &revision.template;
    let subnets = template.interface.iter().flat_map(|it| &it.subnets);
    let of_subnet =
        |id: &String| Some(source.get::<Subnet>(&keys::subnet(&service.tenant, id))?.availability_zone.clone());
    let reached: BTreeSet<String> = subnets.filter_map(of_subnet).collect();
    if template.placing.launch_type == LaunchType::Fargate {
        return reached.into_iter().collect();
    }
    let pools = pools(source, template);
    let suitability = suitability(service, &revision, definition);
    let takes_tasks = |one: &ContainerInstance| {
        one.is_connected()
            && one.status == ContainerInstanceStatus::Active
            && (if pools.is_empty() { one.managed_by.is_none() } else { pools.iter().any(|pool| pool.has(one)) })
            && (template.interface.is_none() || reached.contains(&one.availability_zone))
            && suitability.holds(one)
    };
    // One instance of a zone is enough.
    let mut there: BTreeSet<&String> = BTreeSet::new();
    for one in instances {
        if !there.contains(&one.availability_zone) && takes_tasks(one) {
            there.insert(&one.availability_zone);
        }
    }
    there.into_iter().cloned().collect()
}

/// The instances that the template's capacity providers stand for.
fn pools(source: &impl Read, template: &TaskTemplate) -> Vec<Pool> {
    let names = template.placing.strategy.iter().map(|item| &item.capacity_provider);
    let found =
        names.filter_map(|name| source.get::<CapacityProvider>(&keys::capacity_provider(&template.tenant, name)));
    found.map(|provider| provider.pool()).collect()
}

/// Those of the configuration that a deployment has to fear. One that goes back has none: it is the way out of them.
fn watching(source: &impl Read, service: &Service, rollout: &ServiceDeployment) -> Vec<Arc<Alarm>> {
    let Some(alarms) = service.configuration.alarms.as_ref().filter(|alarms| alarms.enable) else { return Vec::new() };
    match rollout.status {
        ServiceDeploymentStatus::RollbackInProgress => Vec::new(),
        _ => known(source, &service.tenant, &alarms.alarm_names, rollout.created_at).collect(),
    }
}

/// Those of the names that went into ALARM since then and still are.
pub(crate) fn firing(source: &impl Read, tenant: &Tenant, names: &[String], since: Timestamp) -> Vec<String> {
    let known = known(source, tenant, names, since);
    known.filter(|alarm| fires(alarm)).map(|alarm| alarm.name.clone()).collect()
}

/// Without those that have been in ALARM since before then: ECS ignores those that are in ALARM when a deployment begins,
/// which may well be the one that mends what they are about.
fn known<'a>(
    source: &'a impl Read,
    tenant: &'a Tenant,
    names: &'a [String],
    since: Timestamp,
) -> impl Iterator<Item = Arc<Alarm>> + 'a {
    let found = names.iter().filter_map(|name| source.get::<Alarm>(&keys::alarm(tenant, name)));
    found.filter(move |alarm| !fires(alarm) || alarm.transitioned_at > since)
}

fn fires(alarm: &Alarm) -> bool {
    alarm.state.value == StateValue::Alarm
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
        let state = Scene::at(&timing, now).state(memory.view(), &service);
        let eligible: Vec<&str> = state.instances.iter().filter(|it| it.is_eligible).map(|it| &*it.id).collect();
        assert_eq!((eligible, state.instances.len()), (vec!["a"], 2));
    }
}
