//! A fleet of some size with tasks on it, and what happens to them between two decisions.

use std::sync::Arc;

use cove_base::Timestamp;
use cove_base::ids::random_hex;
use cove_model::container_instance::ContainerInstance;
use cove_model::daemon::{Daemon, DaemonConfiguration, DaemonDeployment, DaemonDeploymentStatus, DaemonRevision};
use cove_model::network::{Cidr, SecurityGroup, Subnet};
use cove_model::service::{
    Departed, DeploymentConfiguration, RolloutState, SchedulingStrategy, Service, ServiceDeployment,
    ServiceDeploymentStatus,
};
use cove_model::task::{Desired, Keeper, StopCode, StopOrder, Task, TaskNetwork, TaskStatus};
use cove_model::task_definition::Attribute;
use cove_model::task_template::TaskTemplate;
use cove_store::{Key, Memory, Prefix, Read, Tx, keys};

use super::super::requests;
use super::super::setting::{self, CLUSTER, FAMILIES, PROVIDER, ZONES, tenant};
use crate::deploy::{self, Timing};
use crate::host::HostFacts;
use crate::launch::{Shares, launch};
use crate::place::{self, Target};
use crate::{daemons, services};

/// Bridge mode with a port that the host chooses.
pub(super) const WEB: usize = 0;
/// awsvpc.
pub(super) const API: usize = 1;
/// No network at all.
pub(super) const WATCH: usize = 3;
/// The only daemon.
pub(super) const DAEMON: &str = "watch";

/// Tasks began so long ago that they count as healthy.
const AGE_MILLIS: i64 = 600_000;
/// As many as an instance of ECS has.
const CAPABILITIES: usize = 45;
/// Where addresses of tasks begin in their subnets.
const FIRST_ADDRESS: u32 = 16;

#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) instances: usize,
    pub(super) tasks: usize,
}

pub(super) struct Site {
    pub(super) memory: Memory,
    pub(super) host: HostFacts,
    pub(super) timing: Timing,
    pub(super) now: Timestamp,
    pub(super) size: Size,
    /// What the last look at everything found.
    pub(super) work: Vec<Key>,
    /// The task that something is about to happen to.
    pub(super) task: Option<Arc<Task>>,
    pub(super) found: usize,
}

impl Site {
    /// Instances in three zones, with room for everything.
    pub(super) fn new(size: Size) -> Self {
        let host = HostFacts { ephemeral_ports: 32_768..=60_999, tasks_max: 1_000_000, ..place::tests::host() };
        let (timing, now) = (Timing::default(), Timestamp(100 * AGE_MILLIS));
        let mut site =
            Self { memory: Memory::default(), host, timing, now, size, work: Vec::new(), task: None, found: 0 };
        site.write(|tx| {
            for family in &FAMILIES {
                let mut definition = setting::definition(family);
                definition.requires_attributes = vec![capability(0), capability(CAPABILITIES - 1)];
                tx.put(definition);
            }
            for (at, zone) in ZONES.iter().enumerate() {
                tx.put(Subnet {
                    tenant: tenant(),
                    id: format!("subnet-{zone}"),
                    vpc_id: "vpc-1".into(),
                    cidr: Cidr::parse(&format!("10.{at}.0.0/16")).unwrap(),
                    availability_zone: (*zone).into(),
                    is_default: true,
                });
            }
            let (id, vpc_id, name) = ("sg-1".into(), "vpc-1".into(), "default".into());
            tx.put(SecurityGroup { tenant: tenant(), id, vpc_id, name });
            tx.put(setting::provider_of_the_group());
            (0..size.instances).for_each(|at| tx.put(machine(at)));
        });
        site
    }

    pub(super) fn copy(&self) -> Self {
        Self {
            memory: self.memory.copy(),
            host: self.host.clone(),
            timing: self.timing.clone(),
            work: self.work.clone(),
            task: self.task.clone(),
            ..*self
        }
    }

    pub(super) fn write<T>(&mut self, work: impl FnOnce(&mut Tx<'_>) -> T) -> T {
        let done: Result<T, ()> = self.memory.write(self.now, |tx| Ok(work(tx)));
        done.unwrap()
    }

    // -- what is there at the beginning ---------------------------------------------------------------------------

    /// Tasks that have run for a while, in turn on instances of those zones.
    pub(super) fn fill(&mut self, template: &TaskTemplate, count: usize, zones: &[&str]) {
        let host = self.host.clone();
        if count == 0 {
            return;
        }
        let machines: Vec<_> = self.memory.view().scan::<ContainerInstance>(&Prefix::all());
        let of_zone = |zone: &&str| machines.iter().filter(|one| one.availability_zone == **zone).collect::<Vec<_>>();
        let machines: Vec<Vec<_>> = zones.iter().map(of_zone).collect();
        let started_at = self.now.plus_millis(-AGE_MILLIS);
        let already = u32::try_from(self.live().len()).unwrap();
        self.write(|tx| {
            let mut launched = launch(tx, &host, template, Target::Count(1), &Shares::default(), 1).unwrap();
            let model = launched.tasks.pop().unwrap();
            for (number, at) in (already..).zip(0..count) {
                let here = &machines[at % machines.len()];
                let machine = here[at / machines.len() % here.len()];
                let mut task = Task { created_at: started_at, ..model.clone() };
                if at > 0 {
                    task.id = random_hex(16);
                }
                task.placement.container_instance = Some(machine.id.clone());
                task.placement.availability_zone.clone_from(&machine.availability_zone);
                give_network(&mut task, number);
                come_up(&mut task, started_at);
                tx.put(task);
            }
        });
    }

    /// A service at rest that has its tasks.
    pub(super) fn serve(&mut self, name: &str, count: usize, zones: &[&str], change: impl FnOnce(&mut Service)) {
        let mut service = Service {
            name: name.into(),
            desired_count: u32::try_from(count).unwrap(),
            deployments: Vec::new(),
            completed_revision: None,
            is_steady: true,
            ..deploy::tests::service()
        };
        change(&mut service);
        let mut template = setting::template(&FAMILIES[family(&service)]);
        self.write(|tx| {
            requests::begin(tx, &mut service, template.clone());
            let begun = &mut service.deployments[0];
            begun.rollout = RolloutState::Completed;
            service.completed_revision = Some(begun.revision.clone());
            let open = tx.live::<ServiceDeployment>(&Prefix::all()).pop().unwrap();
            let status = ServiceDeploymentStatus::Successful;
            tx.put(ServiceDeployment { status, stage: None, ..(*open).clone() });
            service.is_steady = true;
            tx.put(service.clone());
        });
        template.group = service.group();
        template.started_by = Some(service.deployments[0].id.clone());
        template.keeper = Some(Keeper::Service(name.into()));
        self.fill(&template, count, zones);
    }

    /// A DAEMON service without its tasks.
    pub(super) fn serve_daemon(&mut self, name: &str) {
        self.serve(name, 0, &ZONES, |service| {
            service.scheduling = SchedulingStrategy::Daemon;
            service.configuration = service.configuration.updated(Default::default(), service.scheduling);
            service.configuration.minimum_healthy_percent = Some(0);
            service.configuration.maximum_percent = Some(100);
        });
    }

    /// A daemon on all instances that runs a revision, or is to.
    pub(super) fn watch(&mut self, runs: bool) {
        let (configuration, now) = (DaemonConfiguration::default().filled(), self.now);
        let daemon = Daemon {
            revision: "1".into(),
            deployment: "1".into(),
            ..Daemon::new(tenant(), CLUSTER, DAEMON, configuration, now)
        };
        let template = setting::template(&FAMILIES[WATCH]);
        let revisions =
            ["1", "2"].map(|id| DaemonRevision::new(&daemon, id, template.clone(), vec![PROVIDER.into()], now));
        let deployment = DaemonDeployment {
            status: DaemonDeploymentStatus::InProgress,
            started_at: Some(now),
            ..DaemonDeployment::new(&daemon, "1", Vec::new(), now)
        };
        let mut template = revisions[0].template.clone();
        template.started_by = Some(revisions[0].started_by());
        template.keeper = Some(Keeper::Daemon(DAEMON.into()));
        self.write(|tx| {
            tx.put(daemon);
            tx.put(deployment);
            revisions.into_iter().for_each(|one| tx.put(one));
        });
        if runs {
            self.fill(&template, self.size.instances, &ZONES);
        }
    }

    // -- what is decided ------------------------------------------------------------------------------------------

    pub(super) fn launch(&mut self, template: &TaskTemplate, count: usize) {
        let host = self.host.clone();
        self.write(|tx| {
            let launched = launch(tx, &host, template, Target::Count(count), &Shares::default(), 7).unwrap();
            assert_eq!(launched.refusals, []);
        });
    }

    pub(super) fn look(&mut self) {
        self.work = services::look(self.memory.view(), &self.timing, self.now).work.into_iter().collect();
    }

    pub(super) fn reconcile(&mut self, name: &str) {
        self.reconcile_service(&keys::service(&tenant(), CLUSTER, name));
    }

    pub(super) fn reconcile_service(&mut self, key: &Key) {
        let (host, timing) = (self.host.clone(), self.timing.clone());
        self.write(|tx| services::apply::reconcile(tx, &host, &timing, key).unwrap());
    }

    pub(super) fn reconcile_daemon(&mut self) {
        let (host, timing) = (self.host.clone(), self.timing.clone());
        let key = keys::daemon(&tenant(), CLUSTER, DAEMON);
        self.write(|tx| daemons::apply::reconcile(tx, &host, &timing, &key).unwrap());
    }

    pub(super) fn look_at_daemons(&mut self) {
        self.work = daemons::look(self.memory.view(), &self.timing, self.now).0.into_iter().collect();
    }

    // -- what happens meanwhile -----------------------------------------------------------------------------------

    /// UpdateService.
    pub(super) fn update(&mut self, name: &str, change: impl FnOnce(&mut Service, &mut Tx<'_>)) {
        let mut service = self.service(name);
        self.write(|tx| {
            change(&mut service, tx);
            tx.put(service);
        });
    }

    /// UpdateService with another revision.
    pub(super) fn deploy(&mut self, name: &str, configuration: DeploymentConfiguration) {
        let scheduling = self.service(name).scheduling;
        self.update(name, |service, tx| {
            service.configuration = service.configuration.updated(configuration, scheduling);
            requests::begin(tx, service, setting::template(&FAMILIES[family(service)]));
        });
    }

    /// UpdateDaemon.
    pub(super) fn deploy_daemon(&mut self) {
        self.write(|tx| {
            let daemon = tx.get::<Daemon>(&keys::daemon(&tenant(), CLUSTER, DAEMON)).unwrap();
            tx.put(Daemon { revision: "2".into(), completed_revision: Some("1".into()), ..(*daemon).clone() });
        });
    }

    /// Everything that was started is up, and healthy.
    pub(super) fn all_come_up(&mut self) {
        let started_at = self.now.plus_millis(-AGE_MILLIS);
        self.change_tasks(|task| {
            let comes = task.desired == Desired::Running && task.observed.status < TaskStatus::Running;
            if comes {
                come_up(task, started_at);
            }
            comes
        });
    }

    /// Everything that was asked to stop has stopped.
    pub(super) fn all_leave(&mut self) {
        let now = self.now;
        self.change_tasks(|task| {
            let leaves = task.desired.is_stopped();
            if leaves {
                end(task, StopCode::ServiceSchedulerInitiated, now);
            }
            leaves
        });
    }

    /// It is about one task of the service, or of none.
    pub(super) fn choose(&mut self, service: Option<&str>) {
        self.task = self.live().into_iter().find(|task| task.service() == service);
    }

    /// That task comes to its end by itself.
    pub(super) fn ends(&mut self) {
        let task = self.task.take().unwrap();
        let now = self.now;
        self.write(|tx| {
            let mut task = (*task).clone();
            end(&mut task, StopCode::EssentialContainerExited, now);
            task.version += 1;
            Departed::of(&task).into_iter().for_each(|ended| tx.put(ended));
            tx.put(task);
        });
    }

    pub(super) fn one_ends(&mut self, service: &str) {
        self.choose(Some(service));
        self.ends();
    }

    fn change_tasks(&mut self, change: impl Fn(&mut Task) -> bool) {
        let tasks = self.live();
        self.write(|tx| {
            for task in tasks {
                let mut task = (*task).clone();
                if change(&mut task) {
                    if !task.is_live() {
                        Departed::of(&task).into_iter().for_each(|ended| tx.put(ended));
                    }
                    tx.put(task);
                }
            }
        });
    }

    // -- what is seen ---------------------------------------------------------------------------------------------

    pub(super) fn live(&self) -> Vec<Arc<Task>> {
        self.memory.view().live::<Task>(&Prefix::all())
    }

    pub(super) fn service(&self, name: &str) -> Service {
        (*self.memory.view().get::<Service>(&keys::service(&tenant(), CLUSTER, name)).unwrap()).clone()
    }

    /// Looks once at what a decision wants to know of each live task.
    pub(super) fn read_all(&self) -> i64 {
        let about = |task: &Task| {
            let ports = task.containers.iter().flat_map(|it| &it.ports).map(|port| i64::from(port.host_port));
            let text = |text: &str| i64::try_from(text.len()).unwrap() + i64::from(text.as_bytes()[0]);
            let place = task.placement.container_instance.as_deref().map_or(0, text);
            let zone = text(&task.placement.availability_zone);
            ports.sum::<i64>() + place + zone + text(&task.id) + task.group.len() as i64
        };
        self.live().iter().map(|task| about(task)).sum()
    }

    /// Tasks that were started and are not up yet.
    pub(super) fn coming(&self) -> usize {
        self.live().iter().filter(|task| task.observed.status < TaskStatus::Running).count()
    }

    /// Tasks that were asked to stop and are still there.
    pub(super) fn leaving(&self) -> usize {
        self.live().iter().filter(|task| task.desired.is_stopped()).count()
    }
}

/// What the service runs.
fn family(service: &Service) -> usize {
    if service.scheduling == SchedulingStrategy::Daemon { WATCH } else { WEB }
}

pub(super) fn machine(at: usize) -> ContainerInstance {
    let zone = ZONES[at % ZONES.len()];
    let mut one = Arc::unwrap_or_clone(place::tests::instance(&format!("{at:032x}"), zone, 100_000_000));
    one.registered.cpu = 100_000_000;
    one.attributes.extend((0..CAPABILITIES).map(capability));
    // Nobody adds to this group, or takes away from it.
    one.asg = Some(setting::GROUP.into());
    one
}

fn capability(number: usize) -> Attribute {
    let name = Some(format!("com.amazonaws.ecs.capability.docker-remote-api.1.{number}"));
    Attribute { name, ..Attribute::default() }
}

fn give_network(task: &mut Task, number: u32) {
    // In no order, as they are given out.
    let scattered = |among: u32| number * 7919 % among;
    let offset = FIRST_ADDRESS + scattered(60_000);
    match &mut task.network {
        TaskNetwork::None | TaskNetwork::Host => {}
        TaskNetwork::Bridge { address } => *address = place::BRIDGE_NETWORK.nth(offset),
        TaskNetwork::Awsvpc(interface) => {
            let zone = &task.placement.availability_zone;
            let at = ZONES.iter().position(|one| one == zone).unwrap();
            interface.subnet_id = format!("subnet-{zone}");
            interface.address = Cidr::parse(&format!("10.{at}.0.0/16")).unwrap().nth(offset);
            return;
        }
    }
    for binding in task.containers.iter_mut().flat_map(|container| &mut container.ports) {
        binding.host_port = 32_768 + u16::try_from(scattered(28_232)).unwrap();
    }
}

fn come_up(task: &mut Task, started_at: Timestamp) {
    task.observed.status = TaskStatus::Running;
    task.observed.started_at = Some(started_at);
    for container in &mut task.containers {
        container.seen.image_digest = Some("sha256:1".into());
    }
}

fn end(task: &mut Task, code: StopCode, now: Timestamp) {
    if task.desired == Desired::Running {
        task.desired = Desired::Stopped(StopOrder { code, reason: String::new(), at: now });
    }
    task.observed.status = TaskStatus::Stopped;
    task.observed.stop_code = Some(code);
    task.observed.stopped_at = Some(now);
}
