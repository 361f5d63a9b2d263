use std::sync::Arc;

use cove_model::arn::Tenant;
use cove_model::daemon::{
    Daemon, DaemonConfiguration, DaemonDeployment, DaemonDeploymentStatus as Status, DaemonStatus, daemon_owner,
    daemon_started_by,
};
use cove_model::fixture::departed;
use cove_model::task::{StopCode, Task};

use super::*;
use crate::deploy::{Condition, InstanceView, TaskView};
use crate::place::tests::any_task;

const NOW: Timestamp = Timestamp(1_000_000);

fn instance(id: &str) -> InstanceView {
    InstanceView {
        id: id.into(),
        is_eligible: true,
        is_draining: false,
        is_managed: false,
        is_repaired: false,
        is_older: false,
        others: 0,
    }
}

fn task(id: &str, instance: &str, revision: &str, condition: Condition) -> TaskView {
    let deployment = daemon_started_by(revision);
    let mut task = Task { id: id.into(), started_by: Some(deployment.clone()), ..any_task() };
    task.placement.container_instance = Some(instance.into());
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

/// A daemon that shall run revision `new` after `old`, on those instances.
fn state(instances: &[&str], tasks: Vec<TaskView>) -> State {
    let configuration = DaemonConfiguration::default().filled();
    let daemon = Daemon {
        revision: "new".into(),
        deployment: "1".into(),
        completed_revision: Some("old".into()),
        ..Daemon::new(Tenant::new("000000000000", "us-east-1"), "default", "watch", configuration, NOW)
    };
    let deployment = DaemonDeployment {
        status: Status::InProgress,
        instances: u32::try_from(instances.len()).unwrap(),
        started_at: Some(NOW),
        ..DaemonDeployment::new(&daemon, "1", vec!["old".into()], NOW)
    };
    State {
        daemon,
        deployment,
        instances: instances.iter().map(|id| instance(id)).collect(),
        tasks,
        departed: Vec::new(),
        alarms: Vec::new(),
        timing: Timing::default(),
        now: NOW,
    }
}

fn stopped(decision: &Decision) -> Vec<&str> {
    decision.stop.iter().map(|stop| &*stop.task_id).collect()
}

#[test]
fn each_instance_without_a_task_gets_one() {
    let got = decide(&state(&["i", "j"], vec![task("1", "i", "new", Condition::Healthy)]));
    assert_eq!((got.start, got.stop), (vec!["j".to_owned()], vec![]));
}

#[test]
fn old_tasks_leave_a_batch_at_a_time_before_new_ones_come() {
    let old = ["i", "j", "k", "l"].map(|at| task(at, at, "old", Condition::Healthy));
    let mut state = state(&["i", "j", "k", "l"], old.to_vec());
    let got = decide(&state);
    assert_eq!((stopped(&got), got.start.len()), (vec!["i"], 0), "a quarter of four");
    state.tasks[0].is_wanted = false;
    let got = decide(&state);
    assert!(got.stop.is_empty() && got.start.is_empty(), "the batch is not back yet, the old task not gone");
    state.tasks.remove(0);
    assert_eq!(decide(&state).start, ["i"]);
    state.tasks.push(task("new", "i", "new", Condition::Healthy));
    assert_eq!(stopped(&decide(&state)), ["j"]);
}

#[test]
fn a_deployment_is_over_when_all_run_the_target_and_have_baked() {
    let mut state = state(&["i"], vec![task("1", "i", "new", Condition::Healthy)]);
    state.deployment.configuration.bake_time_in_minutes = Some(1);
    let got = decide(&state);
    assert_eq!((got.deployment.status, got.wake_at), (Status::InProgress, Some(NOW.plus_millis(60_000))));
    state.deployment = got.deployment;
    state.now = NOW.plus_millis(60_000);
    let got = decide(&state);
    assert_eq!((got.deployment.status, got.daemon.completed_revision.as_deref()), (Status::Successful, Some("new")));
}

#[test]
fn a_deployment_that_fails_goes_back_or_stops_when_there_is_nothing_to_go_back_to() {
    let mut state = state(&["i"], Vec::new());
    state.deployment.failed_tasks = 3;
    let got = decide(&state);
    assert_eq!((got.deployment.status, &*got.daemon.revision), (Status::RollbackInProgress, "old"));
    assert!(got.start.is_empty(), "the instances are those of the other revision's providers");
    assert_eq!((got.deployment.tripped_at, got.deployment.failed_tasks), (Some(3), 0));
    state.daemon.completed_revision = None;
    let got = decide(&state);
    assert_eq!((got.deployment.status, got.start), (Status::Stopped, vec![]));
    state.deployment.failed_tasks = 0;
    state.alarms = vec!["high".into()];
    assert_eq!(decide(&state).deployment.triggered_alarms, ["high"]);
}

#[test]
fn a_draining_instance_keeps_its_daemon_until_the_others_have_left() {
    let mut state = state(&["i"], vec![task("1", "i", "new", Condition::Healthy)]);
    (state.instances[0].is_eligible, state.instances[0].is_draining, state.instances[0].others) = (false, true, 1);
    assert!(decide(&state).stop.is_empty());
    state.instances[0].others = 0;
    let got = decide(&state);
    assert_eq!((stopped(&got), &*got.stop[0].reason), (vec!["1"], "Task stopped during instance draining"));
    state.instances[0].is_draining = false;
    let reason = decide(&state).stop[0].reason.clone();
    assert!(reason.contains("not one of the daemon's capacity providers"), "it has other ones now: {reason}");
}

#[test]
fn a_deleted_daemon_is_gone_with_its_last_task() {
    let mut state = state(&["i"], vec![task("1", "i", "new", Condition::Healthy)]);
    state.daemon.status = DaemonStatus::DeleteInProgress;
    let got = decide(&state);
    assert_eq!((stopped(&got), got.is_gone), (vec!["1"], false));
    state.tasks.clear();
    assert!(decide(&state).is_gone);
}

#[test]
fn a_managed_instance_with_another_revision_goes_as_a_whole_a_batch_at_a_time() {
    let old = ["i", "j", "k", "l"].map(|at| task(at, at, "old", Condition::Healthy));
    let mut state = state(&["i", "j", "k", "l"], old.to_vec());
    state.instances.iter_mut().for_each(|it| (it.is_managed, it.others) = (true, 1));
    let got = decide(&state);
    assert_eq!((got.drain, got.stop, got.start), (vec!["i".to_owned()], vec![], vec![]), "a quarter of four");
    (state.instances[0].is_eligible, state.instances[0].is_draining) = (false, true);
    let got = decide(&state);
    assert!(got.drain.is_empty() && got.stop.is_empty(), "its other tasks are moving");
    state.instances[0].others = 0;
    assert_eq!(stopped(&decide(&state)), ["i"], "now the daemon leaves it, too");
    // It is gone; the one that was made for its tasks begins with the new revision.
    state.instances.remove(0);
    state.tasks.remove(0);
    state.instances.push(InstanceView { is_managed: true, ..instance("m") });
    let got = decide(&state);
    assert_eq!((got.start, got.drain), (vec!["m".to_owned()], vec![]));
    state.tasks.push(task("m", "m", "new", Condition::Healthy));
    assert_eq!(decide(&state).drain, ["j"]);
}

#[test]
fn a_managed_instance_that_was_there_before_its_daemon_goes_a_batch_at_a_time() {
    let ids = ["i", "j", "k", "l"];
    let mut state = state(&ids, Vec::new());
    state.instances.iter_mut().for_each(|it| (it.is_managed, it.is_older, it.others) = (true, true, 1));
    let got = decide(&state);
    assert_eq!((got.drain, got.start), (vec!["i".to_owned()], vec![]), "a quarter of four");
    (state.instances[0].is_eligible, state.instances[0].is_draining) = (false, true);
    let got = decide(&state);
    assert_eq!((got.drain, got.deployment.status), (vec![], Status::InProgress), "its tasks are moving");
    assert!(got.deployment.status_reason.is_some_and(|it| it.contains("leave 1 draining")));
    state.instances[0] = InstanceView { is_managed: true, others: 1, ..instance("m") };
    let got = decide(&state);
    assert_eq!((got.start, got.drain), (vec!["m".to_owned()], vec![]), "what comes in its place is without as yet");
    state.tasks.push(task("m", "m", "new", Condition::Healthy));
    assert_eq!(decide(&state).drain, ["j"]);
    // An operator's machine is not replaced.
    state.instances.iter_mut().for_each(|it| (it.is_managed, it.is_older) = (false, false));
    assert_eq!(decide(&state).start, ["j", "k", "l"]);
}

#[test]
fn a_deployment_is_not_over_while_an_instance_with_another_revision_drains() {
    let mut state = state(&["i", "j"], vec![task("1", "i", "new", Condition::Healthy)]);
    state.tasks.push(task("2", "j", "old", Condition::Healthy));
    state.instances.iter_mut().for_each(|it| it.is_managed = true);
    (state.instances[1].is_eligible, state.instances[1].is_draining, state.instances[1].others) = (false, true, 1);
    let got = decide(&state).deployment;
    assert_eq!(got.status, Status::InProgress);
    let reason = "Waiting for other tasks to leave 1 draining container instances.";
    assert_eq!(got.status_reason.as_deref(), Some(reason));
    state.deployment = got;
    state.tasks.pop();
    let got = decide(&state).deployment;
    assert_eq!((got.status, got.status_reason), (Status::Successful, None));
}

#[test]
fn an_ill_daemon_of_the_wanted_revision_is_started_again_where_nothing_is_repaired() {
    let mut state = state(&["i"], vec![task("1", "i", "new", Condition::Unhealthy)]);
    state.instances[0].is_managed = true;
    let got = decide(&state);
    assert_eq!((stopped(&got), got.drain.len()), (vec!["1"], 0));
}

#[test]
fn ill_daemons_of_another_revision_are_no_reason_to_wait_for_the_one_that_mends_them() {
    for is_managed in [true, false] {
        let ill = ["i", "j", "k", "l"].map(|at| task(at, at, "old", Condition::Unhealthy));
        let mut state = state(&["i", "j", "k", "l"], ill.to_vec());
        state.instances.iter_mut().for_each(|it| it.is_managed = is_managed);
        let got = decide(&state);
        let leaving: Vec<&str> = if is_managed { got.drain.iter().map(|id| &**id).collect() } else { stopped(&got) };
        assert_eq!(leaving, ["i", "j", "k", "l"], "managed: {is_managed}");
    }
    // What is healthy waits all the same until enough others are.
    let mut state = state(&["i", "j"], vec![task("1", "i", "old", Condition::Unhealthy)]);
    state.tasks.push(task("2", "j", "old", Condition::Healthy));
    state.instances.iter_mut().for_each(|it| it.is_managed = true);
    assert_eq!(decide(&state).drain, ["i"]);
}

/// A task of the wanted revision that was on the instance.
fn ended(instance: &str, code: StopCode) -> Arc<Departed> {
    Arc::new(Departed {
        service: daemon_owner("watch"),
        instance: Some(instance.into()),
        started_at: Some(NOW),
        was_ordered: code == StopCode::ServiceSchedulerInitiated,
        stop_code: Some(code),
        ..departed("gone", &daemon_started_by("new"), NOW)
    })
}

/// Four managed instances of a provider that repairs.
fn repaired(tasks: Vec<TaskView>) -> State {
    let mut state = state(&["i", "j", "k", "l"], tasks);
    for one in &mut state.instances {
        (one.is_managed, one.is_repaired, one.others) = (true, true, 1);
    }
    state
}

#[test]
fn a_managed_instance_goes_with_a_daemon_that_ended_or_is_ill() {
    let others = ["j", "k", "l"].map(|id| task(id, id, "new", Condition::Healthy));
    let mut state = repaired(others.to_vec());
    state.departed = vec![ended("i", StopCode::EssentialContainerExited)];
    let got = decide(&state);
    assert_eq!((got.drain, got.start.len(), got.stop.len()), (vec!["i".to_owned()], 0, 0));
    state.tasks.push(task("1", "i", "new", Condition::Unhealthy));
    state.departed.clear();
    let got = decide(&state);
    assert_eq!((got.drain, got.stop.len()), (vec!["i".to_owned()], 0), "it leaves with the instance");
    // It is on its way; another one has to wait, and is started again where it is.
    (state.instances[0].is_eligible, state.instances[0].is_draining) = (false, true);
    state.tasks[0].condition = Condition::Unhealthy;
    let got = decide(&state);
    assert_eq!((stopped(&got), got.drain.len()), (vec!["j"], 0));
}

#[test]
fn no_instance_goes_for_what_others_did_or_what_fails_everywhere() {
    for code in [StopCode::ServiceSchedulerInitiated, StopCode::TerminationNotice] {
        let mut state = repaired(["j", "k", "l"].map(|id| task(id, id, "new", Condition::Healthy)).to_vec());
        state.departed = vec![ended("i", code)];
        let got = decide(&state);
        assert_eq!((got.start, got.drain.len()), (vec!["i".to_owned()], 0), "{code:?}");
    }
    let mut state = repaired(Vec::new());
    state.departed = (0..4).map(|_| ended("i", StopCode::EssentialContainerExited)).collect();
    state.deployment.status = Status::Successful;
    let got = decide(&state);
    assert_eq!((got.drain.len(), got.start.len(), got.wake_at), (0, 0, Some(NOW.plus_millis(1000))));
}
