//! Managed instances in a store: what a launch makes, what goes when it is idle.

use cove_model::cluster::CapacityProviderStrategyItem;
use cove_model::daemon::{Daemon, DaemonConfiguration, DaemonRevision};
use cove_model::managed_instances::{
    InfrastructureOptimization, InstanceLaunchTemplate, InstanceRequirements, Limits, ManagedInstancesNetwork,
    ManagedInstancesProvider, PropagateMiTags, StorageConfiguration,
};
use cove_model::service::{Deployment, RolloutState, Service, ServiceRevision};
use cove_model::tag::Tag;
use cove_model::task::{Keeper, LaunchType, StopCode, TaskStatus};
use cove_model::task_template::TaskTemplate;
use cove_store::Record;

use super::*;
use crate::daemons;
use crate::deploy::{self, Timing};
use crate::fixture::{NOW, World};
use crate::fleet::verb::tasks_on;
use crate::fleet::{Verb, apply, depart, scale_in};
use crate::place;
use crate::simulation::setting;

/// A provider that wants two vCPUs in zones a and b, and lets instances idle for ten seconds.
fn provider() -> CapacityProvider {
    let wanted =
        InstanceRequirements { v_cpu_count: Limits { min: Some(2), max: Some(2) }, ..InstanceRequirements::default() };
    let subnets = vec!["subnet-us-east-1a".to_owned(), "subnet-us-east-1b".to_owned()];
    let provider = ManagedInstancesProvider {
        instance_launch_template: InstanceLaunchTemplate {
            network_configuration: ManagedInstancesNetwork { subnets, security_groups: Vec::new() },
            instance_requirements: Some(wanted),
            ..InstanceLaunchTemplate::default()
        },
        propagate_tags: Some(PropagateMiTags::CapacityProvider),
        infrastructure_optimization: Some(InfrastructureOptimization { scale_in_after: Some(10) }),
        ..ManagedInstancesProvider::default()
    };
    CapacityProvider {
        tags: vec![Tag { key: "team".into(), value: "a".into() }],
        managed: Some(ManagedInstances { cluster: setting::CLUSTER.into(), provider }),
        ..CapacityProvider::new(setting::tenant(), "mi", NOW)
    }
}

fn template(memory_mib: i64) -> TaskTemplate {
    let mut template = setting::template(&setting::FAMILIES[3]);
    template.placing.launch_type = LaunchType::ManagedInstances;
    template.placing.strategy =
        vec![CapacityProviderStrategyItem { capacity_provider: "mi".into(), weight: 1, base: 0 }];
    (template.size.cpu, template.size.memory_mib) = (512, memory_mib);
    template
}

fn managed() -> World {
    let host = HostFacts { memory_mib: 16_384, memory_overcommit: 1.0, ..place::tests::host() };
    let mut world = World::on(host);
    world.write(|tx, _| tx.put(provider()));
    world
}

impl World {
    fn scale_in(&mut self) {
        self.write(|tx, host| scale_in(tx, host).unwrap());
        self.write(|tx, _| depart(tx).unwrap());
    }

    fn stop_all(&mut self) {
        self.stop_but(0);
    }

    /// So many stay on each instance.
    fn stop_but(&mut self, number: usize) {
        let on = |one: &Arc<ContainerInstance>| tasks_on(self.memory.view(), one).into_iter().skip(number);
        let ending: Vec<Arc<Task>> = self.instances().iter().flat_map(on).collect();
        ending.iter().for_each(|task| self.reach(task, TaskStatus::Stopped));
    }
}

#[test]
fn tasks_without_room_get_instances_of_the_cheapest_type_over_the_zones() {
    let mut world = managed();
    let launched = world.run(&template(512), 2);
    assert_eq!((launched.tasks.len(), launched.refusals.len()), (2, 0));
    let made = world.instances();
    let zones: Vec<&str> = made.iter().map(|one| &*one.availability_zone).collect();
    assert_eq!(BTreeSet::from_iter(zones), BTreeSet::from(["us-east-1a", "us-east-1b"]), "{made:?}");
    for one in &made {
        let kind = one.attribute("ecs.instance-type").unwrap();
        assert!(kind.starts_with('c') && kind.ends_with(".large"), "{kind}");
        assert_eq!((one.managed_by.as_deref(), one.tags.len(), one.capacity), (Some("mi"), 1, Capacity::OnDemand));
    }
    for task in &launched.tasks {
        assert_eq!(task.placement.capacity_provider.as_deref(), Some("mi"));
        assert_eq!(task.placement.launch_type, LaunchType::ManagedInstances);
    }
    let more = world.run(&template(512), 2);
    assert_eq!((more.tasks.len(), world.instances().len()), (2, 2), "what is there is filled first");
}

#[test]
fn no_instance_is_made_in_vain() {
    let mut world = managed();
    world.host.memory_mib = 1 << 30;
    let launched = world.run(&template(1_000_000), 1);
    assert_eq!((launched.tasks.len(), world.instances().len()), (0, 0), "no type is so large");
    assert_eq!(launched.refusals[0].reason.as_str(), "No Container Instances were found in your capacity provider.");
    assert!(launched.refusals[0].detail.as_ref().unwrap().contains("no instance type"));
    world.host.memory_mib = 256;
    let launched = world.run(&template(512), 1);
    assert!(launched.refusals[0].detail.as_ref().unwrap().contains("on this host"), "nor for what the host lacks");
    assert_eq!(world.instances().len(), 0);
    world.host.memory_mib = 1024;
    let launched = world.run(&template(512), 4);
    assert_eq!((launched.tasks.len(), launched.refusals.len()), (2, 2), "the host holds two");
    assert!(launched.refusals[0].detail.as_ref().unwrap().contains("on this host"));
    let made = world.instances().len();
    world.run(&template(512), 4);
    assert_eq!(world.instances().len(), made);
}

#[test]
fn an_idle_instance_goes_after_its_time_and_never_with_tasks() {
    let mut world = managed();
    world.run(&template(512), 1);
    world.now = world.now.plus_millis(60_000);
    world.scale_in();
    assert_eq!(world.instances().len(), 1, "its task is there");
    world.stop_all();
    world.now = world.now.plus_millis(9_999);
    world.scale_in();
    assert_eq!(world.instances().len(), 1, "not yet");
    // Somebody drains it: it would stay for ever.
    let one = world.instances().remove(0);
    world.write(|tx, _| apply(tx, &one, Verb::Drain).unwrap());
    world.now = world.now.plus_millis(1);
    world.scale_in();
    assert_eq!(world.instances().len(), 0);
}

#[test]
fn a_provider_that_is_deleted_takes_its_instances_along() {
    let mut world = managed();
    world.run(&template(512), 1);
    world.write(|tx, _| retire(tx, &provider()));
    assert_eq!(world.instances()[0].status, ContainerInstanceStatus::Draining);
    world.write(|tx, _| depart(tx).unwrap());
    assert_eq!(world.instances().len(), 1, "its task may end");
    world.stop_all();
    world.write(|tx, _| depart(tx).unwrap());
    assert_eq!(world.instances().len(), 0);
}

/// As a service starts its tasks; the service is there.
fn of_service(world: &mut World) -> TaskTemplate {
    let mut template = template(512);
    (template.keeper, template.started_by) = (Some(Keeper::Service("web".into())), Some("ecs-svc/1".into()));
    template.group = "service:web".into();
    let revision = ServiceRevision {
        tenant: setting::tenant(),
        cluster: setting::CLUSTER.into(),
        service: "web".into(),
        id: "1".into(),
        template: template.clone(),
        launch_type: None,
        capacity_provider_strategy: Vec::new(),
        platform_version: None,
        network_configuration: None,
        images: Vec::new(),
        express: None,
        created_at: NOW,
    };
    let deployment = Deployment {
        id: "ecs-svc/1".into(),
        revision: "1".into(),
        service_deployment: "d".into(),
        failed_tasks: 0,
        rollout: RolloutState::Completed,
        rollout_reason: String::new(),
        created_at: NOW,
        updated_at: NOW,
    };
    let service = Service { name: "web".into(), deployments: vec![deployment], ..deploy::tests::service() };
    world.write(|tx, _| {
        tx.put(revision);
        tx.put(service);
    });
    template
}

fn draining(world: &World) -> Vec<Arc<ContainerInstance>> {
    let mut all = world.instances();
    all.retain(|one| one.status == ContainerInstanceStatus::Draining);
    all
}

#[test]
fn underused_instances_go_one_after_the_other_while_others_of_their_zone_have_room() {
    let mut world = managed();
    world.host.memory_mib = 1 << 20;
    let template = of_service(&mut world);
    world.run(&template, 16);
    assert_eq!(world.instances().len(), 4, "two in each of two zones, all full");
    world.now = world.now.plus_millis(60_000);
    world.scale_in();
    assert!(draining(&world).is_empty(), "nothing has room for what they have");
    world.stop_but(1);
    world.now = world.now.plus_millis(9_999);
    world.scale_in();
    assert!(draining(&world).is_empty(), "not yet");
    world.now = world.now.plus_millis(1);
    for left in [3, 2] {
        world.scale_in();
        let [going] = &draining(&world)[..] else { panic!("{:?}", draining(&world)) };
        world.scale_in();
        assert_eq!(draining(&world).len(), 1, "one at a time");
        let now = world.now;
        world.write(|tx, _| {
            let mut task = Task::clone(&tasks_on(tx, going)[0]);
            (task.observed.status, task.observed.stopped_at) = (TaskStatus::Stopped, Some(now));
            tx.put(task);
            depart(tx).unwrap();
        });
        assert_eq!(world.instances().len(), left);
    }
    world.now = world.now.plus_millis(60_000);
    world.scale_in();
    assert!(draining(&world).is_empty(), "each zone keeps one");
}

/// A provider of up to eight vCPUs in one zone, with one instance of that size and one task of a service on it.
fn nearly_empty() -> (World, TaskTemplate, Arc<ContainerInstance>) {
    let mut world = managed();
    world.host.memory_mib = 1 << 20;
    world.write(|tx, _| {
        let mut provider = provider();
        let launch = &mut provider.managed.as_mut().unwrap().provider.instance_launch_template;
        launch.network_configuration.subnets.truncate(1);
        launch.instance_requirements.as_mut().unwrap().v_cpu_count.max = Some(8);
        launch.storage_configuration = Some(StorageConfiguration { storage_size_gib: Some(100) });
        tx.put(provider);
    });
    let template = of_service(&mut world);
    world.run(&template, 16);
    let [large] = &world.instances()[..] else { panic!("{:?}", world.instances()) };
    let large = Arc::clone(large);
    assert_eq!((large.registered.cpu, large.storage_gib), (8192, Some(100)));
    world.stop_but(1);
    (world, template, large)
}

/// Those that were made in place of another.
fn smaller(world: &World) -> Vec<Arc<ContainerInstance>> {
    let mut all = world.instances();
    all.retain(|one| one.replaces.is_some());
    all
}

#[test]
fn an_underused_instance_drains_when_a_smaller_one_is_there_for_its_tasks() {
    let (mut world, template, large) = nearly_empty();
    world.now = world.now.plus_millis(9_999);
    world.scale_in();
    assert_eq!(world.instances().len(), 1, "not yet");
    world.now = world.now.plus_millis(1);
    world.scale_in();
    let [small] = &smaller(&world)[..] else { panic!("{:?}", world.instances()) };
    assert_eq!((small.registered.cpu, small.replaces.as_ref()), (2048, Some(&large.id)));
    assert_eq!((small.storage_gib, &small.availability_zone), (Some(100), &large.availability_zone));
    assert!(draining(&world).is_empty(), "first the one, then the other");
    world.scale_in();
    assert_eq!(draining(&world)[0].id, large.id);
    world.now = world.now.plus_millis(60_000);
    world.scale_in();
    assert_eq!(world.instances().len(), 2, "it is not idle: it waits for the other's tasks");
    let old = tasks_on(world.memory.view(), &large).remove(0);
    let fresh = world.run(&template, 1).tasks.remove(0);
    assert_eq!(fresh.placement.container_instance.as_ref(), Some(&small.id));
    world.reach(&old, TaskStatus::Stopped);
    for _ in 0..3 {
        world.now = world.now.plus_millis(60_000);
        world.scale_in();
        assert_eq!(world.instances().len(), 1, "it has come to rest");
    }
    assert_eq!(world.instances()[0].id, small.id);
}

#[test]
fn a_smaller_instance_is_made_once_and_goes_when_it_is_not_needed() {
    let (mut world, template, large) = nearly_empty();
    world.write(|tx, _| {
        let mut provider = CapacityProvider::clone(&tx.scan::<CapacityProvider>(&Prefix::all())[0]);
        let given = InfrastructureOptimization { scale_in_after: Some(0) };
        provider.managed.as_mut().unwrap().provider.infrastructure_optimization = Some(given);
        tx.put(provider);
        // The drain waits for another one.
        let other =
            ContainerInstance { id: "other".into(), status: ContainerInstanceStatus::Draining, ..(*large).clone() };
        tx.put(other);
    });
    world.write(|tx, host| scale_in(tx, host).unwrap());
    assert!(smaller(&world).is_empty(), "one at a time");
    world.write(|tx, _| {
        tx.delete::<ContainerInstance>(&keys::container_instance(&large.tenant, &large.cluster, "other"))
    });
    world.write(|tx, host| scale_in(tx, host).unwrap());
    assert_eq!(smaller(&world).len(), 1);
    // Nothing that is protected is moved, so the smaller one waits; more tasks come, and it has no room for all.
    let (task, until) = (tasks_on(world.memory.view(), &large).remove(0), world.now.plus_millis(120_000));
    world.write(|tx, _| tx.put(Task { protected_until: Some(until), ..(*task).clone() }));
    for _ in 0..3 {
        world.write(|tx, host| scale_in(tx, host).unwrap());
        assert_eq!((smaller(&world).len(), draining(&world).len()), (1, 0), "as long as it is waited for");
    }
    let host_of = |task: &Task| task.placement.container_instance.clone().unwrap();
    for task in world.run(&template, 8).tasks {
        if host_of(&task) != large.id {
            world.reach(&task, TaskStatus::Stopped);
        }
    }
    world.scale_in();
    world.scale_in();
    let (left, now) = (smaller(&world).len(), tasks_on(world.memory.view(), &large).len());
    assert_eq!((left, now), (0, 5), "four were on the smaller one");
}

#[test]
fn a_smaller_instance_is_not_ready_before_its_daemons_run() {
    let (mut world, _, large) = nearly_empty();
    let mut daemon = Daemon::new(setting::tenant(), setting::CLUSTER, "eye", DaemonConfiguration::default(), NOW);
    let mut template = setting::template(&setting::FAMILIES[4]);
    template.group = daemon.group();
    let revision = DaemonRevision::new(&daemon, "1", template, vec!["mi".into()], NOW);
    world.write(|tx, _| {
        daemons::begin(tx, &mut daemon, revision);
        // What was made without room for it would be replaced.
        tx.put(ContainerInstance { room_for: vec!["1".into()], ..(*large).clone() });
    });
    let run_daemons = |world: &mut World| {
        let key = daemon.key();
        world.write(|tx, host| daemons::apply::reconcile(tx, host, &Timing::default(), &key).unwrap());
        let tasks = world.tasks();
        tasks.iter().filter(|it| it.daemon().is_some()).for_each(|it| world.reach(it, TaskStatus::Running));
    };
    run_daemons(&mut world);
    world.now = world.now.plus_millis(10_000);
    world.scale_in();
    assert_eq!(smaller(&world).len(), 1);
    world.now = world.now.plus_millis(60_000);
    world.scale_in();
    assert!(draining(&world).is_empty() && smaller(&world).len() == 1, "its daemon is not there");
    run_daemons(&mut world);
    world.scale_in();
    assert_eq!(draining(&world)[0].id, large.id);
}

#[test]
fn what_nobody_would_start_again_or_what_is_protected_is_not_moved() {
    let mut world = managed();
    world.host.memory_mib = 1 << 20;
    world.run(&template(512), 16);
    world.stop_but(1);
    world.now = world.now.plus_millis(60_000);
    world.scale_in();
    assert!(draining(&world).is_empty(), "tasks of no service");

    let mut world = managed();
    world.host.memory_mib = 1 << 20;
    let template = of_service(&mut world);
    world.run(&template, 16);
    world.stop_but(1);
    let until = world.now.plus_millis(120_000);
    world.write(|tx, _| {
        for task in tx.live::<Task>(&Prefix::all()) {
            tx.put(Task { protected_until: Some(until), ..(*task).clone() });
        }
    });
    world.now = world.now.plus_millis(60_000);
    world.scale_in();
    assert!(draining(&world).is_empty(), "protected");
    world.now = until;
    world.scale_in();
    assert_eq!(draining(&world).len(), 1);
}

#[test]
fn an_old_instance_drains_after_two_weeks_and_ends_a_week_later() {
    let mut world = managed();
    world.run(&template(512), 1);
    world.now = NOW.plus_millis(DRAINS_AFTER_MILLIS - 1);
    world.scale_in();
    assert!(draining(&world).is_empty());
    world.now = NOW.plus_millis(DRAINS_AFTER_MILLIS);
    world.scale_in();
    assert_eq!(draining(&world).len(), 1, "its task is there");
    world.now = NOW.plus_millis(ENDS_AFTER_MILLIS);
    world.scale_in();
    assert_eq!(world.instances().len(), 0);
    let tasks = world.memory.view().live::<Task>(&Prefix::all());
    assert_eq!(tasks[0].desired.order().unwrap().code, StopCode::TerminationNotice);
}

#[test]
fn an_instance_that_is_too_old_when_somebody_looks_drains_for_a_week_all_the_same() {
    let mut world = managed();
    world.run(&template(512), 1);
    world.now = NOW.plus_millis(ENDS_AFTER_MILLIS + DAY_MILLIS);
    world.write(|tx, _| depart(tx).unwrap());
    assert_eq!(world.instances().len(), 1, "its tasks have not had the time to move");
    world.scale_in();
    let drains_since = world.now;
    assert_eq!(draining(&world).len(), 1);
    let told =
        crate::explain::task(world.memory.view(), &world.host, &world.memory.view().scan::<Task>(&Prefix::all())[0]);
    assert!(told.iter().any(|line| line.contains("drains and waits for it")), "{told:?}");
    world.now = drains_since.plus_millis(DRAINS_FOR_MILLIS - 1);
    world.scale_in();
    assert_eq!(draining(&world).len(), 1);
    world.now = drains_since.plus_millis(DRAINS_FOR_MILLIS);
    world.scale_in();
    assert_eq!(world.instances().len(), 0);
}
