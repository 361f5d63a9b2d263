use std::collections::BTreeSet;
use std::sync::Arc;

use cove_model::arn::Tenant;
use cove_model::fixture::departed;
use cove_model::service::{
    BreakerCount, CircuitBreaker, DeploymentConfiguration, DeploymentController, DeploymentStrategy, HookAction,
    HookStage, HookState, HookStatus, HookTarget, HookTimeout, LifecycleHook, LifecycleStage, PropagateTags,
    ServiceDeploymentStatus,
};
use cove_model::task::Task;
use proptest::prelude::*;

use super::*;
use crate::place::tests::any_task;
use crate::simulation::setting;

const NOW: Timestamp = Timestamp(1_000_000);
const OLD: &str = "ecs-svc/1";
const NEW: &str = "ecs-svc/2";

/// A service of two tasks at rest.
pub(crate) fn service() -> Service {
    state(2, 100, 200, vec![deployment(OLD, "r1", RolloutState::Completed)]).service
}

fn deployment(id: &str, revision: &str, rollout: RolloutState) -> Deployment {
    Deployment {
        id: id.into(),
        revision: revision.into(),
        service_deployment: format!("of-{revision}"),
        failed_tasks: 0,
        rollout,
        rollout_reason: String::new(),
        created_at: NOW,
        updated_at: NOW,
    }
}

fn rollout(revision: &str) -> ServiceDeployment {
    ServiceDeployment {
        tenant: Tenant::new("000000000000", "us-east-1"),
        cluster: "default".into(),
        service: "web".into(),
        id: format!("of-{revision}"),
        source_revisions: Vec::new(),
        target_revision: revision.into(),
        configuration: DeploymentConfiguration::default(),
        status: ServiceDeploymentStatus::InProgress,
        status_reason: None,
        stage: None,
        stage_since: Some(NOW),
        shift_since: None,
        production_percent: 0.0,
        hooks: Vec::new(),
        rollback: None,
        triggered_alarms: Vec::new(),
        failed_at: None,
        baking_since: None,
        created_at: NOW,
        started_at: Some(NOW),
        finished_at: None,
        stopped_at: None,
        updated_at: NOW,
    }
}

fn state(desired: u32, minimum: i32, maximum: i32, deployments: Vec<Deployment>) -> State {
    let configuration = DeploymentConfiguration {
        minimum_healthy_percent: Some(minimum),
        maximum_percent: Some(maximum),
        ..DeploymentConfiguration::default()
    };
    let rollouts = deployments.first().map(|it| rollout(&it.revision)).into_iter().collect();
    let service = Service {
        tenant: Tenant::new("000000000000", "us-east-1"),
        cluster: "default".into(),
        name: "web".into(),
        status: ServiceStatus::Active,
        controller: DeploymentController::Ecs,
        scheduling: SchedulingStrategy::Replica,
        desired_count: desired,
        configuration,
        rebalances_zones: false,
        rebalancing: None,
        health_check_grace_secs: None,
        constraints: Vec::new(),
        strategies: Vec::new(),
        propagates: PropagateTags::None,
        managed_tags: false,
        enable_execute_command: false,
        tags: Vec::new(),
        created_at: NOW,
        created_by: String::new(),
        deployments,
        pacing_of: Default::default(),
        trouble: None,
        completed_revision: Some("r1".into()),
        is_steady: false,
        next_event: 0,
        client_token: None,
        gone_at: None,
        express: None,
    };
    State {
        service,
        rollouts,
        task_sets: Vec::new(),
        tasks: Vec::new(),
        departed: Vec::new(),
        instances: Vec::new(),
        zones: Vec::new(),
        base: None,
        alarms: Vec::new(),
        alarms_need_millis: 0,
        timing: Timing::default(),
        now: NOW,
        seed: 7,
    }
}

fn task(id: &str, deployment: &str, condition: Condition) -> TaskView {
    let mut task = Task { id: id.into(), started_by: Some(deployment.into()), ..any_task() };
    task.placement.availability_zone = "a".into();
    task.placement.container_instance = Some("i".into());
    TaskView {
        task: Arc::new(task),
        deployment: deployment.into(),
        is_waiting: false,
        is_wanted: true,
        is_running_or_pending: true,
        condition,
        is_on_draining: false,
        protected_until: None,
        created_at: NOW,
        started_at: Some(NOW),
    }
}

fn called(id: &str, view: TaskView) -> TaskView {
    let task = Task { id: id.into(), ..Task::clone(&view.task) };
    TaskView { task: Arc::new(task), ..view }
}

/// The same task elsewhere.
fn at(zone: &str, instance: &str, view: TaskView) -> TaskView {
    let mut task = Task::clone(&view.task);
    task.placement.availability_zone = zone.into();
    task.placement.container_instance = Some(instance.into());
    TaskView { task: Arc::new(task), ..view }
}

fn starting(id: &str, deployment: &str) -> TaskView {
    task(id, deployment, Condition::Starting { settles_at: None })
}

fn healthy(id: &str, deployment: &str) -> TaskView {
    task(id, deployment, Condition::Healthy)
}

fn updating(desired: u32, minimum: i32, maximum: i32) -> State {
    let deployments =
        vec![deployment(NEW, "r2", RolloutState::InProgress), deployment(OLD, "r1", RolloutState::Completed)];
    state(desired, minimum, maximum, deployments)
}

fn starts(decision: &Decision) -> u32 {
    let number = |start: &Start| match &start.on {
        On::Anywhere(number) | On::Zone(_, number) => *number,
        On::Instances(ids) => u32::try_from(ids.len()).unwrap(),
    };
    decision.start.iter().map(number).sum()
}

fn stops(decision: &Decision) -> Vec<&str> {
    decision.stop.iter().map(|stop| stop.task_id.as_str()).collect()
}

fn failed(id: &str, deployment: &str) -> Arc<Departed> {
    Arc::new(departed(id, deployment, NOW))
}

#[test]
fn what_is_missing_is_started_at_once() {
    let mut state = state(3, 100, 200, vec![deployment(OLD, "r1", RolloutState::Completed)]);
    state.tasks = vec![healthy("a", OLD)];
    let got = decide(&state);
    assert_eq!((starts(&got), stops(&got).len()), (2, 0));
}

#[test]
fn an_update_starts_new_tasks_first_and_lets_old_ones_go_one_for_one() {
    let mut state = updating(2, 100, 200);
    state.tasks = vec![healthy("a", OLD), healthy("b", OLD)];
    let got = decide(&state);
    assert_eq!((starts(&got), stops(&got).len()), (2, 0));
    state.tasks.extend([healthy("c", NEW), starting("d", NEW)]);
    let got = decide(&state);
    assert_eq!((starts(&got), stops(&got).len()), (0, 1), "one is replaced");
}

#[test]
fn without_room_old_tasks_make_room_as_far_as_the_minimum_allows() {
    let mut state = updating(4, 50, 100);
    state.tasks = ["a", "b", "c", "d"].map(|id| healthy(id, OLD)).to_vec();
    let got = decide(&state);
    assert_eq!((starts(&got), stops(&got).len()), (0, 2));
    for task in &mut state.tasks[..2] {
        task.is_wanted = false;
    }
    assert_eq!(starts(&decide(&state)), 0, "they still are RUNNING");
    state.tasks.drain(..2);
    let got = decide(&state);
    assert_eq!((starts(&got), stops(&got).len()), (2, 0));
}

#[test]
fn a_failing_task_is_replaced_first_where_there_is_room() {
    let mut state = state(1, 100, 200, vec![deployment(OLD, "r1", RolloutState::Completed)]);
    state.tasks = vec![task("a", OLD, Condition::Unhealthy)];
    let got = decide(&state);
    assert_eq!((starts(&got), stops(&got).len()), (1, 0));
    state.tasks.push(healthy("b", OLD));
    let got = decide(&state);
    assert_eq!((starts(&got), stops(&got)), (0, vec!["a"]));
    assert_eq!(got.stop[0].reason, "Task failed container health checks");
}

#[test]
fn a_rolling_update_goes_on_until_its_alarms_had_time_to_notice_something() {
    let mut state = state(1, 100, 200, vec![deployment(NEW, "r2", RolloutState::InProgress)]);
    state.alarms_need_millis = 60_000;
    state.tasks = vec![healthy("a", NEW)];
    let after = |state: &mut State, got: &Decision, millis: i64| {
        (state.service, state.rollouts) = (got.service.clone(), got.rollouts.clone());
        state.now = NOW.plus_millis(millis);
        decide(state)
    };
    let rollout = |got: &Decision| got.service.deployments[0].rollout;
    let got = decide(&state);
    assert_eq!((rollout(&got), got.wake_at), (RolloutState::InProgress, Some(NOW.plus_millis(60_000))));
    assert!(got.service.is_steady, "which services-stable and events tell");
    // A task that is replaced meanwhile begins the time anew.
    state.tasks[0] = task("a", NEW, Condition::Unhealthy);
    let got = after(&mut state, &got, 30_000);
    state.tasks[0] = healthy("b", NEW);
    let got = after(&mut state, &got, 40_000);
    let got = after(&mut state, &got, 99_999);
    assert_eq!(rollout(&got), RolloutState::InProgress);
    assert_eq!(rollout(&after(&mut state, &got, 100_000)), RolloutState::Completed);
}

#[test]
fn a_rolling_update_bakes_as_long_as_somebody_wants() {
    let mut state = state(1, 100, 200, vec![deployment(NEW, "r2", RolloutState::InProgress)]);
    state.rollouts[0].configuration.bake_time_in_minutes = Some(2);
    state.tasks = vec![healthy("a", NEW)];
    let got = decide(&state);
    let until = NOW.plus_millis(120_000);
    assert_eq!((got.service.deployments[0].rollout, got.wake_at), (RolloutState::InProgress, Some(until)));
    (state.service, state.rollouts, state.now) = (got.service, got.rollouts, until);
    assert_eq!(decide(&state).service.deployments[0].rollout, RolloutState::Completed);
}

#[test]
fn scaling_in_takes_from_the_fullest_zone_and_leaves_protected_tasks() {
    let mut state = state(1, 100, 200, vec![deployment(OLD, "r1", RolloutState::Completed)]);
    let in_zone = |id: &str, zone: &str| at(zone, "i", healthy(id, OLD));
    state.tasks = vec![in_zone("a", "a"), in_zone("b", "b"), in_zone("c", "b")];
    state.tasks[1].protected_until = Some(NOW.plus_millis(1000));
    let got = decide(&state);
    assert_eq!(stops(&got), ["c", "a"]);
    assert_eq!(got.wake_at, Some(NOW.plus_millis(1000)));
}

/// Tasks in zones by letter, of a service at rest that rebalances them.
fn uneven(zones: &str) -> State {
    let desired = u32::try_from(zones.len()).unwrap();
    let mut state = state(desired, 100, 200, vec![deployment(OLD, "r1", RolloutState::Completed)]);
    state.service.rebalances_zones = true;
    state.service.is_steady = true;
    state.zones = ["a", "b", "c"].map(String::from).to_vec();
    let in_zone = |(number, zone): (usize, char)| at(&zone.to_string(), "i", healthy(&format!("t{number}"), OLD));
    state.tasks = zones.chars().enumerate().map(in_zone).collect();
    state
}

#[test]
fn tasks_that_wait_for_an_instance_get_the_room_of_old_ones_as_far_as_the_minimum_allows() {
    let unplaced = |view: TaskView| {
        let mut task = Task::clone(&view.task);
        task.unplaced = Some(Box::new(setting::template(&setting::FAMILIES[0])));
        TaskView { is_waiting: task.is_waiting(), task: Arc::new(task), ..view }
    };
    for (minimum, leaving, wanted) in [(0, false, 2), (50, false, 1), (100, false, 0), (0, true, 1)] {
        let mut state = updating(2, minimum, 200);
        state.tasks = vec![healthy("a", OLD), healthy("b", OLD)];
        state.tasks.extend([starting("c", NEW), starting("d", NEW)].map(unplaced));
        state.tasks[0].is_wanted = !leaving;
        let got = decide(&state);
        assert_eq!((stops(&got).len(), starts(&got)), (wanted, 0), "{minimum} % {leaving}");
    }
}

fn said(decision: &Decision) -> Vec<String> {
    let text = |say: &Say| match say {
        Say::News(text) | Say::Trouble(text) => text.clone(),
    };
    decision.say.iter().map(text).collect()
}

#[test]
fn an_uneven_service_gets_tasks_in_the_emptiest_zones_before_others_go() {
    let mut state = uneven("aaab");
    let got = decide(&state);
    let on: Vec<&On> = got.start.iter().map(|start| &start.on).collect();
    assert_eq!((on, got.stop.len()), (vec![&On::Zone("c".into(), 1)], 0));
    let text = "(service web) is not AZ balanced with 3 tasks in a, 1 tasks in b, and 0 tasks in c. AZ Rebalancing in progress.";
    assert_eq!(said(&got), [text]);
    state.service = got.service;
    state.tasks.push(at("c", "i", starting("new", OLD)));
    let waiting = decide(&state);
    assert_eq!((starts(&waiting), waiting.stop.len()), (0, 0), "the new one is not healthy yet");
    state.service = waiting.service;
    state.tasks[4].condition = Condition::Healthy;
    let got = decide(&state);
    assert_eq!(got.stop.len(), 1);
    assert_eq!(got.stop[0].rebalances.as_deref(), Some("a"));
    state.tasks.retain(|task| task.id() != got.stop[0].task_id);
    let done = decide(&State { service: got.service, ..state });
    let text = "(service web) is AZ balanced with 2 tasks in a, 1 tasks in b, and 1 tasks in c.";
    assert!(said(&done).contains(&text.to_owned()));
    assert_eq!((starts(&done), stops(&done).len(), done.service.rebalancing), (0, 0, None));
}

#[test]
fn nothing_is_moved_for_protected_tasks_nor_beyond_the_maximum() {
    let mut state = uneven("aaaaaa");
    state.service.configuration.maximum_percent = Some(120);
    assert_eq!(starts(&decide(&state)), 1, "seven are the most");
    for task in &mut state.tasks {
        task.protected_until = Some(NOW.plus_millis(1000));
    }
    let got = decide(&state);
    assert_eq!((starts(&got), said(&got).len(), got.wake_at), (0, 0, Some(NOW.plus_millis(1000))));
    assert_eq!(starts(&decide(&uneven("aab"))), 1, "two zones differ by two");
    assert_eq!(starts(&decide(&uneven("abb"))), 1);
    assert_eq!(starts(&decide(&uneven("abc"))), 0);
    assert_eq!(starts(&decide(&uneven("aabc"))), 0);
}

#[test]
fn a_deployment_or_another_count_ends_the_rebalancing() {
    let mut state = uneven("aaab");
    state.service = decide(&state).service;
    state.tasks.push(at("c", "i", starting("new", OLD)));
    state.service.desired_count = 3;
    let got = decide(&state);
    assert_eq!((got.service.rebalancing.clone(), got.stop.len()), (None, 2), "as in any scaling in");
    state.service.desired_count = 4;
    state.service.rebalances_zones = false;
    assert_eq!(stops(&decide(&state)), ["new"]);
}

#[test]
fn scaling_in_keeps_the_minimum_when_protected_tasks_are_not_up_yet() {
    let mut state = state(2, 50, 200, vec![deployment(OLD, "r1", RolloutState::Completed)]);
    let protected = |id: &str| TaskView { protected_until: Some(NOW.plus_millis(1000)), ..starting(id, OLD) };
    state.tasks = vec![protected("a"), protected("b"), healthy("c", OLD), healthy("d", OLD)];
    assert_eq!(stops(&decide(&state)).len(), 1);
}

#[test]
fn the_circuit_breaker_trips_after_three_failures_and_goes_back() {
    let mut state = updating(2, 100, 200);
    state.service.configuration.deployment_circuit_breaker = Some(CircuitBreaker { enable: true, rollback: true });
    state.tasks = vec![healthy("a", OLD), healthy("b", OLD)];
    state.departed = vec![failed("x", NEW), failed("y", NEW)];
    let got = decide(&state);
    assert_eq!(got.service.deployments[0].rollout, RolloutState::InProgress);
    state.departed.push(failed("z", NEW));
    let got = decide(&state);
    assert_eq!((got.service.deployments[0].id.as_str(), starts(&got)), (OLD, 0));
    let statuses = |got: &Decision| got.rollouts[0].status;
    assert_eq!(statuses(&got), ServiceDeploymentStatus::RollbackSuccessful, "the old tasks are all there");
    state.tasks[0] = starting("a", OLD);
    assert_eq!(statuses(&decide(&state)), ServiceDeploymentStatus::RollbackInProgress);
    state.service.completed_revision = None;
    assert_eq!(statuses(&decide(&state)), ServiceDeploymentStatus::RollbackFailed, "there is nothing to go back to");
}

#[test]
fn tasks_that_keep_failing_are_started_ever_more_slowly() {
    let mut state = state(1, 0, 100, vec![deployment(OLD, "r1", RolloutState::InProgress)]);
    state.departed = ["a", "b", "c", "d"].map(|id| failed(id, OLD)).to_vec();
    let got = decide(&state);
    assert_eq!((starts(&got), got.wake_at), (0, Some(NOW.plus_millis(1000))));
    assert!(matches!(&got.say[..], [Say::Trouble(text)] if text.contains("unable to consistently start tasks")));
    let later = State { now: NOW.plus_millis(1000), service: got.service, departed: Vec::new(), ..state };
    assert_eq!(starts(&decide(&later)), 1);
}

#[test]
fn the_base_of_a_strategy_stays_when_tasks_are_too_many() {
    let on = |id: &str, provider: &str| {
        let view = healthy(id, OLD);
        let mut task = Task::clone(&view.task);
        task.placement.capacity_provider = Some(provider.into());
        // The zone of the base is the fullest.
        task.placement.availability_zone = if provider == "FARGATE" || id == "d" { "a" } else { "b" }.into();
        TaskView { task: Arc::new(task), ..view }
    };
    let mut state = state(2, 0, 200, vec![deployment(OLD, "r1", RolloutState::Completed)]);
    state.tasks = vec![on("a", "FARGATE"), on("b", "FARGATE"), on("c", "FARGATE_SPOT"), on("d", "FARGATE_SPOT")];
    state.base = Some(Base { provider: "FARGATE".into(), tasks: 2 });
    let stopped = |state: &State| decide(state).stop.iter().map(|it| it.task_id.clone()).collect::<BTreeSet<_>>();
    assert_eq!(stopped(&state), BTreeSet::from(["c".to_owned(), "d".to_owned()]));
    state.base = Some(Base { provider: "FARGATE".into(), tasks: 1 });
    assert_eq!(stopped(&state).iter().filter(|id| *id == "a" || *id == "b").count(), 1, "what is beyond it may go");
    state.service.desired_count = 0;
    assert_eq!(stopped(&state).len(), 4, "no more is kept than is wanted");
}

#[test]
fn a_task_that_was_killed_in_its_prime_is_no_failure() {
    let mut state = state(1, 100, 200, vec![deployment(OLD, "r1", RolloutState::Completed)]);
    let lived = Departed { started_at: Some(NOW.plus_millis(-50_000)), ..Departed::clone(&failed("a", OLD)) };
    let stopped = Departed { was_ordered: true, ..Departed::clone(&failed("b", OLD)) };
    state.departed = vec![Arc::new(lived), Arc::new(stopped)];
    let got = decide(&state);
    assert_eq!((got.service.failures(), starts(&got)), (0, 1));
}

#[test]
fn a_task_that_died_before_its_checks_were_passed_is_a_failure_however_long_it_lived() {
    let mut state = state(1, 100, 200, vec![deployment(OLD, "r1", RolloutState::Completed)]);
    let lived = |was_healthy| Departed {
        started_at: Some(NOW.plus_millis(-50_000)),
        was_healthy: Some(was_healthy),
        ..Departed::clone(&failed("a", OLD))
    };
    let failures = |state: &mut State, ended: Departed| {
        state.departed = vec![Arc::new(ended)];
        decide(state).service.failures()
    };
    assert_eq!(failures(&mut state, lived(false)), 1);
    assert_eq!(failures(&mut state, lived(true)), 0);
    let brief = Departed { started_at: Some(NOW), ..lived(true) };
    assert_eq!(failures(&mut state, brief), 0, "it had come to count as healthy");
}

#[test]
fn what_went_back_has_no_traffic_and_waits_for_no_hook() {
    let mut state = updating(1, 100, 200);
    state.service.deployments[0].failed_tasks = 4;
    let rollout = &mut state.rollouts[0];
    rollout.status = ServiceDeploymentStatus::RollbackRequested;
    (rollout.stage, rollout.production_percent) = (Some(LifecycleStage::BakeTime), 100.0);
    rollout.hooks = vec![HookState {
        id: "h".into(),
        stage: HookStage::PostScaleUp,
        status: HookStatus::AwaitingAction,
        since: NOW,
        expires_at: None,
        on_timeout: HookAction::Rollback,
    }];
    state.tasks = vec![healthy("a", OLD)];
    let got = decide(&state);
    let rollout = &got.rollouts[0];
    assert_eq!((rollout.hooks[0].status, rollout.production_percent), (HookStatus::Failed, 0.0));
    assert_eq!(rollout.failed_at, Some(BreakerCount { failures: 4, threshold: 3 }));
    assert_eq!(
        (rollout.status, got.service.deployments[0].id.as_str()),
        (ServiceDeploymentStatus::RollbackSuccessful, OLD)
    );
}

#[test]
fn a_revision_whose_tasks_do_not_stay_holds_up_no_other() {
    let mut state = updating(1, 100, 200);
    state.rollouts[0].stage = Some(LifecycleStage::BakeTime);
    state.service.configuration.strategy = Some(DeploymentStrategy::BlueGreen);
    state.service.configuration.bake_time_in_minutes = Some(10);
    let fails = |id: &str| (0..5).map(|number| failed(&format!("{id}{number}"), id)).collect::<Vec<_>>();
    let started = |state: &State| decide(state).start.into_iter().map(|it| it.deployment).collect::<Vec<_>>();
    state.tasks = Vec::new();
    state.departed = fails(NEW);
    assert_eq!(started(&state), [OLD]);
    state.departed = fails(OLD);
    assert_eq!(started(&state), [NEW], "the old one waits for its turn");
}

#[test]
fn blue_stays_until_green_has_been_through_all_stages() {
    let mut state = updating(1, 100, 200);
    state.rollouts[0].stage = Some(LifecycleStage::PreScaleUp);
    state.service.configuration.strategy = Some(DeploymentStrategy::BlueGreen);
    state.service.configuration.bake_time_in_minutes = Some(1);
    state.tasks = vec![healthy("a", OLD)];
    let got = decide(&state);
    assert_eq!((starts(&got), got.rollouts[0].stage), (1, Some(LifecycleStage::ScaleUp)));
    state.rollouts = got.rollouts;
    state.tasks.push(healthy("b", NEW));
    let got = decide(&state);
    assert_eq!((got.rollouts[0].stage, stops(&got).len()), (Some(LifecycleStage::BakeTime), 0));
    assert_eq!(got.wake_at, Some(NOW.plus_millis(60_000)));
    assert!((got.rollouts[0].production_percent - 100.0).abs() < f64::EPSILON);
    let later = State { now: NOW.plus_millis(60_000), rollouts: got.rollouts, ..state };
    assert_eq!(stops(&decide(&later)), ["a"]);
}

#[test]
fn a_daemon_replaces_the_task_of_an_instance_old_one_first() {
    let mut state = updating(0, 0, 100);
    state.service.scheduling = SchedulingStrategy::Daemon;
    let on = |id: &str, deployment: &str, instance: &str| at("a", instance, healthy(id, deployment));
    let instance = |id: &str| InstanceView {
        id: id.into(),
        is_eligible: true,
        is_draining: false,
        is_managed: false,
        is_repaired: false,
        is_older: false,
        others: 0,
    };
    state.instances = vec![instance("i"), instance("j")];
    state.tasks = vec![on("a", OLD, "i"), on("b", OLD, "j")];
    let got = decide(&state);
    assert_eq!((starts(&got), stops(&got)), (0, vec!["a", "b"]));
    state.tasks = vec![on("b", OLD, "j")];
    let got = decide(&state);
    assert_eq!((starts(&got), got.service.desired_count), (1, 2));
}

/// A BLUE_GREEN deployment in a stage, of so many tasks, after two others of which the older one was completed.
fn kept(stage: LifecycleStage, desired: u32) -> State {
    let mut state = updating(desired, 0, 100);
    state.service.deployments.insert(1, deployment("ecs-svc/3", "r3", RolloutState::InProgress));
    state.service.configuration.strategy = Some(DeploymentStrategy::BlueGreen);
    state.service.configuration.lifecycle_hooks = Some(vec![LifecycleHook {
        target_type: Some(HookTarget::Pause),
        lifecycle_stages: vec![HookStage::PreScaleUp, HookStage::PostScaleUp],
        ..LifecycleHook::default()
    }]);
    state.rollouts[0].stage = Some(stage);
    state
}

#[test]
fn a_stage_is_left_when_each_of_its_hooks_was_answered() {
    let mut state = kept(LifecycleStage::PreScaleUp, 1);
    state.tasks = vec![healthy("a", OLD)];
    let short = HookTimeout { timeout_in_minutes: Some(5), ..HookTimeout::default() };
    let second = LifecycleHook {
        target_type: Some(HookTarget::Pause),
        lifecycle_stages: vec![HookStage::PreScaleUp],
        timeout_configuration: Some(short),
        ..LifecycleHook::default()
    };
    state.service.configuration.lifecycle_hooks.as_mut().unwrap().push(second);
    let got = decide(&state);
    let [first, second] = &got.rollouts[0].hooks[..] else { panic!("{:?}", got.rollouts[0].hooks) };
    assert_ne!(first.id, second.id);
    assert_eq!(got.wake_at, Some(NOW.plus_millis(5 * 60_000)), "the one that times out first");
    state.rollouts[0].hooks.clone_from(&got.rollouts[0].hooks);
    state.rollouts[0].hooks[0].status = HookStatus::Succeeded;
    assert_eq!(decide(&state).rollouts[0].stage, Some(LifecycleStage::PreScaleUp));
    let mut failed = state.clone();
    failed.rollouts[0].hooks[1].status = HookStatus::Failed;
    assert!(decide(&failed).rollouts[0].rollback.is_some());
    state.rollouts[0].hooks[1].status = HookStatus::Succeeded;
    assert_eq!(decide(&state).rollouts[0].stage, Some(LifecycleStage::ScaleUp));
}

#[test]
fn what_is_kept_beside_a_new_revision_is_counted_over_all_old_deployments() {
    let mut state = kept(LifecycleStage::PreScaleUp, 2);
    state.tasks = vec![healthy("a", OLD), healthy("b", OLD)];
    assert_eq!(starts(&decide(&state)), 0, "the one between has none, and needs none");
    state.tasks.push(healthy("c", "ecs-svc/3"));
    assert_eq!(stops(&decide(&state)), ["c"], "what was never completed goes first");
    state.tasks = vec![healthy("a", OLD)];
    let got = decide(&state);
    assert_eq!((starts(&got), got.start[0].deployment.as_str()), (1, OLD));
    state.service.deployments.iter_mut().for_each(|it| it.rollout = RolloutState::Failed);
    state.service.deployments[0].rollout = RolloutState::InProgress;
    assert_eq!(starts(&decide(&state)), 0, "what has failed starts nothing");
}

#[test]
fn what_the_service_would_go_back_to_stays_in_its_list_without_a_task() {
    let state = kept(LifecycleStage::PreScaleUp, 1);
    let got = decide(&state);
    assert_eq!(got.start[0].deployment, OLD);
    assert!(got.service.deployments.iter().any(|it| it.id == OLD), "whose tasks would they be?");
}

#[test]
fn instances_are_drained_and_counts_lowered_while_the_old_revision_is_kept() {
    let mut state = kept(LifecycleStage::ScaleUp, 1);
    let drained = TaskView { is_on_draining: true, ..healthy("a", OLD) };
    state.tasks = vec![drained.clone(), healthy("b", OLD), healthy("c", NEW)];
    assert_eq!(stops(&decide(&state)), ["a"]);
    state.tasks = vec![healthy("a", OLD), healthy("b", OLD)];
    let got = decide(&state);
    assert_eq!(stops(&got).len(), 1, "or the new one never has room: {got:?}");
    state.tasks = vec![TaskView { protected_until: Some(NOW.plus_millis(1)), ..starting("a", OLD) }, healthy("b", OLD)];
    assert_eq!(stops(&decide(&state)).len(), 0, "who is well is what it would go back to");
}

/// A DAEMON service at rest, with a task on each of these instances: the id of both, and whether the instance drains.
fn daemons(minimum: i32, maximum: i32, instances: &[(&str, bool)]) -> State {
    let mut state = state(0, minimum, maximum, vec![deployment(OLD, "r1", RolloutState::Completed)]);
    state.service.scheduling = SchedulingStrategy::Daemon;
    let instance = |(id, is_draining): &(&str, bool)| InstanceView {
        id: (*id).into(),
        is_eligible: !is_draining,
        is_draining: *is_draining,
        is_managed: false,
        is_repaired: false,
        is_older: false,
        others: 1,
    };
    let task = |(id, _): &(&str, bool)| at("a", id, healthy(id, OLD));
    state.instances = instances.iter().map(instance).collect();
    state.tasks = instances.iter().map(task).collect();
    state
}

#[test]
fn a_daemon_leaves_what_is_not_what_its_constraints_ask_for_any_more_and_says_where() {
    let mut state = daemons(0, 100, &[("i", false), ("j", false), ("k", true)]);
    state.instances.iter_mut().for_each(|it| (it.is_eligible, it.others) = (false, 0));
    state.tasks[1].protected_until = Some(NOW.plus_millis(1));
    let got = decide(&state);
    let stopped = state.tasks.iter().filter(|task| stops(&got).contains(&task.id()));
    let on: Vec<_> = stopped.filter_map(|task| task.instance()).collect();
    assert_eq!((on, got.violated), (vec!["i", "k"], ["i".to_owned()].into()), "one is protected, one drains");
}

#[test]
fn a_daemon_that_is_well_again_stays_and_its_replacement_goes() {
    let mut state = daemons(100, 200, &[("i", false)]);
    state.tasks.insert(0, starting("b", OLD));
    assert_eq!(stops(&decide(&state)), ["b"]);
}

#[test]
fn a_daemon_that_waits_on_a_draining_instance_stands_for_no_other() {
    let mut state = daemons(100, 100, &[("i", true), ("j", false)]);
    state.tasks.truncate(1);
    assert_eq!(starts(&decide(&state)), 1, "it takes no room");
    let mut state = daemons(100, 100, &[("i", true), ("j", false)]);
    state.service.deployments.insert(0, deployment(NEW, "r2", RolloutState::InProgress));
    assert_eq!(stops(&decide(&state)).len(), 0, "it is none that the minimum counts");
}

prop_compose! {
    fn any_view()(
        number in 0_u32..1000, new in any::<bool>(), kind in 0_u8..4, wanted in any::<bool>(), draining in any::<bool>(),
    ) -> TaskView {
        let condition = match kind {
            0 => Condition::Starting { settles_at: None },
            1 => Condition::Unhealthy,
            _ => Condition::Healthy,
        };
        let deployment = if new { NEW } else { OLD };
        TaskView { is_wanted: wanted, is_on_draining: draining, ..task(&format!("t{number}"), deployment, condition) }
    }
}

proptest! {
    /// By our own doing: never above the maximum, never below the minimum, no task twice.
    #[test]
    fn the_bounds_hold_for_any_state(
        desired in 0_u32..8, minimum in 0_i32..=100, maximum in 100_i32..=300,
        tasks in prop::collection::btree_map(0_u32..1000, any_view(), 0..12), stuck in any::<bool>(),
    ) {
        let mut state = updating(desired, minimum, maximum);
        state.tasks = tasks.into_iter().map(|(number, it)| called(&format!("t{number}"), it)).collect();
        if stuck {
            state.service.trouble = Some(cove_model::service::Trouble { since: NOW, reason: String::new(), refused: None });
        }
        let got = decide(&state);
        let before = u32::try_from(state.tasks.len()).unwrap();
        let most = state.service.configuration.maximum(desired);
        prop_assert!(starts(&got) == 0 || before + starts(&got) <= most, "{} + {} > {most}", before, starts(&got));
        let healthy = |left: bool| count(state.tasks.iter().filter(|it| it.is_healthy() && !(left && stops(&got).contains(&it.id()))));
        let least = state.service.configuration.minimum(desired).min(healthy(false));
        prop_assert!(healthy(true) >= least, "{} < {least}", healthy(true));
        let mut all = stops(&got);
        all.sort_unstable();
        all.dedup();
        prop_assert_eq!(all.len(), got.stop.len());
    }
}

#[test]
fn two_daemons_on_one_instance_stand_for_one() {
    let mut state = daemons(50, 100, &[("i", false), ("j", false), ("k", false)]);
    state.service.deployments.insert(0, deployment(NEW, "r2", RolloutState::InProgress));
    let protected = TaskView { protected_until: Some(NOW.plus_millis(1)), ..state.tasks[0].clone() };
    let beside = called("beside", protected.clone());
    state.tasks = vec![protected, beside, state.tasks[1].clone()];
    assert_eq!(stops(&decide(&state)).len(), 0, "two of three instances are served, and two must be");
}
