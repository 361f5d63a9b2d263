//! The decisions that are measured, by what there is when they are made.

use cove_model::container_instance::{ContainerInstance, Origin};
use cove_model::daemon::{DaemonConfiguration, DaemonDeployment, DaemonDeploymentStatus, daemon_started_by};
use cove_model::service::{
    Canary, DeploymentConfiguration, DeploymentStrategy, Linear, RolloutState, ServiceDeployment,
};
use cove_model::task::Task;
use cove_model::task_template::{
    PlacementConstraint, PlacementConstraintType, PlacementStrategy, PlacementStrategyType, TaskTemplate,
};
use cove_store::{Prefix, Read};

use super::super::setting::{self, FAMILIES, ZONES};
use super::site::{API, Site, Size, WEB, machine};
use crate::fleet;

/// One kind of decision.
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) per: Per,
    /// What comes before it.
    pub(super) prepare: fn(&mut Site),
    pub(super) act: fn(&mut Site),
    /// What became of it in numbers, and what should have.
    pub(super) seen: fn(&Site) -> usize,
    pub(super) wanted: fn(Size) -> usize,
}

/// What a time is divided by.
#[derive(Clone, Copy)]
pub(super) enum Per {
    /// It is one decision.
    Decision,
    /// It decides for each of many tasks where it goes, or that it goes.
    Task,
}

impl Per {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Decision => "decision",
            Self::Task => "task",
        }
    }

    pub(super) const fn decisions(self, tasks: usize) -> usize {
        match self {
            Self::Decision => 1,
            Self::Task => tasks,
        }
    }
}

/// The services of a site that has many.
const SERVICES_MAX: usize = 100;
/// Tasks that are started at once by RunTask's users.
const CROWD: usize = 100;
/// Instances without a task, in a group that may shrink.
const EMPTY: usize = 10;
/// The only service of a site that has one.
const ONE: &str = "one";
const MINUTE_MILLIS: i64 = 60_000;

type Furnish = fn(Size) -> Site;

pub(super) const KINDS: &[(Furnish, &[Kind])] = &[
    (
        tasks_of_nobody,
        &[
            launches("run a task", |site| site.launch(&web(), 1), |_| 1),
            launches("run a task, spread", |site| site.launch(&spread(), 1), |_| 1),
            launches("run a task, binpack", |site| site.launch(&binpack(), 1), |_| 1),
            launches("run a task, memberOf", |site| site.launch(&member(), 1), |_| 1),
            launches("run 100 tasks, spread", |site| site.launch(&spread(), CROWD), |_| CROWD),
            Kind {
                name: "note the end of a task",
                per: Per::Decision,
                prepare: |site| site.choose(None),
                act: Site::ends,
                seen: |site| site.live().len() + 1,
                wanted: |size| size.tasks,
            },
            Kind {
                name: "look whether a group shrinks",
                per: Per::Decision,
                prepare: |site| {
                    let empty = site.size.instances..site.size.instances + EMPTY;
                    let added = |at| ContainerInstance { origin: Origin::Added, ..machine(at) };
                    site.write(|tx| empty.for_each(|at| tx.put(added(at))));
                },
                act: |site| site.found = fleet::surplus(site.memory.view(), &site.host, site.now).len(),
                seen: |site| site.found,
                wanted: |_| EMPTY,
            },
        ],
    ),
    (tasks_with_interfaces, &[launches("run a task, awsvpc", |site| site.launch(&api(), 1), |_| 1)]),
    (
        many_services,
        &[
            Kind {
                name: "look at 100 services",
                per: Per::Decision,
                prepare: nothing,
                act: Site::look,
                seen: |site| site.work.len(),
                wanted: |_| 0,
            },
            Kind {
                name: "replace a task of one of 100",
                per: Per::Decision,
                prepare: |site| site.one_ends("s0"),
                act: |site| site.reconcile("s0"),
                seen: Site::coming,
                wanted: |_| 1,
            },
            Kind {
                name: "replace a task of each of 100",
                per: Per::Task,
                prepare: |site| {
                    (0..services(site.size)).for_each(|at| site.one_ends(&format!("s{at}")));
                },
                act: |site| {
                    site.look();
                    std::mem::take(&mut site.work).iter().for_each(|key| site.reconcile_service(key));
                },
                seen: Site::coming,
                wanted: services,
            },
        ],
    ),
    (
        one_service,
        &[
            Kind {
                name: "look at one service",
                per: Per::Decision,
                prepare: nothing,
                act: Site::look,
                seen: |site| site.work.len(),
                wanted: |_| 0,
            },
            Kind {
                name: "replace a task of the only one",
                per: Per::Decision,
                prepare: |site| site.one_ends(ONE),
                act: reconcile,
                seen: Site::coming,
                wanted: |_| 1,
            },
            Kind {
                name: "scale in by half",
                per: Per::Task,
                prepare: |site| site.update(ONE, |service, _| service.desired_count /= 2),
                act: reconcile,
                seen: Site::leaving,
                wanted: |size| size.tasks / 2,
            },
            starts("rolling: start the new", |site| site.deploy(ONE, DeploymentConfiguration::default())),
            stops("rolling: stop the old", |site| until_up(site, DeploymentConfiguration::default())),
            Kind {
                name: "rolling: complete",
                per: Per::Decision,
                prepare: |site| {
                    until_up(site, DeploymentConfiguration::default());
                    site.reconcile(ONE);
                    site.all_leave();
                },
                act: reconcile,
                seen: |site| usize::from(site.service(ONE).deployments[0].rollout == RolloutState::Completed),
                wanted: |_| 1,
            },
            Kind {
                name: "rolling: make room first",
                per: Per::Task,
                prepare: |site| {
                    let (minimum_healthy_percent, maximum_percent) = (Some(50), Some(100));
                    let given =
                        DeploymentConfiguration { minimum_healthy_percent, maximum_percent, ..Default::default() };
                    site.deploy(ONE, given);
                },
                act: reconcile,
                seen: Site::leaving,
                wanted: |size| size.tasks / 2,
            },
            starts("canary: scale up", |site| site.deploy(ONE, canary())),
            shifts("canary: shift", |site| until_up(site, canary()), |_| 5),
            stops("canary: clean up", |site| until_shifted(site, canary())),
            shifts("linear: shift", |site| until_up(site, linear()), |_| 10),
            stops("linear: clean up", |site| until_shifted(site, linear())),
        ],
    ),
    (
        uneven_service,
        &[Kind {
            name: "rebalance zones",
            per: Per::Task,
            prepare: nothing,
            act: reconcile,
            seen: Site::coming,
            wanted: |size| size.tasks / 3,
        }],
    ),
    (
        daemon_service,
        &[
            Kind {
                name: "daemon service: start on all",
                per: Per::Task,
                prepare: nothing,
                act: reconcile,
                seen: Site::coming,
                wanted: |size| size.instances,
            },
            Kind {
                name: "daemon service: look",
                per: Per::Decision,
                prepare: daemon_is_up,
                act: Site::look,
                // It has come to be steady.
                seen: |site| site.work.len(),
                wanted: |_| 0,
            },
            Kind {
                name: "daemon service: stop the old",
                per: Per::Decision,
                prepare: |site| {
                    daemon_is_up(site);
                    let minimum_healthy_percent = Some(50);
                    site.deploy(ONE, DeploymentConfiguration { minimum_healthy_percent, ..Default::default() });
                },
                act: reconcile,
                seen: Site::leaving,
                wanted: |size| size.instances / 2,
            },
        ],
    ),
    (
        daemon_to_start,
        &[Kind {
            name: "daemon: start on all",
            per: Per::Task,
            prepare: nothing,
            act: Site::reconcile_daemon,
            seen: Site::coming,
            wanted: |size| size.instances,
        }],
    ),
    (
        daemon_that_runs,
        &[
            Kind {
                name: "daemon: look",
                per: Per::Decision,
                prepare: |site| {
                    site.reconcile_daemon();
                    assert_eq!(deployment(site).status, DaemonDeploymentStatus::Successful);
                },
                act: Site::look_at_daemons,
                seen: |site| site.work.len(),
                wanted: |_| 0,
            },
            Kind {
                name: "daemon: replace a batch",
                per: Per::Decision,
                prepare: Site::deploy_daemon,
                act: Site::reconcile_daemon,
                seen: |site| {
                    let old = daemon_started_by("1");
                    let leaves = |task: &Task| task.desired.is_stopped() && task.started_by.as_ref() == Some(&old);
                    site.live().iter().filter(|task| leaves(task)).count()
                },
                wanted: |size| DaemonConfiguration::default().filled().batch(size.instances),
            },
        ],
    ),
];

const fn launches(name: &'static str, act: fn(&mut Site), wanted: fn(Size) -> usize) -> Kind {
    Kind { name, per: Per::Decision, prepare: nothing, act, seen: Site::coming, wanted }
}

/// A stage that starts as many tasks as there are.
const fn starts(name: &'static str, prepare: fn(&mut Site)) -> Kind {
    Kind { name, per: Per::Task, prepare, act: reconcile, seen: Site::coming, wanted: |size| size.tasks }
}

/// A stage that stops as many tasks as there were.
const fn stops(name: &'static str, prepare: fn(&mut Site)) -> Kind {
    Kind { name, per: Per::Task, prepare, act: reconcile, seen: Site::leaving, wanted: |size| size.tasks }
}

/// A stage that moves so much of the traffic, in percent.
const fn shifts(name: &'static str, prepare: fn(&mut Site), wanted: fn(Size) -> usize) -> Kind {
    let seen = |site: &Site| {
        let open = site.memory.view().live::<ServiceDeployment>(&Prefix::all());
        // A whole number of percent.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let percent = open[0].production_percent as usize;
        percent
    };
    Kind { name, per: Per::Decision, prepare, act: reconcile, seen, wanted }
}

const fn nothing(_: &mut Site) {}

fn reconcile(site: &mut Site) {
    site.reconcile(ONE);
}

// -- what there is ------------------------------------------------------------------------------------------------

fn tasks_of_nobody(size: Size) -> Site {
    let mut site = Site::new(size);
    site.fill(&web(), size.tasks, &ZONES);
    site
}

fn tasks_with_interfaces(size: Size) -> Site {
    let mut site = Site::new(size);
    site.fill(&api(), size.tasks, &ZONES);
    site
}

fn services(size: Size) -> usize {
    SERVICES_MAX.min(size.tasks / 10)
}

fn many_services(size: Size) -> Site {
    let mut site = Site::new(size);
    let each = size.tasks / services(size);
    (0..services(size)).for_each(|at| site.serve(&format!("s{at}"), each, &ZONES, |it| it.rebalances_zones = true));
    site
}

fn one_service(size: Size) -> Site {
    let mut site = Site::new(size);
    site.serve(ONE, size.tasks, &ZONES, |_| {});
    site
}

/// Of three zones one has no task.
fn uneven_service(size: Size) -> Site {
    let mut site = Site::new(size);
    site.serve(ONE, size.tasks, &ZONES[..2], |it| it.rebalances_zones = true);
    site
}

/// All tasks but the one on each instance that is a daemon's.
fn without_daemon(size: Size) -> Site {
    let mut site = Site::new(size);
    site.fill(&web(), size.tasks - size.instances, &ZONES);
    site
}

/// A service that wants a task on each instance.
fn daemon_service(size: Size) -> Site {
    let mut site = without_daemon(size);
    site.serve_daemon(ONE);
    site
}

fn daemon_is_up(site: &mut Site) {
    site.reconcile(ONE);
    site.all_come_up();
    site.reconcile(ONE);
}

fn daemon_to_start(size: Size) -> Site {
    let mut site = without_daemon(size);
    site.watch(false);
    site
}

fn daemon_that_runs(size: Size) -> Site {
    let mut site = without_daemon(size);
    site.watch(true);
    site
}

fn deployment(site: &Site) -> DaemonDeployment {
    (*site.memory.view().scan::<DaemonDeployment>(&Prefix::all())[0]).clone()
}

/// A deployment whose new tasks have come up.
fn until_up(site: &mut Site, configuration: DeploymentConfiguration) {
    site.deploy(ONE, configuration);
    site.reconcile(ONE);
    site.all_come_up();
}

/// A deployment that has all of the traffic, and was given its time to bake.
fn until_shifted(site: &mut Site, configuration: DeploymentConfiguration) {
    until_up(site, configuration);
    site.reconcile(ONE);
    site.now = site.now.plus_millis(24 * 60 * MINUTE_MILLIS);
}

// -- what is asked for --------------------------------------------------------------------------------------------

fn web() -> TaskTemplate {
    setting::template(&FAMILIES[WEB])
}

fn api() -> TaskTemplate {
    setting::template(&FAMILIES[API])
}

fn strategy(kind: PlacementStrategyType, field: &str) -> PlacementStrategy {
    PlacementStrategy { kind: Some(kind), field: Some(field.into()) }
}

fn spread() -> TaskTemplate {
    let over = |field| strategy(PlacementStrategyType::Spread, field);
    TaskTemplate { strategies: vec![over("attribute:ecs.availability-zone"), over("instanceId")], ..web() }
}

fn binpack() -> TaskTemplate {
    TaskTemplate { strategies: vec![strategy(PlacementStrategyType::Binpack, "memory")], ..web() }
}

fn member() -> TaskTemplate {
    let expression = "attribute:ecs.availability-zone in [us-east-1a, us-east-1b] and runningTasksCount < 100000";
    let kind = Some(PlacementConstraintType::MemberOf);
    TaskTemplate { constraints: vec![PlacementConstraint { kind, expression: Some(expression.into()) }], ..web() }
}

fn canary() -> DeploymentConfiguration {
    let canary = Canary { canary_percent: 5.0, canary_bake_time_in_minutes: 10 };
    DeploymentConfiguration {
        strategy: Some(DeploymentStrategy::Canary),
        canary_configuration: Some(canary),
        ..DeploymentConfiguration::default()
    }
}

fn linear() -> DeploymentConfiguration {
    let linear = Linear { step_percent: 10.0, step_bake_time_in_minutes: 6 };
    DeploymentConfiguration {
        strategy: Some(DeploymentStrategy::Linear),
        linear_configuration: Some(linear),
        ..DeploymentConfiguration::default()
    }
}
