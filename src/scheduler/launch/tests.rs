//! Launches on groups that may grow, in a store without a disk: what is placed, what waits, what becomes of that.

use cove_model::capacity_provider::CapacityProvider;
use cove_model::cluster::CapacityProviderStrategyItem;
use cove_model::cluster::{Cluster, ClusterStatus};
use cove_model::container_instance::{ContainerInstance, ContainerInstanceStatus};
use cove_model::task::{Desired, Keeper, StopCode, StopOrder, TaskNetwork, TaskStatus};
use cove_store::Prefix;

use super::*;
use crate::fixture::{NOW, World};
use crate::fleet::Fleet;
use crate::place;
use crate::simulation::setting;

const PATIENCE_MILLIS: i64 = 60_000;

fn instance(id: &str) -> ContainerInstance {
    let mut one = ContainerInstance::clone(&place::tests::instance(id, setting::ZONES[0], 0));
    (one.registered.cpu, one.registered.memory_mib) = (1024, 2048);
    (one.asg, one.asg_max) = (Some(setting::GROUP.into()), Some(2));
    one
}

fn template() -> TaskTemplate {
    let mut template = setting::template(&setting::FAMILIES[3]);
    let item = CapacityProviderStrategyItem { capacity_provider: setting::PROVIDER.into(), weight: 1, base: 0 };
    template.placing.strategy = vec![item];
    (template.size.cpu, template.size.memory_mib) = (512, 1024);
    template
}

/// A group of one instance that holds two tasks, and may grow to two instances.
fn of_a_group() -> World {
    let fleet = Fleet { provisioning_millis: PATIENCE_MILLIS, ..Fleet::default() };
    let mut world = World::on(HostFacts { fleet, ..place::tests::host() });
    world.write(|tx, _| {
        tx.put(setting::provider_of_the_group());
        tx.put(instance("i1"));
    });
    world
}

impl World {
    /// One round of the loop; how many wait after it.
    fn look(&mut self) -> usize {
        self.round();
        waiting(self.memory.view()).len()
    }

    fn end(&mut self, task: &Task) {
        self.reach(task, TaskStatus::Stopped);
    }

    fn percent(&self) -> f64 {
        let all = reservations(self.memory.view());
        assert_eq!(all.len(), 1, "{all:?}");
        all[0].3
    }
}

#[test]
fn a_task_that_the_largest_group_has_no_room_for_waits_with_nothing_and_is_placed_when_one_ends() {
    let mut world = of_a_group();
    let launched = world.run(&template(), 5);
    assert_eq!((launched.tasks.len(), launched.refusals.len(), world.instances().len()), (5, 0, 2));
    let waits: Vec<_> = launched.tasks.iter().filter(|task| task.is_waiting()).collect();
    let [waits] = waits[..] else { panic!("{waits:?}") };
    assert_eq!((waits.observed.status, waits.network.clone()), (TaskStatus::Provisioning, TaskNetwork::None));
    assert_eq!((waits.placement.container_instance.clone(), waits.containers.len()), (None, 1));
    assert!(waits.containers[0].ports.is_empty() && waits.containers[0].log.is_none());
    assert_eq!(waits.placement.capacity_provider.as_deref(), Some(setting::PROVIDER));
    assert_eq!(world.look(), 1, "nothing has changed");
    world.end(&launched.tasks[0]);
    assert_eq!(world.look(), 0);
    let placed = world.tasks().into_iter().find(|task| task.id == waits.id).unwrap();
    assert_eq!(placed.placement.container_instance, launched.tasks[0].placement.container_instance);
    assert_eq!((placed.observed.status, placed.containers.len(), placed.version), (TaskStatus::Pending, 1, 2));
    assert!(placed.containers[0].id == waits.containers[0].id && placed.containers[0].log.is_some());
    assert_eq!((placed.created_at, placed.unplaced.is_some()), (NOW, false));
}

#[test]
fn a_group_that_may_have_more_grows_for_those_that_wait() {
    let mut world = of_a_group();
    world.run(&template(), 6);
    assert_eq!((world.instances().len(), world.look()), (2, 2));
    world.write(|tx, _| {
        for one in tx.scan::<ContainerInstance>(&Prefix::all()) {
            tx.put(ContainerInstance { asg_max: Some(3), ..(*one).clone() });
        }
    });
    assert_eq!((world.look(), world.instances().len()), (0, 3));
}

#[test]
fn a_group_does_not_grow_for_what_would_not_fit_anyway() {
    let mut world = of_a_group();
    let mut huge = template();
    huge.size.memory_mib = 4096;
    let mut elsewhere = template();
    let expression = Some("attribute:ecs.availability-zone == us-east-1c".to_owned());
    elsewhere.constraints = vec![PlacementConstraint { kind: Some(PlacementConstraintType::MemberOf), expression }];
    for template in [huge, elsewhere] {
        assert!(world.run(&template, 1).tasks[0].is_waiting());
    }
    for _ in 0..3 {
        assert_eq!((world.look(), world.instances().len()), (2, 1));
    }
}

#[test]
fn a_task_is_given_up_in_awss_words_when_it_has_waited_for_awss_time() {
    let mut world = of_a_group();
    let mut huge = template();
    huge.size.memory_mib = 4096;
    world.run(&huge, 1);
    world.now = NOW.plus_millis(PATIENCE_MILLIS - 1);
    assert_eq!(world.look(), 1);
    world.now = NOW.plus_millis(PATIENCE_MILLIS);
    assert_eq!(world.look(), 0);
    let order = world.tasks()[0].desired.order().cloned().unwrap();
    assert_eq!((order.code, &*order.reason), (StopCode::TaskFailedToStart, "TaskFailedToStart: RESOURCE:MEMORY"));
    for (status, reason) in [
        (ContainerInstanceStatus::Draining, "TaskFailedToStart: NO ACTIVE INSTANCES"),
        (ContainerInstanceStatus::Inactive, "TaskFailedToStart: EMPTY CAPACITY PROVIDER"),
    ] {
        let mut world = of_a_group();
        world.write(|tx, _| tx.put(ContainerInstance { status, asg_max: Some(0), ..instance("i1") }));
        assert!(world.run(&template(), 1).tasks[0].is_waiting());
        world.now = NOW.plus_millis(PATIENCE_MILLIS);
        assert_eq!(world.look(), 0);
        assert_eq!(world.tasks()[0].desired.order().unwrap().reason, reason);
    }
}

#[test]
fn one_that_somebody_stops_is_never_placed() {
    let mut world = of_a_group();
    let launched = world.run(&template(), 5);
    let waits = launched.tasks.iter().find(|task| task.is_waiting()).unwrap();
    let order = StopOrder { code: StopCode::UserInitiated, reason: "bye".into(), at: NOW };
    let stopped = Task { desired: Desired::Stopped(order), ..waits.clone() };
    world.write(|tx, _| tx.put(stopped));
    world.end(&launched.tasks[0]);
    assert_eq!(world.look(), 0);
    let left = world.tasks().into_iter().find(|task| task.id == waits.id).unwrap();
    assert!(left.unplaced.is_some() && left.placement.container_instance.is_none());
}

#[test]
fn as_many_wait_in_a_cluster_as_awss_quota_allows() {
    let mut world = of_a_group();
    world.host.tasks_max = 1000;
    let launched = world.run(&template(), 510);
    assert_eq!(launched.tasks.len(), 504, "four have a place");
    let reason = launched.refusals[0].reason.as_str();
    assert_eq!((launched.refusals.len(), reason), (6, "Tasks provisioning capacity limit exceeded."));
}

#[test]
fn without_managed_scaling_nothing_waits() {
    let mut world = of_a_group();
    world.write(|tx, _| {
        let mut provider: CapacityProvider = setting::provider_of_the_group();
        provider.managed_scaling.status = cove_model::capacity_provider::Switch::Disabled;
        tx.put(provider);
    });
    let launched = world.run(&template(), 3);
    assert_eq!((launched.tasks.len(), world.instances().len()), (2, 1));
    assert_eq!(launched.refusals[0].reason, Reason::Cpu);
}

#[test]
fn the_reservation_counts_what_those_that_wait_need() {
    let mut world = of_a_group();
    world.associate();
    let near = |percent: f64, wanted: f64| assert!((percent - wanted).abs() < 0.01, "{percent}, not {wanted}");
    near(world.percent(), 0.0);
    world.run(&template(), 4);
    near(world.percent(), 100.0);
    world.run(&template(), 3);
    near(world.percent(), 200.0);
    world.write(|tx, _| {
        for one in tx.scan::<ContainerInstance>(&Prefix::all()) {
            tx.put(ContainerInstance { status: ContainerInstanceStatus::Inactive, ..(*one).clone() });
        }
    });
    near(world.percent(), 200.0);
}

impl World {
    /// Makes the cluster one of the provider's.
    fn associate(&mut self) {
        self.write(|tx, _| {
            tx.put(Cluster {
                tenant: setting::tenant(),
                name: setting::CLUSTER.into(),
                status: ClusterStatus::Active,
                settings: Vec::new(),
                configuration: None,
                service_connect_defaults: None,
                capacity_providers: vec![setting::PROVIDER.into()],
                default_capacity_provider_strategy: Vec::new(),
                tags: Vec::new(),
                created_at: NOW,
                gone_at: None,
            });
        });
    }

    /// One round of the loop; how many transactions it took.
    fn round(&mut self) -> usize {
        let mut from = None;
        for number in 1.. {
            from = self.write(|tx, host| place_waiting(tx, host, from.as_ref()).unwrap());
            if from.is_none() {
                return number;
            }
        }
        0
    }
}

#[test]
fn a_group_grows_although_it_has_instances_without_tasks_when_those_are_no_place() {
    let mut world = of_a_group();
    let mut daemon = Task { keeper: Some(Keeper::Daemon("eye".into())), ..place::tests::any_task() };
    daemon.placement.container_instance = Some("i1".into());
    daemon.placement.cpu = 600;
    world.write(|tx, _| tx.put(daemon));
    let launched = world.run(&template(), 1);
    assert!(!launched.tasks[0].is_waiting(), "the daemon has left too little");
    assert_eq!(world.instances().len(), 2);

    let mut world = of_a_group();
    let mut there = template();
    let expression = Some(format!("attribute:ecs.availability-zone == {}", setting::ZONES[1]));
    there.constraints = vec![PlacementConstraint { kind: Some(PlacementConstraintType::MemberOf), expression }];
    world.write(|tx, _| {
        let other = place::tests::instance("i2", setting::ZONES[1], 0);
        let zone = (other.availability_zone.clone(), other.attributes.clone());
        for id in ["i1", "i2"] {
            let mut one = ContainerInstance { asg_max: Some(3), ..instance(id) };
            if id == "i2" {
                (one.availability_zone, one.attributes) = zone.clone();
            }
            tx.put(one);
        }
    });
    let launched = world.run(&there, 3);
    assert_eq!((launched.tasks.iter().filter(|task| task.is_waiting()).count(), world.instances().len()), (0, 3));
}

#[test]
fn the_reservation_says_that_a_group_is_too_small_whatever_is_idle() {
    let mut world = of_a_group();
    world.associate();
    let mut huge = template();
    huge.size.memory_mib = 4096;
    world.run(&huge, 1);
    assert!((world.percent() - 200.0).abs() < 0.01, "{}", world.percent());
}

#[test]
fn all_that_wait_have_their_turn_a_few_crowds_at_a_time() {
    let mut world = of_a_group();
    world.write(|tx, _| tx.put(ContainerInstance { asg_max: Some(1), ..instance("i1") }));
    let mut huge = template();
    huge.size.memory_mib = 4096;
    for number in 0..20 {
        world.now = NOW.plus_millis(number);
        world.run(&TaskTemplate { started_by: Some(format!("{number}")), ..huge.clone() }, 1);
        // Of the same kind as the first: no crowd of its own.
        world.run(&TaskTemplate { started_by: Some("0".into()), ..huge.clone() }, 1);
    }
    let fits = world.run(&template(), 3);
    let last = fits.tasks.iter().find(|task| task.is_waiting()).unwrap();
    assert_eq!(world.round(), 3, "eight kinds at a time");
    world.end(&fits.tasks[0]);
    assert_eq!(world.look(), 40, "the newest of all has its place, although the older ones have none");
    assert!(!world.tasks().iter().find(|task| task.id == last.id).unwrap().is_waiting());
}
