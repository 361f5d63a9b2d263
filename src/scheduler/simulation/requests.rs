//! What clients ask: services made, updated, scaled, stopped half-way, deleted; hooks answered, task sets moved, tasks
//! protected, alarms set off. Each request is one transaction, as the API makes it.

use cove_base::ids::random_u64;
use cove_model::alarm::{Alarm, StateValue};
use cove_model::cluster::CapacityProviderStrategyItem;
use cove_model::service::{
    Alarms, Canary, CircuitBreaker, DeploymentConfiguration, DeploymentController, DeploymentStrategy, HookAction,
    HookStage, HookStatus, HookTarget, HookTimeout, LifecycleHook, Linear, SchedulingStrategy, Service,
    ServiceDeployment, ServiceDeploymentStatus as Status, ServiceRevision, ServiceStatus, TaskSet, TaskSetStatus,
};
use cove_model::task::{LaunchType, Task};
use cove_model::task_definition::NetworkMode;
use cove_model::task_template::{
    PlacementConstraint, PlacementConstraintType, PlacementStrategy, PlacementStrategyType, TaskTemplate,
};
use cove_store::{Prefix, Read, StoreError, Tx, keys};

use super::Checked;
use super::setting::{self, CLUSTER, FAMILIES, tenant};
use super::world::World;
use crate::{deploy, services};

/// The most that a service wants.
const COUNT_MAX: usize = 5;
const NAMES: [&str; 3] = ["one", "two", "three"];

impl World {
    pub(super) fn services(&self) -> Vec<std::sync::Arc<Service>> {
        self.memory.view().live::<Service>(&Prefix::all())
    }

    pub(super) fn write<T>(&mut self, work: impl FnOnce(&mut Tx<'_>) -> T) -> T {
        let done: Result<T, StoreError> = self.memory.write(self.now, |tx| Ok(work(tx)));
        done.unwrap()
    }

    /// Somebody asks something of some service.
    pub(super) fn somebody_asks(&mut self) -> Checked {
        let services = self.services();
        if services.is_empty() || self.dice.one_in(15) {
            self.create_service();
            return self.check_all();
        }
        if self.dice.one_in(6) {
            self.somebody_asks_of_daemons();
            return self.check_all();
        }
        let service = (*services[self.dice.roll(services.len())]).clone();
        let is_external = service.controller == DeploymentController::External;
        match self.dice.roll(16) {
            0..=3 if is_external => self.move_task_sets(service),
            0..=3 => self.update(service),
            4..=6 => self.scale(service),
            7 | 8 => self.end_deployment(&service),
            9 | 10 => self.answer_hook(&service),
            11 | 12 => self.protect(),
            13 => self.set_alarm(),
            14 if self.dice.one_in(2) => self.delete(service),
            _ => self.reconfigure(service),
        }
        self.check_all()
    }

    /// CreateService; under the name of one that is gone too.
    pub(super) fn create_service(&mut self) {
        let known = self.services();
        let Some(name) = NAMES.into_iter().find(|name| known.iter().all(|it| it.name != *name)) else { return };
        let scheduling = if self.dice.one_in(5) { SchedulingStrategy::Daemon } else { SchedulingStrategy::Replica };
        let is_external = scheduling == SchedulingStrategy::Replica && self.dice.one_in(6);
        let template = self.template(scheduling, name);
        let mut service = Service {
            name: name.into(),
            controller: if is_external { DeploymentController::External } else { DeploymentController::Ecs },
            scheduling,
            desired_count: self.count(&template),
            configuration: DeploymentConfiguration::default(),
            deployments: Vec::new(),
            completed_revision: None,
            created_at: self.now,
            ..deploy::tests::service()
        };
        if scheduling == SchedulingStrategy::Daemon {
            service.desired_count = 0;
        }
        service.configuration = self.configuration(scheduling, &template);
        service.constraints = self.constraints(scheduling, &template);
        service.strategies = self.strategies(scheduling, &template);
        let is_spread = service.strategies.first().is_none_or(|it| it.kind == Some(PlacementStrategyType::Spread));
        let names_zone = service.constraints.iter().any(|it| it.expression.is_some());
        service.rebalances_zones = scheduling == SchedulingStrategy::Replica
            && !is_external
            && is_spread
            && !names_zone
            && self.dice.one_in(2);
        forget_zones_without_room(&mut service);
        self.tell(|| format!("create {service:?} of {}", template.family));
        self.write(|tx| {
            if !is_external {
                begin(tx, &mut service, template);
            }
            tx.put(service);
        });
    }

    fn count(&mut self, template: &TaskTemplate) -> u32 {
        // There is one port 8080.
        if template.family == "fixed" { 1 } else { u32::try_from(self.dice.roll(COUNT_MAX + 1)).unwrap() }
    }

    fn template(&mut self, scheduling: SchedulingStrategy, name: &str) -> TaskTemplate {
        let families: &[usize] = match scheduling {
            // Two services that want the one port 8080 would wait for each other for ever.
            SchedulingStrategy::Replica if name == NAMES[0] => &[0, 1, 1, 2, 2, 3, 4, 5],
            SchedulingStrategy::Replica => &[0, 0, 1, 1, 3, 4, 5],
            SchedulingStrategy::Daemon => &[3, 4],
        };
        let mut template = setting::template(&FAMILIES[self.dice.pick(families)]);
        // Fargate has interfaces of tasks alone.
        if template.network_mode == NetworkMode::Awsvpc && self.dice.one_in(2) {
            self.move_to_fargate(&mut template);
        } else if scheduling == SchedulingStrategy::Replica && self.dice.one_in(6) {
            let of_group =
                CapacityProviderStrategyItem { capacity_provider: setting::PROVIDER.into(), weight: 1, base: 0 };
            template.placing.strategy.push(of_group);
        } else if scheduling == SchedulingStrategy::Replica && self.dice.one_in(4) {
            let managed =
                CapacityProviderStrategyItem { capacity_provider: setting::MANAGED.into(), weight: 1, base: 0 };
            template.placing.strategy.push(managed);
            template.placing.launch_type = LaunchType::ManagedInstances;
        }
        template
    }

    fn configuration(&mut self, scheduling: SchedulingStrategy, template: &TaskTemplate) -> DeploymentConfiguration {
        use DeploymentStrategy::{BlueGreen, Canary as OfCanary, Linear as OfLinear, Rolling};
        let is_daemon = scheduling == SchedulingStrategy::Daemon;
        let is_fixed = template.family == "fixed";
        let strategy = if is_daemon || is_fixed {
            Rolling
        } else {
            self.dice.pick(&[Rolling, Rolling, BlueGreen, OfLinear, OfCanary])
        };
        let (minimum, maximum) = match (is_daemon, is_fixed) {
            (true, _) => self.dice.pick(&[(0, 100), (50, 100), (50, 200)]),
            // Who wants what there is one of must let it go first.
            (false, true) => self.dice.pick(&[(0, 100), (0, 200)]),
            (false, false) => self.dice.pick(&[(50, 100), (100, 200), (0, 100), (50, 150), (100, 150), (66, 133)]),
        };
        let given = DeploymentConfiguration {
            strategy: Some(strategy),
            minimum_healthy_percent: Some(minimum),
            maximum_percent: Some(maximum),
            deployment_circuit_breaker: self
                .dice
                .one_in(2)
                .then(|| CircuitBreaker { enable: true, rollback: self.dice.one_in(2) }),
            alarms: self.dice.one_in(3).then(|| Alarms {
                alarm_names: vec![setting::ALARM.into()],
                enable: true,
                rollback: self.dice.one_in(2),
            }),
            bake_time_in_minutes: Some(self.dice.pick(&[0, 1, 3])),
            linear_configuration: Some(Linear {
                step_percent: 30.0,
                step_bake_time_in_minutes: self.dice.pick(&[0, 2]),
            }),
            canary_configuration: Some(Canary {
                canary_percent: 10.0,
                canary_bake_time_in_minutes: self.dice.pick(&[0, 2]),
            }),
            lifecycle_hooks: (strategy != Rolling).then(|| self.hooks()),
        };
        let configuration = DeploymentConfiguration::default().updated(given, scheduling);
        configuration.check(scheduling).unwrap();
        configuration
    }

    fn hooks(&mut self) -> Vec<LifecycleHook> {
        let stages = [
            HookStage::ReconcileService,
            HookStage::PreScaleUp,
            HookStage::PostScaleUp,
            HookStage::TestTrafficShift,
            HookStage::PreProductionTrafficShift,
            HookStage::PostProductionTrafficShift,
        ];
        let count = self.dice.roll(3);
        let action = |rolls_back: bool| if rolls_back { HookAction::Rollback } else { HookAction::Continue };
        (0..count)
            .map(|_| LifecycleHook {
                target_type: Some(HookTarget::Pause),
                lifecycle_stages: vec![self.dice.pick(&stages)],
                timeout_configuration: Some(HookTimeout {
                    timeout_in_minutes: Some(self.dice.pick(&[1, 5, 30])),
                    action: Some(action(self.dice.one_in(2))),
                }),
                ..LifecycleHook::default()
            })
            .collect()
    }

    fn constraints(&mut self, scheduling: SchedulingStrategy, template: &TaskTemplate) -> Vec<PlacementConstraint> {
        let in_two_zones = PlacementConstraint {
            kind: Some(PlacementConstraintType::MemberOf),
            expression: Some("attribute:ecs.availability-zone in [us-east-1a, us-east-1b]".into()),
        };
        let distinct = PlacementConstraint { kind: Some(PlacementConstraintType::DistinctInstance), expression: None };
        match (scheduling, self.dice.roll(6)) {
            _ if template.placing.launch_type == LaunchType::Fargate => Vec::new(),
            (_, 0) if template.placing.strategy.is_empty() => vec![in_two_zones],
            (SchedulingStrategy::Replica, 1) => vec![distinct],
            _ => Vec::new(),
        }
    }

    fn strategies(&mut self, scheduling: SchedulingStrategy, template: &TaskTemplate) -> Vec<PlacementStrategy> {
        use PlacementStrategyType::{Binpack, Random, Spread};
        let one = |kind, field: Option<&str>| PlacementStrategy { kind: Some(kind), field: field.map(Into::into) };
        match (scheduling, self.dice.roll(4)) {
            _ if template.placing.launch_type == LaunchType::Fargate => Vec::new(),
            (SchedulingStrategy::Daemon, _) | (_, 0) => Vec::new(),
            (_, 1) => vec![one(Binpack, Some("memory"))],
            (_, 2) => vec![one(Random, None)],
            _ => vec![one(Spread, Some("attribute:ecs.availability-zone")), one(Spread, Some("instanceId"))],
        }
    }

    /// UpdateService with another task definition.
    pub(super) fn update(&mut self, mut service: Service) {
        if service.status != ServiceStatus::Active {
            return;
        }
        let mut template = self.template(service.scheduling, &service.name);
        // What the port is there once for stays with it.
        let current = service.primary().map(|it| it.revision.clone()).unwrap_or_default();
        let key = keys::service_revision(&tenant(), CLUSTER, &service.name, &current);
        if let Some(revision) = self.memory.view().get::<ServiceRevision>(&key)
            && (revision.template.family == "fixed" || template.family == "fixed" || self.dice.one_in(3))
        {
            template = revision.template.clone();
        }
        // The API refuses a service's own rules there.
        let has_rules = !service.constraints.is_empty() || !service.strategies.is_empty();
        if template.placing.launch_type == LaunchType::Fargate && has_rules {
            return;
        }
        self.tell(|| format!("update {} to {}", service.name, template.family));
        self.write(|tx| {
            begin(tx, &mut service, template);
            tx.put(service);
        });
    }

    /// UpdateService with another count.
    fn scale(&mut self, mut service: Service) {
        if service.status != ServiceStatus::Active || service.scheduling == SchedulingStrategy::Daemon {
            return;
        }
        let is_one = service.configuration.minimum(1) == 0;
        service.desired_count = if is_one { 1 } else { u32::try_from(self.dice.roll(COUNT_MAX + 1)).unwrap() };
        self.tell(|| format!("scale {} to {}", service.name, service.desired_count));
        self.write(|tx| tx.put(service));
    }

    /// UpdateService with other percentages.
    fn reconfigure(&mut self, mut service: Service) {
        if service.status != ServiceStatus::Active || service.configuration.minimum(1) == 0 {
            return;
        }
        let (minimum, maximum) = self.dice.pick(&[(50, 100), (100, 200), (50, 150)]);
        service.configuration.minimum_healthy_percent = Some(minimum);
        service.configuration.maximum_percent = Some(maximum);
        forget_zones_without_room(&mut service);
        self.write(|tx| tx.put(service));
    }

    /// StopServiceDeployment.
    fn end_deployment(&mut self, service: &Service) {
        let status = self.dice.pick(&[Status::StopRequested, Status::RollbackRequested]);
        self.change_rollout(service, |rollout| {
            if matches!(rollout.status, Status::Pending | Status::InProgress) {
                rollout.status = status;
            }
        });
    }

    /// ContinueServiceDeployment.
    pub(super) fn answer_hook(&mut self, service: &Service) {
        let status = if self.is_quiet || !self.dice.one_in(3) { HookStatus::Succeeded } else { HookStatus::Failed };
        // In the end nobody is slower than a hook's timeout.
        let at_once = if self.is_quiet { usize::MAX } else { 1 };
        self.change_rollout(service, |rollout| {
            let waiting = rollout.hooks.iter_mut().filter(|hook| hook.status == HookStatus::AwaitingAction);
            waiting.take(at_once).for_each(|hook| hook.status = status);
        });
    }

    fn change_rollout(&mut self, service: &Service, change: impl FnOnce(&mut ServiceDeployment)) {
        let open = self.write(|tx| tx.live::<ServiceDeployment>(&inside(service)));
        let Some(open) = open.into_iter().next() else { return };
        let mut rollout = (*open).clone();
        change(&mut rollout);
        if rollout != *open {
            self.tell(|| format!("rollout of {} {:?} {:?}", service.name, rollout.status, rollout.hooks));
            self.write(|tx| tx.put(rollout));
        }
    }

    /// DeleteService with force.
    fn delete(&mut self, mut service: Service) {
        if service.status != ServiceStatus::Active {
            return;
        }
        self.tell(|| format!("delete {}", service.name));
        (service.status, service.desired_count) = (ServiceStatus::Draining, 0);
        self.write(|tx| {
            services::end_open(tx, &service, "deleted");
            tx.put(service);
        });
    }

    /// UpdateTaskProtection.
    fn protect(&mut self) {
        let tasks = self.memory.view().live::<Task>(&Prefix::all());
        if tasks.is_empty() {
            return;
        }
        let mut task = (*tasks[self.dice.roll(tasks.len())]).clone();
        if task.is_stopping() {
            return;
        }
        task.protected_until = Some(self.now.plus_millis(5 * 60_000));
        task.version += 1;
        self.tell(|| format!("protect {}", &task.id[..6]));
        self.write(|tx| tx.put(task));
    }

    fn set_alarm(&mut self) {
        let now = self.now;
        let known = self.memory.view().get::<Alarm>(&keys::alarm(&tenant(), setting::ALARM));
        let fires = known.is_some_and(|alarm| alarm.state.value == StateValue::Alarm);
        let value = if fires { StateValue::Ok } else { StateValue::Alarm };
        self.tell(|| format!("alarm {value:?}"));
        self.write(|tx| tx.put(setting::alarm(value, now)));
    }

    /// CreateTaskSet, UpdateTaskSet, UpdateServicePrimaryTaskSet, DeleteTaskSet.
    pub(super) fn move_task_sets(&mut self, service: Service) {
        if service.status != ServiceStatus::Active {
            return;
        }
        let sets = self.memory.view().scan::<TaskSet>(&inside(&service));
        let open: Vec<_> = sets.iter().filter(|set| set.status != TaskSetStatus::Draining).collect();
        if open.len() < 2 && sets.len() < 5 && (open.is_empty() || self.dice.one_in(2)) {
            let template = self.template(SchedulingStrategy::Replica, &service.name);
            let percent = self.dice.pick(&[50.0, 100.0]);
            let has_rules = !service.constraints.is_empty() || !service.strategies.is_empty();
            let is_refused = template.placing.launch_type == LaunchType::Fargate && has_rules;
            if template.family != "fixed" && !is_refused {
                self.write(|tx| create_task_set(tx, &service, template, percent));
            }
            return;
        }
        if open.is_empty() {
            return;
        }
        let mut set = (**open[self.dice.roll(open.len())]).clone();
        match self.dice.roll(3) {
            0 => set.scale_percent = self.dice.pick(&[0.0, 40.0, 100.0]),
            1 => set.status = TaskSetStatus::Primary,
            _ => set.status = TaskSetStatus::Draining,
        }
        self.tell(|| format!("task set {set:?}"));
        self.write(|tx| tx.put(set));
    }
}

fn inside(service: &Service) -> Prefix {
    Prefix::parent(&service.tenant, &keys::service_parent(&service.cluster, &service.name))
}

fn create_task_set(tx: &mut Tx<'_>, service: &Service, template: TaskTemplate, scale_percent: f64) {
    let revision = revision(tx, service, template);
    tx.put(TaskSet {
        tenant: tenant(),
        cluster: CLUSTER.into(),
        service: service.name.clone(),
        id: format!("ecs-svc/{}", deploy::digits(random_u64())),
        external_id: None,
        status: TaskSetStatus::Active,
        revision: revision.id.clone(),
        scale_percent,
        is_steady: false,
        stability_at: tx.now(),
        tags: Vec::new(),
        client_token: None,
        created_at: tx.now(),
        updated_at: tx.now(),
    });
    tx.put(revision);
}

pub(crate) fn revision(tx: &Tx<'_>, service: &Service, template: TaskTemplate) -> ServiceRevision {
    ServiceRevision::new(service, &deploy::digits(random_u64()), template, tx.now())
}

/// The API refuses to rebalance where there is no room for one task more.
fn forget_zones_without_room(service: &mut Service) {
    service.rebalances_zones &= service.configuration.maximum_percent.unwrap_or(200) > 100;
}

/// As the API begins a deployment.
pub(crate) fn begin(tx: &mut Tx<'_>, service: &mut Service, template: TaskTemplate) {
    let revision = revision(tx, service, template);
    services::begin(tx, service, revision);
}
