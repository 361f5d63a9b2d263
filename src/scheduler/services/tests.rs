//! What is carried out of decisions, on records in memory.

use cove_model::capacity_provider::{FARGATE, FARGATE_SPOT, capacity_provider_arn};
use cove_model::cluster::CapacityProviderStrategyItem;
use cove_model::event::Event;
use cove_model::task::{Health, LaunchType};
use cove_store::{Memory, Tx, keys};
use serde_json::json;

use super::*;
use crate::deploy::{On, Say, Start};
use crate::place;
use crate::simulation::{requests, setting};

const NOW: Timestamp = Timestamp(1_000_000);

/// A service of two that wants one task on FARGATE and all others on Spot.
struct World {
    memory: Memory,
    service: Service,
}

impl World {
    fn new() -> Self {
        let service = Service { deployments: Vec::new(), completed_revision: None, ..crate::deploy::tests::service() };
        let mut world = Self { memory: Memory::default(), service };
        world.write(|tx| {
            tx.put(setting::definition(&setting::FAMILIES[1]));
            setting::network(tx);
        });
        world
    }

    fn write(&mut self, work: impl FnOnce(&mut Tx<'_>)) {
        let done: Result<(), StoreError> = self.memory.write(NOW, |tx| {
            work(tx);
            Ok(())
        });
        done.unwrap();
    }

    /// UpdateService that forces a new deployment.
    fn deploy(&mut self) {
        let item =
            |name: &str, weight, base| CapacityProviderStrategyItem { capacity_provider: name.into(), weight, base };
        let mut template = setting::template(&setting::FAMILIES[1]);
        template.placing.launch_type = LaunchType::Fargate;
        template.placing.strategy = vec![item(FARGATE, 0, 1), item(FARGATE_SPOT, 1, 0)];
        let key = self.service.key();
        let mut service =
            self.memory.view().get::<Service>(&key).map_or_else(|| self.service.clone(), |it| (*it).clone());
        self.write(|tx| {
            requests::begin(tx, &mut service, template);
            tx.put(service);
        });
    }

    fn reconcile(&mut self) {
        let key = keys::service(&self.service.tenant, &self.service.cluster, &self.service.name);
        let host = place::tests::host();
        self.write(|tx| apply::reconcile(tx, &host, &Timing::default(), &key).unwrap());
    }

    /// The providers of the newest deployment's tasks that are well or on their way.
    fn providers(&self) -> Vec<String> {
        let service = self.memory.view().get::<Service>(&self.service.key()).unwrap();
        let newest = &service.deployments[0].id;
        let tasks = self.memory.view().live::<Task>(&Prefix::all());
        let own = tasks.iter().filter(|it| it.started_by.as_ref() == Some(newest) && it.health() != Health::Unhealthy);
        let mut providers: Vec<String> = own.map(|it| it.placement.capacity_provider.clone().unwrap()).collect();
        providers.sort();
        providers
    }

    /// All tasks run, with that health.
    fn all_run(&mut self, health: impl Fn(&Task) -> Health) {
        self.change_tasks(|task| {
            task.observed.status = cove_model::task::TaskStatus::Running;
            task.observed.started_at = Some(NOW);
            task.containers[0].seen.health = Some(health(task));
        });
        self.reconcile();
    }

    fn change_tasks(&mut self, change: impl Fn(&mut Task)) {
        let tasks = self.memory.view().live::<Task>(&Prefix::all());
        self.write(|tx| {
            for known in tasks {
                let mut task = (*known).clone();
                change(&mut task);
                tx.put(task);
            }
        });
    }
}

#[test]
fn each_deployment_fills_its_own_base_whatever_the_one_before_has() {
    let mut world = World::new();
    for _ in 0..2 {
        world.deploy();
        world.reconcile();
        assert_eq!(world.providers(), [FARGATE, FARGATE_SPOT]);
    }
}

#[test]
fn what_comes_for_a_task_that_is_ill_comes_to_its_provider() {
    let mut world = World::new();
    world.deploy();
    world.reconcile();
    let is_base = |task: &Task| task.placement.capacity_provider.as_deref() == Some(FARGATE);
    world.all_run(|task| if is_base(task) { Health::Unhealthy } else { Health::Healthy });
    assert_eq!(world.providers(), [FARGATE, FARGATE_SPOT]);
}

#[test]
fn what_would_make_the_zones_even_does_not_wait_for_a_group_that_is_full() {
    let mut world = World::new();
    let item = CapacityProviderStrategyItem { capacity_provider: setting::PROVIDER.into(), weight: 1, base: 0 };
    let mut template = setting::template(&setting::FAMILIES[3]);
    template.placing.strategy = vec![item];
    let mut full = (*place::tests::instance("i1", setting::ZONES[1], 0)).clone();
    (full.asg, full.asg_max) = (Some(setting::GROUP.into()), Some(1));
    let mut service = world.service.clone();
    world.write(|tx| {
        tx.put(setting::definition(&setting::FAMILIES[3]));
        tx.put(setting::provider_of_the_group());
        tx.put(full);
        requests::begin(tx, &mut service, template);
        let first = service.deployments[0].clone();
        let on = |on| Start { deployment: first.id.clone(), revision: first.revision.clone(), on };
        let host = place::tests::host();
        let zone = setting::ZONES[1];
        let said = apply::begin(tx, &host, &mut service, on(On::Zone(zone.into(), 1)));
        let text = format!(
            "(service web) is unable to place a task in {zone} because no container instance met all of its requirements."
        );
        assert_eq!(said, [Say::Trouble(text)]);
        assert_eq!(tx.live::<Task>(&Prefix::all()).len(), 0);
        apply::begin(tx, &host, &mut service, on(On::Anywhere(1)));
        assert!(tx.live::<Task>(&Prefix::all())[0].is_waiting(), "what is wanted does");
    });
}

/// The details of the service's actions so far, without the times.
fn actions(world: &World) -> Vec<serde_json::Value> {
    let events = world.memory.view().scan::<Event>(&Prefix::all());
    let actions = events.iter().filter(|event| event.detail_type == "ECS Service Action");
    let details = actions.map(|event| {
        let mut detail: serde_json::Value = serde_json::from_str(&event.detail).unwrap();
        let detail = detail.as_object_mut().unwrap();
        ["createdAt", "clusterArn", "eventType"].iter().for_each(|name| drop(detail.remove(*name)));
        detail.clone().into()
    });
    details.collect()
}

#[test]
fn events_say_which_tasks_a_service_stopped_and_what_it_found_no_room_for() {
    let mut world = World::new();
    let update = |world: &mut World, desired_count| {
        let service = world.memory.view().get::<Service>(&world.service.key()).unwrap();
        world.write(|tx| tx.put(Service { desired_count, ..(*service).clone() }));
        world.reconcile();
    };
    world.deploy();
    world.reconcile();
    update(&mut world, 1);
    let stopping = world.memory.view().live::<Task>(&Prefix::all()).iter().find(|it| it.is_stopping()).unwrap().arn();
    assert_eq!(actions(&world), [json!({"eventName": "TASKS_STOPPED", "taskArns": [stopping]})]);
    update(&mut world, 1000);
    let tenant = &world.service.tenant;
    let providers = [FARGATE, FARGATE_SPOT].map(|name| capacity_provider_arn(tenant, name));
    let refused = json!({
        "eventName": "SERVICE_TASK_PLACEMENT_FAILURE", "reason": "RESOURCE:FARGATE", "capacityProviderArns": providers,
    });
    assert_eq!(actions(&world)[1..], [refused]);
}

#[test]
fn a_service_that_is_steady_says_so_for_its_capacity_providers_too() {
    let mut world = World::new();
    world.deploy();
    world.reconcile();
    world.all_run(|_| Health::Healthy);
    let names: Vec<_> = actions(&world).iter().map(|it| it["eventName"].clone()).collect();
    assert_eq!(names, ["SERVICE_STEADY_STATE", "CAPACITY_PROVIDER_STEADY_STATE"]);
}
