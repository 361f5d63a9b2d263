//! How a task ends: who or what ended it, and its last states. In ECS's words.
//!
//! In: a task's record and the moment. Out: the record, changed. Used by whoever sees tasks end: the node's own agent, and
//! the API for agents of other hosts.
//!
//! Holds: a status only moves forward; a stop code and reason, once written, stay.

use cove_base::Timestamp;

use crate::task::{ContainerState, Desired, StopCode, StopOrder, Task, TaskStatus};

/// ECS's words when an essential container ends.
pub const ESSENTIAL_EXITED: &str = "Essential container in task exited";
/// ECS's words when an essential container could not be started for what it depends on.
pub const FAILED_TO_START: &str = "Task failed to start";

/// Forward only.
pub fn advance(task: &mut Task, status: TaskStatus) {
    task.observed.status = task.observed.status.max(status);
}

/// The task is on its way down.
pub fn stopping(task: &mut Task, now: Timestamp) {
    if task.observed.started_at.is_none() && task.containers.iter().all(|c| c.seen.started_at.is_some()) {
        task.observed.started_at = task.containers.iter().filter_map(|container| container.seen.started_at).max();
    }
    task.observed.stopping_at = task.observed.stopping_at.or(Some(now));
    decide_reason(task, None);
    advance(task, TaskStatus::Stopping);
}

/// The last word: STOPPED.
pub fn stopped(task: &mut Task, now: Timestamp) {
    decide_reason(task, None);
    for container in &mut task.containers {
        container.seen.state = ContainerState::Stopped;
    }
    let observed = &mut task.observed;
    observed.stopping_at = observed.stopping_at.or(Some(now));
    observed.execution_stopped_at = observed.execution_stopped_at.or(Some(now));
    observed.stopped_at = Some(now).max(observed.execution_stopped_at).max(observed.started_at);
    // AWS shows desiredStatus STOPPED for every stopped task.
    if !task.desired.is_stopped() {
        let code = task.observed.stop_code.unwrap_or(StopCode::EssentialContainerExited);
        let reason = task.observed.stopped_reason.clone().unwrap_or_default();
        task.desired = Desired::Stopped(StopOrder { code, reason, at: now });
    }
    advance(task, TaskStatus::Stopped);
}

/// Who ended the task: an order, a failure to start (`failure`: its reason), or an essential container, in this order.
pub fn decide_reason(task: &mut Task, failure: Option<&str>) {
    if task.observed.stop_code.is_some() {
        return;
    }
    // A side container that could not be started stops no task.
    let never_started = task.containers.iter().filter(|container| container.essential).find_map(|container| {
        let seen = &container.seen;
        let reason = if seen.exit_code.is_some() { FAILED_TO_START.to_owned() } else { seen.reason.clone()? };
        (seen.started_at.is_none()).then_some(reason)
    });
    let (code, reason) = match (&task.desired, failure, never_started) {
        (Desired::Stopped(order) | Desired::Lost(order), _, _) => (order.code, order.reason.clone()),
        (Desired::Running, Some(failure), _) => (StopCode::TaskFailedToStart, failure.to_owned()),
        (Desired::Running, None, Some(reason)) => (StopCode::TaskFailedToStart, reason),
        (Desired::Running, None, None) => (StopCode::EssentialContainerExited, ESSENTIAL_EXITED.to_owned()),
    };
    task.observed.stop_code = Some(code);
    task.observed.stopped_reason = Some(reason);
}
