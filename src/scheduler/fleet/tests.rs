//! The fleet's decisions: what a wish becomes, what a start changes, what a verb does to instances and tasks.

use std::sync::Arc;

use cove_base::paths::DataDir;
use cove_base::{Clock, Timestamp};
use cove_model::arn::Tenant;
use cove_model::capacity_provider::{CapacityProvider, ManagedScaling, Switch};
use cove_model::cluster::Cluster;
use cove_model::container_instance::{Agent, Capacity, ContainerInstance, ContainerInstanceStatus, Origin};
use cove_model::service::{SchedulingStrategy, Service};
use cove_model::task::{Desired, Keeper, StopCode, StopOrder, Task, TaskStatus};
use cove_model::task_definition::Attribute;
use cove_store::{Prefix, Read, Store, StoreError, StoreOptions, Tx};

use super::reconcile::{Change, plan};
use super::scale::Change as Surplus;
use super::spot::{emptied, next_departure};
use super::verb::{End, check, ordered};
use super::*;
use crate::deploy;
use crate::host::HostFacts;
use crate::place::tests::{any_task, host};
use crate::tenant::ensure_tenant;

fn wish(instance_type: &str) -> MachineWish {
    MachineWish { instance_type: instance_type.into(), ..MachineWish::default() }
}

fn machines(wish: &MachineWish) -> Result<Vec<Machine>, BadMachine> {
    Machine::all_of(wish, &host().zones)
}

fn with_fleet(wishes: &[MachineWish]) -> HostFacts {
    let machines = wishes.iter().flat_map(|wish| machines(wish).unwrap()).collect();
    HostFacts {
        fleet: Fleet { machines, spot_warning_millis: 10, scale_in_millis: 10, provisioning_millis: 10 },
        ..host()
    }
}

fn tenant() -> Tenant {
    Tenant::new("000000000000", "us-east-1")
}

/// A store, and what stands in it after a start with these facts.
struct World {
    store: Store,
    _home: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(&DataDir::new(home.path()), Clock::system(), StoreOptions::default()).unwrap();
        Self { store, _home: home }
    }

    fn write<T: Send + 'static>(&self, work: impl FnOnce(&mut Tx<'_>) -> T + Send + 'static) -> T {
        self.store.write_blocking(move |tx| Ok::<_, StoreError>(work(tx))).unwrap()
    }

    fn start(&self, facts: &HostFacts) -> Vec<Arc<ContainerInstance>> {
        let facts = facts.clone();
        self.write(move |tx| {
            ensure_tenant(tx, &tenant(), &facts);
            reconcile(tx, &facts);
        });
        self.instances()
    }

    fn instances(&self) -> Vec<Arc<ContainerInstance>> {
        self.store.read(|view| view.scan::<ContainerInstance>(&Prefix::all()))
    }

    fn apply(&self, instance: &ContainerInstance, verb: Verb) -> Result<ContainerInstance, Refused> {
        let instance = instance.clone();
        self.write(move |tx| apply(tx, &instance, verb))
    }

    fn run_on(&self, instance: &ContainerInstance) {
        let mut task = any_task();
        task.placement.container_instance = Some(instance.id.clone());
        self.write(move |tx| tx.put(task));
    }

    fn task(&self) -> Arc<Task> {
        self.store.read(|view| view.scan::<Task>(&Prefix::all())).remove(0)
    }
}

fn ids(instances: &[Arc<ContainerInstance>]) -> Vec<String> {
    instances.iter().map(|one| one.id.clone()).collect()
}

fn count(instances: &[Arc<ContainerInstance>], status: ContainerInstanceStatus) -> usize {
    instances.iter().filter(|one| one.status == status).count()
}

#[test]
fn a_machine_has_its_types_size_unless_it_names_its_own() {
    let large = machines(&wish("m5.large")).unwrap().remove(0).size.unwrap();
    assert_eq!((large.cpu, large.memory_mib, large.tasks, large.trunk_tasks), (2048, 7865, 2, Some(10)));
    let own = MachineWish { cpu: Some(512), memory_mib: Some(64), eni_limit: Some(5), ..wish("m5.large") };
    let own = machines(&own).unwrap().remove(0).size.unwrap();
    assert_eq!((own.cpu, own.memory_mib, own.tasks, own.trunk_tasks), (512, 64, 4, None));
    assert_eq!(machines(&MachineWish { count: Some(3), ..wish("t3.micro") }).unwrap().len(), 3);
}

#[test]
fn what_cannot_be_is_refused_in_one_line() {
    let bad = [
        (wish("m5.huge"), "m5.large"),
        (MachineWish { zone: Some("z".into()), ..wish("m5.large") }, "zone `z`"),
        (MachineWish { count: Some(0), ..wish("m5.large") }, "count"),
        (MachineWish { memory_mib: Some(1 << 40), ..wish("m5.large") }, "memory_mib"),
        (MachineWish { cpu: Some(0), ..wish("m5.large") }, "cpu"),
        (MachineWish { eni_limit: Some(0), ..wish("m5.large") }, "eni_limit"),
        (MachineWish { cluster: Some("a b".into()), ..wish("m5.large") }, "cluster"),
        (MachineWish { attributes: [("ecs.x".into(), "y".into())].into(), ..wish("m5.large") }, "ecs.x"),
        (MachineWish { cpu: Some(1), ..wish(HOST_TYPE) }, "host"),
        (MachineWish { count: Some(2), ..wish(HOST_TYPE) }, "host"),
    ];
    for (wish, word) in bad {
        let text = machines(&wish).unwrap_err().to_string();
        assert!(text.contains(word) && !text.contains('\n'), "{text}");
    }
}

#[test]
fn a_declared_fleet_keeps_its_ids_whatever_else_is_declared() {
    let world = World::new();
    let pair = MachineWish { count: Some(2), ..wish("m5.large") };
    let first = world.start(&with_fleet(std::slice::from_ref(&pair)));
    assert_eq!(first.len(), 2);
    let revision = world.store.read(cove_store::View::revision);
    assert_eq!(world.start(&with_fleet(std::slice::from_ref(&pair))), first);
    assert_eq!(world.store.read(cove_store::View::revision), revision, "nothing new, nothing written");
    let bigger = MachineWish { memory_mib: Some(9000), ..pair };
    let other = MachineWish { zone: Some("b".into()), cluster: Some("batch".into()), ..wish("c5.large") };
    let then = world.start(&with_fleet(&[other, bigger]));
    assert_eq!(then.len(), 3);
    assert!(ids(&first).iter().all(|id| ids(&then).contains(id)));
    let changed = then.iter().find(|one| one.id == first[0].id).unwrap();
    assert_eq!((changed.registered.memory_mib, changed.version), (9000, 2));
    let elsewhere = then.iter().find(|one| one.cluster == "batch").unwrap();
    assert_eq!(elsewhere.availability_zone, "us-east-1b");
    assert_eq!(world.store.read(|view| view.count::<Cluster>(&Prefix::all())), 2, "its cluster was made");
}

#[test]
fn what_is_declared_no_more_goes_with_its_tasks_and_comes_back_when_it_is_declared_again() {
    let world = World::new();
    let of_host = world.start(&host()).remove(0);
    assert_eq!((of_host.origin, of_host.task_interfaces_max), (Origin::Host, None));
    world.run_on(&of_host);
    let with = with_fleet(&[wish("m5.large")]);
    let then = world.start(&with);
    assert_eq!(count(&then, ContainerInstanceStatus::Active), 1);
    let order = world.task().desired.order().cloned().unwrap();
    assert_eq!(order.reason, "Container instance deregistration forced by user");
    let back = world.start(&host());
    let host_again = back.iter().find(|one| one.id == of_host.id).unwrap();
    assert_eq!((host_again.status, host_again.origin), (ContainerInstanceStatus::Active, Origin::Host));
    assert_eq!(count(&back, ContainerInstanceStatus::Active), 1);
}

#[test]
fn what_was_ended_by_hand_stays_away_over_a_start_until_it_is_recovered() {
    let world = World::new();
    let facts = with_fleet(&[wish("m5.large")]);
    let one = world.start(&facts).remove(0);
    world.apply(&one, Verb::Fail).unwrap();
    let dead = world.start(&facts).remove(0);
    assert_eq!(dead.status, ContainerInstanceStatus::Inactive);
    assert!(dead.gone_at.is_some());
    world.apply(&dead, Verb::Recover).unwrap();
    let again = world.start(&facts).remove(0);
    assert_eq!((again.status, &again.id, again.gone_at), (ContainerInstanceStatus::Active, &one.id, None));
}

#[test]
fn an_undeclared_dead_instance_is_forgotten_not_retired_twice() {
    let mut dead = ContainerInstance::clone(&World::new().start(&with_fleet(&[wish("m5.large")])).remove(0));
    dead.status = ContainerInstanceStatus::Inactive;
    let changes = plan(&[Arc::new(dead.clone())], vec![]);
    let forgotten = ContainerInstance { origin: Origin::Added, ..dead };
    assert_eq!(changes, [Change::Put(Arc::new(forgotten.clone()))]);
    assert_eq!(plan(&[Arc::new(forgotten)], vec![]), []);
}

#[test]
fn added_instances_are_not_the_declarations_business() {
    let world = World::new();
    world.start(&host());
    let machine = machines(&wish("t3.small")).unwrap().remove(0);
    let added = world.write(move |tx| add(tx, &tenant(), &host(), &machine));
    assert_eq!(added.task_interfaces_max, Some(2));
    assert!(world.start(&host()).contains(&Arc::new(added)));
}

#[test]
fn agents_of_other_hosts_must_come_again_after_a_start_and_are_told_nothing_of_what_is_gone() {
    let world = World::new();
    let own = world.start(&host()).remove(0);
    let agent = Some(Agent { connected: true, ..Agent::default() });
    let far = ContainerInstance { id: "far".into(), origin: Origin::Added, agent, ..(*own).clone() };
    let there = far.clone();
    world.write(move |tx| tx.put(there));
    let find = |all: Vec<Arc<ContainerInstance>>| all.into_iter().find(|one| one.id == "far").unwrap();
    let then = find(world.start(&host()));
    assert_eq!((then.is_connected(), then.version), (false, far.version + 1));
    assert_eq!(find(world.start(&host())), then, "nothing is news twice");
    let gone = world.apply(&far, Verb::Remove { force: false }).unwrap();
    assert!(!gone.agent.unwrap().connected);
}

#[test]
fn removal_waits_for_tasks_unless_it_is_forced() {
    let world = World::new();
    let one = world.start(&with_fleet(&[wish("m5.large")])).remove(0);
    world.run_on(&one);
    let one = world.instances().remove(0);
    assert_eq!(world.apply(&one, Verb::Remove { force: false }), Err(Refused::RunningTasks));
    assert_eq!(world.instances(), [Arc::clone(&one)]);
    let gone = world.apply(&one, Verb::Remove { force: true }).unwrap();
    assert_eq!((gone.status, gone.version), (ContainerInstanceStatus::Inactive, one.version + 1));
    assert!(matches!(world.task().desired, Desired::Stopped(_)));
}

#[test]
fn a_group_shrinks_by_an_instance_that_has_only_daemons_left() {
    let world = World::new();
    let one = world.start(&with_fleet(&[MachineWish { asg: Some("blue".into()), ..wish("m5.large") }])).remove(0);
    let added = ContainerInstance { id: "added".into(), origin: Origin::Added, ..(*one).clone() };
    let managed_scaling = ManagedScaling { status: Switch::Enabled, ..ManagedScaling::default() };
    let fresh = CapacityProvider::new(tenant(), "web", Timestamp(0));
    let provider = CapacityProvider { asg: "blue".into(), managed_scaling, ..fresh };
    let service = Service { name: "each".into(), scheduling: SchedulingStrategy::Daemon, ..deploy::tests::service() };
    let task = |id: &str, keeper| {
        let mut task = Task { id: id.into(), keeper: Some(keeper), ..any_task() };
        task.placement.container_instance = Some("added".into());
        task
    };
    let daemons = [task("1", Keeper::Daemon("eye".into())), task("2", Keeper::Service("each".into()))];
    let kept = task("3", Keeper::Service("web".into()));
    world.write(move |tx| {
        tx.put(provider);
        tx.put(service);
        tx.put(added);
        daemons.into_iter().for_each(|task| tx.put(task));
    });
    let going = || -> Vec<String> {
        let changes = world.store.read(|view| surplus(view, &host(), Timestamp(0)));
        let leaves = |change| match change {
            Surplus::Leaves(one) => Some(one.id.clone()),
            Surplus::Comes(_) => None,
        };
        changes.into_iter().filter_map(|(_, change)| leaves(change)).collect()
    };
    assert_eq!(going(), ["added"]);
    world.write(move |tx| tx.put(kept));
    assert!(going().is_empty(), "a task of another service is there");
}

/// A machine of the group `blue`, which may have so many and is looked after by the provider `web`.
fn scaled(world: &World, asg_max: u32, target_capacity: i32) -> HostFacts {
    let scaling = ManagedScaling { status: Switch::Enabled, target_capacity, ..ManagedScaling::default() };
    let fresh = CapacityProvider::new(tenant(), "web", Timestamp(0));
    let provider = CapacityProvider { asg: "blue".into(), managed_scaling: scaling, ..fresh };
    world.write(move |tx| tx.put(provider));
    let group = MachineWish { asg: Some("blue".into()), asg_max: Some(asg_max), ..wish("m5.large") };
    with_fleet(&[group])
}

#[test]
fn a_group_with_a_target_below_100_has_room_before_tasks_wait_and_goes_back_to_it() {
    let world = World::new();
    let facts = scaled(&world, 4, 50);
    let one = world.start(&facts).remove(0);
    let scale = || {
        let facts = facts.clone();
        world.write(move |tx| scale_in(tx, &facts).unwrap());
        count(&world.instances(), ContainerInstanceStatus::Active)
    };
    assert_eq!(scale(), 1, "nothing runs");
    world.run_on(&one);
    assert_eq!((scale(), scale()), (2, 2), "one is used, which is to be half");
    let mut task = Task::clone(&world.task());
    task.observed.status = TaskStatus::Stopped;
    task.observed.stopped_at = Some(Timestamp(0));
    world.write(move |tx| tx.put(task));
    let going = world.store.read(|view| surplus(view, &facts, Timestamp(0)));
    assert!(matches!(&going[..], [(_, Surplus::Leaves(added))] if added.id != one.id), "what was added");
}

#[test]
fn what_its_provider_took_away_does_not_come_back_nor_more_than_a_group_may_have() {
    let world = World::new();
    let one = world.start(&scaled(&world, 2, 100)).remove(0);
    let added = ContainerInstance { id: "added".into(), origin: Origin::Added, ..(*one).clone() };
    let known = added.clone();
    world.write(move |tx| tx.put(known));
    let failed = world.apply(&added, Verb::Fail).unwrap();
    let another = ContainerInstance { id: "another".into(), ..added };
    world.write(move |tx| tx.put(another));
    let recover = |one: &ContainerInstance| world.apply(one, Verb::Recover).map(|it| it.status);
    let id = failed.ec2_instance_id.clone();
    assert_eq!(recover(&failed), Err(Refused::Full(id.clone(), "blue".into())));
    world.apply(&one, Verb::Fail).unwrap();
    let is_meant = |one: &ContainerInstance| world.store.read(|view| is_meant(view, one, Verb::Recover));
    assert!(is_meant(&failed));
    let ended = ContainerInstance { is_terminated: true, ..failed.clone() };
    assert_eq!((recover(&ended), is_meant(&ended)), (Err(Refused::Terminated(id.clone())), false));
    let lost = ContainerInstance { cluster: "gone".into(), ..failed.clone() };
    assert_eq!(recover(&lost), Err(Refused::Homeless(id.clone(), "cluster gone".into())));
    let unmade = ContainerInstance { managed_by: Some("none".into()), ..failed.clone() };
    assert_eq!(recover(&unmade), Err(Refused::Homeless(id, "capacity provider none".into())));
    assert_eq!(recover(&failed), Ok(ContainerInstanceStatus::Active));
}

#[test]
fn what_clients_made_of_declared_attributes_stays_until_the_declaration_changes() {
    let world = World::new();
    let with = |pairs: &[(&str, &str)]| {
        let attributes = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        with_fleet(&[MachineWish { attributes, ..wish("m5.large") }])
    };
    let seen = |all: &[Arc<ContainerInstance>]| {
        let custom = all[0].attributes.iter().filter(|one| !one.name.as_deref().unwrap().contains('.'));
        let mut all: Vec<_> =
            custom.map(|it| format!("{}={}", it.name.as_deref().unwrap(), it.value.as_deref().unwrap())).collect();
        all.sort();
        all.join(" ")
    };
    let start = |pairs: &[(&str, &str)]| seen(&world.start(&with(pairs)));
    let change = |name: &str, value: Option<&str>| {
        let mut one = ContainerInstance::clone(&world.instances()[0]);
        one.attributes.retain(|it| it.name.as_deref() != Some(name));
        one.attributes.extend(value.map(|value| Attribute {
            name: Some(name.to_owned()),
            value: Some(value.to_owned()),
            ..Attribute::default()
        }));
        world.write(move |tx| tx.put(one));
    };
    assert_eq!(start(&[("rack", "1"), ("stack", "prod")]), "rack=1 stack=prod");
    change("stack", Some("test"));
    change("rack", None);
    change("own", Some("x"));
    assert_eq!(start(&[("rack", "1"), ("stack", "prod")]), "own=x stack=test", "as clients left it");
    assert_eq!(start(&[("rack", "2"), ("stack", "blue")]), "own=x rack=2 stack=blue", "it is declared anew");
    assert_eq!(start(&[("rack", "2")]), "own=x rack=2", "it is declared no more");
    change("rack", Some("3"));
    assert_eq!(start(&[]), "own=x rack=3", "a client has made it its own");
    let version = world.instances()[0].version;
    start(&[]);
    assert_eq!(world.instances()[0].version, version, "nothing has changed");
}

#[test]
fn what_is_declared_of_a_group_holds_for_all_that_are_or_were_of_it() {
    let world = World::new();
    let one = world.start(&scaled(&world, 7, 100)).remove(0);
    let gone = ContainerInstance {
        id: "gone".into(),
        origin: Origin::Added,
        status: ContainerInstanceStatus::Inactive,
        ..(*one).clone()
    };
    world.write(move |tx| tx.put(gone));
    let all = world.start(&scaled(&world, 2, 100));
    assert_eq!(all.iter().map(|one| one.asg_max).collect::<Vec<_>>(), [Some(2); 2]);
    let versions: Vec<_> = all.iter().map(|one| one.version).collect();
    let again = world.start(&scaled(&world, 2, 100));
    assert_eq!(again.iter().map(|one| one.version).collect::<Vec<_>>(), versions, "nothing has changed");
}

#[test]
fn what_is_taken_away_drains_first_where_managed_draining_says_so() {
    let world = World::new();
    let one = world.start(&with_fleet(&[MachineWish { asg: Some("blue".into()), ..wish("m5.large") }])).remove(0);
    world.run_on(&one);
    let terminate = |force| world.apply(&world.instances()[0], Verb::Terminate { force });
    assert_eq!(terminate(false), Err(Refused::RunningTasks), "it is of no provider's group");
    let provide = |managed_draining| {
        let fresh = CapacityProvider::new(tenant(), "web", Timestamp(0));
        let provider = CapacityProvider { asg: "blue".into(), managed_draining, ..fresh };
        world.write(move |tx| tx.put(provider));
    };
    provide(Switch::Enabled);
    let draining = terminate(false).unwrap();
    assert_eq!((draining.status, draining.leaves_when_empty), (ContainerInstanceStatus::Draining, true));
    assert_eq!(check(&draining, Verb::Activate), Err(Refused::Leaving(draining.ec2_instance_id.clone())));
    assert!(world.store.read(|view| emptied(view).is_empty()), "its task is there");
    let mut task = Task::clone(&world.task());
    task.observed.status = TaskStatus::Stopped;
    world.write(move |tx| tx.put(task));
    assert_eq!(world.store.read(|view| emptied(view).len()), 1);
    world.run_on(&one);
    provide(Switch::Disabled);
    assert_eq!(terminate(false).unwrap().status, ContainerInstanceStatus::Inactive);
    assert!(matches!(world.task().desired, Desired::Lost(_)), "with its machine");
}

#[test]
fn only_tasks_on_fargate_spot_are_interrupted_and_once() {
    let world = World::new();
    let interrupt = |provider: &str, desired: Desired| {
        let mut task = any_task();
        task.placement.capacity_provider = Some(provider.to_owned());
        task.desired = desired;
        world.write(move |tx| interrupt_task(tx, &task))
    };
    assert_eq!(interrupt("FARGATE", Desired::Running), Err(Refused::NotSpot("1".into())));
    let interrupted = interrupt("FARGATE_SPOT", Desired::Running).unwrap();
    let Desired::Stopped(order) = &interrupted.desired else { panic!("{:?}", interrupted.desired) };
    assert_eq!((order.code, order.reason.as_str()), (StopCode::SpotInterruption, "Your Spot Task was interrupted."));
    assert_eq!(interrupt("FARGATE_SPOT", interrupted.desired.clone()), Err(Refused::Stopping("1".into())));
}

#[test]
fn a_failed_instance_loses_its_tasks_in_awss_words() {
    let world = World::new();
    let one = world.start(&with_fleet(&[wish("m5.large")])).remove(0);
    world.run_on(&one);
    world.apply(&one, Verb::Fail).unwrap();
    let Desired::Lost(order) = world.task().desired.clone() else { panic!("not lost") };
    assert_eq!(order.code, StopCode::TerminationNotice);
    assert_eq!(order.reason, format!("Host EC2 (instance {}) terminated.", one.ec2_instance_id));
}

#[test]
fn verbs_are_refused_in_states_that_they_are_not_for() {
    let facts = with_fleet(&[MachineWish { capacity: Capacity::Spot, ..wish("m5.large") }, wish("c5.large")]);
    let all = World::new().start(&facts);
    let spot = all.iter().find(|one| one.capacity == Capacity::Spot).unwrap();
    let on_demand = all.iter().find(|one| one.capacity == Capacity::OnDemand).unwrap();
    let interrupt = Verb::Interrupt { warning_millis: 10 };
    assert_eq!(check(spot, interrupt), Ok(()));
    assert!(matches!(check(on_demand, interrupt), Err(Refused::OnDemand(_))));
    assert!(matches!(check(spot, Verb::Recover), Err(Refused::Present(_))));
    let leaving = ContainerInstance { leaves_at: Some(Timestamp(5)), ..(**spot).clone() };
    assert!(matches!(check(&leaving, Verb::Activate), Err(Refused::Leaving(_))));
    let gone = ContainerInstance { status: ContainerInstanceStatus::Inactive, ..leaving };
    for verb in [Verb::Drain, Verb::Activate, Verb::Remove { force: true }, Verb::Fail, interrupt] {
        assert!(matches!(check(&gone, verb), Err(Refused::Gone(_))), "{verb:?}");
    }
    assert_eq!(next_departure(&[Arc::new(gone)]), None, "who is gone does not leave");
}

/// Every end against every wish that a task can have.
#[test]
fn an_order_to_a_task_only_moves_forward() {
    let instance = World::new().start(&with_fleet(&[wish("m5.large")])).remove(0);
    let order = StopOrder { code: StopCode::UserInitiated, reason: "bye".into(), at: Timestamp(1) };
    let ranks = |desired: &Desired| match desired {
        Desired::Running => 0,
        Desired::Stopped(_) => 1,
        Desired::Lost(_) => 2,
    };
    for desired in [Desired::Running, Desired::Stopped(order.clone()), Desired::Lost(order)] {
        for how in [End::Deregistered, End::SpotInterrupted, End::Failed, End::Retired] {
            let mut task = any_task();
            task.desired = desired.clone();
            let Some(after) = ordered(&task, &instance, how, Timestamp(9)) else { continue };
            assert!(ranks(&after.desired) > ranks(&desired), "{how:?} {desired:?}");
            if let Some(before) = desired.order() {
                assert_eq!(after.desired.order().map(|order| &order.reason), Some(&before.reason));
            }
        }
    }
}

#[test]
fn an_interrupted_spot_instance_drains_then_leaves_with_its_tasks() {
    let world = World::new();
    let facts = with_fleet(&[MachineWish { capacity: Capacity::Spot, ..wish("m5.large") }]);
    let one = world.start(&facts).remove(0);
    world.run_on(&one);
    let warned = world.apply(&one, Verb::Interrupt { warning_millis: 0 }).unwrap();
    assert_eq!(warned.status, ContainerInstanceStatus::Draining);
    assert_eq!(world.task().desired, Desired::Running);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = world.store.clone();
    runtime.block_on(async {
        let mut changed = store.watch::<ContainerInstance>();
        let leaving = async {
            while store.read(|view| view.scan::<ContainerInstance>(&Prefix::all()))[0].is_registered() {
                changed.changed().await.unwrap();
            }
        };
        tokio::select! { () = watch_departures(store.clone(), Clock::system()) => {}, () = leaving => {} }
    });
    let order = world.task().desired.order().cloned().unwrap();
    assert_eq!((order.code, order.reason.starts_with("Host EC2 (instance i-")), (StopCode::SpotInterruption, true));
}

#[test]
fn instances_are_named_by_ids_their_beginnings_or_their_zone() {
    let facts = with_fleet(&[wish("m5.large"), MachineWish { zone: Some("b".into()), ..wish("m5.large") }]);
    let all = World::new().start(&facts);
    let by = |names: &[&str], zone: Option<&str>| {
        let instances = names.iter().map(|&name| name.to_owned()).collect();
        select(&all, &Selection { instances, zone: zone.map(str::to_owned), ..Selection::default() }, |_| true)
    };
    let one = &all[0];
    for name in [one.arn().as_str(), &one.id, &one.id[..8], &one.ec2_instance_id, &one.ec2_instance_id[..12]] {
        assert_eq!(by(&[name], None).unwrap(), [Arc::clone(one)], "{name}");
    }
    assert_eq!(by(&[], Some("b")).unwrap(), by(&[], Some("us-east-1b")).unwrap());
    for (names, zone) in [(&["i-0"][..], None), (&["nope"], None), (&[], Some("c")), (&[], None), (&["x"], Some("a"))] {
        assert!(by(names, zone).is_err(), "{names:?} {zone:?}");
    }
}

#[test]
fn a_fleet_larger_than_the_host_is_said_a_smaller_one_is_not() {
    let world = World::new();
    assert_eq!(beyond(&host(), &world.start(&host())), None, "the host promises itself");
    let facts = with_fleet(&[MachineWish { count: Some(2), ..wish("m5.large") }]);
    let text = beyond(&facts, &world.start(&facts)).unwrap();
    assert!(text.contains("promises 4 vCPU and 15730 MiB, this host has 2 vCPU and 4096 MiB"), "{text}");
}
