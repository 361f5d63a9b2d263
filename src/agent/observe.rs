//! From what was seen to what the record says.
//!
//! In: a task's record and what shims and effects reported. Out: the record, changed. No clock but the moment given.
//!
//! Holds: a status only moves forward; a stop code and reason, once written, stay; texts are ECS's.

use std::collections::HashMap;

use cove_base::Timestamp;
use cove_model::task::{Container, ContainerSeen, ContainerState, StopCode, Task, TaskStatus};
pub(crate) use cove_model::task_end::{advance, stopped};
use cove_model::task_end::{decide_reason, stopping};
use cove_shim::protocol::{self, ExitRecord, Phase};

use crate::order::{self, Graph, Refusal, Stage};
use crate::step::Progress;

/// ECS's words for a container that the kernel killed for want of memory.
pub(crate) const OUT_OF_MEMORY: &str = "OutOfMemoryError: Container killed due to memory usage";
/// Our own words when a shim is gone and left no exit record: the containers' fate is not known.
pub(crate) const VANISHED: &str =
    "ContainerVanishedError: the supervisor of this container was killed, its exit status is not known";

/// Why a task could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The container at fault; `None` when it is the task as a whole.
    pub container: Option<String>,
    /// ECS's words, as in `CannotPullContainerError: …`.
    pub reason: String,
}

/// What a shim said of its containers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    pub states: Vec<protocol::ContainerState>,
    /// It lives; otherwise this is what it left.
    pub alive: bool,
    /// Attempts that it was asked to start, by the container's name.
    pub starts: HashMap<String, u32>,
    /// It was told of the end and spoke after that: what waits then will never start.
    pub stops: bool,
}

impl Said {
    /// The last attempt of a container.
    pub(crate) fn of(&self, container: &Container) -> Option<&protocol::ContainerState> {
        self.states.iter().find(|state| state.name == container.name)
    }

    /// Whether it was asked to start the container and has not said what came of it.
    pub(crate) fn is_starting(&self, container: &Container) -> bool {
        let (Some(asked), Some(state)) = (self.starts.get(&container.name), self.of(container)) else { return false };
        let is_before = match state.phase {
            Phase::Waiting => true,
            Phase::Running { .. } | Phase::Exited(_) => state.attempt < *asked,
        };
        is_before && !state.recording
    }
}

/// How far the containers are, by what the shim last said.
pub(crate) fn progress(task: &Task, said: &Said, graph: &Graph) -> Progress {
    progress_of(task, said, &order::stages(task, said, graph))
}

fn progress_of(task: &Task, said: &Said, stages: &[Stage]) -> Progress {
    let all = || task.containers.iter().zip(stages);
    // One that could not start waits, too, until the record that says why is on disk.
    let is_recording = |container: &Container| said.of(container).is_some_and(|state| state.recording);
    let ended = |(container, stage): (&Container, &Stage)| match stage {
        Stage::Waiting => said.stops && !is_recording(container),
        Stage::GivenUp | Stage::Ended { .. } => true,
        Stage::Running { .. } | Stage::Between { .. } => false,
    };
    if all().all(ended) {
        Progress::Ended
    } else if all().any(|(container, stage)| container.essential && ended((container, stage))) {
        Progress::Ending
    } else if stages.contains(&Stage::Waiting) {
        Progress::Waiting
    } else {
        Progress::Running
    }
}

/// Puts what the shim said into the record.
pub(crate) fn containers(task: &mut Task, said: &Said, graph: &Graph, now: Timestamp) {
    let stages = order::stages(task, said, graph);
    for (container, stage) in task.containers.iter_mut().zip(&stages) {
        let Some(state) = said.of(container).filter(|state| state.attempt >= container.seen.attempt) else { continue };
        match (&state.phase, stage) {
            // What ended is as good as running while it is about to be started again.
            (Phase::Waiting, _) | (Phase::Exited(_), Stage::Between { .. }) => {}
            (Phase::Running { started_at, .. }, _) => running(container, state, *started_at),
            (Phase::Exited(record), _) => ended(container, record),
        }
        health(&mut container.seen, state);
    }
    status(task, progress_of(task, said, &stages), now);
}

fn running(container: &mut Container, state: &protocol::ContainerState, started_at: Timestamp) {
    let seen = &mut container.seen;
    if state.attempt > seen.attempt {
        seen.attempt = state.attempt;
        seen.state = ContainerState::Pending;
    }
    if seen.state < ContainerState::Running {
        seen.state = ContainerState::Running;
        seen.started_at = Some(started_at);
    }
}

/// A shim from before there were checks says nothing, and its containers have none.
fn health(seen: &mut ContainerSeen, state: &protocol::ContainerState) {
    if state.health.is_some() {
        (seen.health, seen.health_since) = (state.health, state.health_since);
    }
}

fn ended(container: &mut Container, record: &ExitRecord) {
    if container.seen.state == ContainerState::Stopped {
        return;
    }
    let seen = &mut container.seen;
    seen.attempt = record.attempt;
    seen.state = ContainerState::Stopped;
    seen.started_at = record.started_at.or(seen.started_at);
    // The host's clock may have been set back in between; nobody stops before they start.
    seen.stopped_at = Some(record.stopped_at).max(seen.started_at);
    seen.exit_code = record.exit_code;
    if seen.reason.is_none() {
        seen.reason = record.error.clone().or_else(|| record.oom_killed.then(|| OUT_OF_MEMORY.to_owned()));
    }
}

/// A container that can never be started, as the agent shows it.
pub(crate) fn give_up(task: &mut Task, target: usize, refusal: Refusal, now: Timestamp) {
    let reason = refusal.reason(task, target);
    let seen = &mut task.containers[target].seen;
    if seen.state < ContainerState::Running {
        seen.state = ContainerState::Stopped;
        seen.exit_code = Some(order::GIVEN_UP_EXIT);
        seen.stopped_at = Some(now);
        seen.reason = Some(reason);
    }
}

fn status(task: &mut Task, progress: Progress, now: Timestamp) {
    let some_started = task.containers.iter().any(|container| container.seen.started_at.is_some());
    match progress {
        Progress::Waiting if some_started => advance(task, TaskStatus::Activating),
        Progress::Waiting => {}
        Progress::Running => {
            if task.observed.status < TaskStatus::Running {
                let last = task.containers.iter().filter_map(|container| container.seen.started_at).max();
                task.observed.started_at = Some(last.unwrap_or(now));
            }
            advance(task, TaskStatus::Running);
        }
        Progress::Ending => stopping(task, now),
        Progress::Ended => {
            stopping(task, now);
            let last = task.containers.iter().filter_map(|container| container.seen.stopped_at).max();
            task.observed.execution_stopped_at = task.observed.execution_stopped_at.or(last);
            advance(task, TaskStatus::Deprovisioning);
        }
    }
    if task.desired.is_stopped() && progress != Progress::Ended {
        stopping(task, now);
    }
}

/// The task could not be made, or was stopped before it was.
pub(crate) fn failed(task: &mut Task, failure: Option<&Failure>, now: Timestamp) {
    if let Some(failure) = failure {
        for container in &mut task.containers {
            if failure.container.as_ref() == Some(&container.name) && container.seen.reason.is_none() {
                container.seen.reason = Some(failure.reason.clone());
            }
        }
    }
    decide_reason(task, failure.map(|failure| failure.reason.as_str()));
    task.observed.stopping_at = task.observed.stopping_at.or(Some(now));
}

/// The shim is gone: whatever has no exit record ended in a way that nobody saw, or died while it started.
/// `failure`: why nothing was started, when that is known.
pub(crate) fn vanished(task: &mut Task, failure: Option<&Failure>, now: Timestamp) {
    let none_started = task.containers.iter().all(|container| container.seen.started_at.is_none());
    for container in &mut task.containers {
        let was_seen = container.seen.started_at.is_some();
        if container.seen.state != ContainerState::Stopped && (was_seen || none_started) {
            container.seen.state = ContainerState::Stopped;
            container.seen.stopped_at = Some(now);
            if was_seen || failure.is_none() {
                container.seen.reason.get_or_insert_with(|| VANISHED.to_owned());
            }
        }
    }
}

/// ECS's words for a task whose machine goes down. `instance`: its EC2 id.
pub(crate) fn host_stopped(instance: Option<&str>) -> String {
    match instance {
        Some(instance) => format!("Host EC2 (instance {instance}) stopped/terminated."),
        None => "Host stopped/terminated.".to_owned(),
    }
}

/// The host went down under the task, or its instance is gone: nobody saw how its containers ended, but for those that
/// left a record. What somebody ordered before stays the reason.
pub(crate) fn host_lost(task: &mut Task, instance: Option<&str>, now: Timestamp) {
    if task.desired.is_stopped() {
        decide_reason(task, None);
    }
    if task.observed.stop_code.is_none() {
        task.observed.stop_code = Some(StopCode::TerminationNotice);
        task.observed.stopped_reason = Some(host_stopped(instance));
    }
    for container in &mut task.containers {
        container.seen.state = ContainerState::Stopped;
        container.seen.stopped_at = container.seen.stopped_at.or(Some(now));
    }
}

#[cfg(test)]
mod tests {
    use cove_model::task::{Desired, StopOrder};
    use cove_model::task_end::ESSENTIAL_EXITED;

    use super::*;
    use crate::resolve::tests::{app, task};

    /// As without any dependency.
    fn containers(task: &mut Task, said: &Said, now: Timestamp) {
        let graph = Graph::unordered(task);
        super::containers(task, said, &graph, now);
    }

    fn plain(name: &str) -> protocol::ContainerState {
        let phase = Phase::Waiting;
        protocol::ContainerState {
            name: name.into(),
            attempt: 0,
            phase,
            recording: false,
            health: None,
            health_since: None,
        }
    }

    fn exited(name: &str, code: i32, oom_killed: bool) -> protocol::ContainerState {
        let record = ExitRecord {
            container: name.into(),
            attempt: 0,
            started_at: Some(Timestamp(10)),
            stopped_at: Timestamp(20),
            exit_code: Some(code),
            oom_killed,
            error: None,
        };
        protocol::ContainerState { phase: Phase::Exited(record), ..plain(name) }
    }

    fn running(name: &str) -> protocol::ContainerState {
        let phase = Phase::Running { pid: 1, started_at: Timestamp(10) };
        protocol::ContainerState { phase, ..plain(name) }
    }

    fn said<const N: usize>(states: [protocol::ContainerState; N]) -> Said {
        Said { states: states.to_vec(), alive: true, ..Said::default() }
    }

    fn pair() -> Task {
        let mut task = task();
        task.containers = vec![app("main", true), app("side", false)];
        task
    }

    #[test]
    fn a_task_runs_while_only_its_side_container_has_ended() {
        let mut task = pair();
        containers(&mut task, &said([running("main"), exited("side", 1, false)]), Timestamp(30));
        assert_eq!(task.observed.status, TaskStatus::Running);
        assert_eq!(task.containers[1].seen.exit_code, Some(1));
        assert_eq!(task.observed.stop_code, None);
    }

    #[test]
    fn the_end_of_an_essential_container_ends_the_task() {
        let mut task = pair();
        containers(&mut task, &said([exited("main", 3, false), running("side")]), Timestamp(30));
        assert_eq!(task.observed.status, TaskStatus::Stopping);
        assert_eq!(task.observed.stop_code, Some(StopCode::EssentialContainerExited));
        containers(&mut task, &said([exited("main", 3, false), exited("side", 143, false)]), Timestamp(31));
        assert_eq!(task.observed.status, TaskStatus::Deprovisioning);
        stopped(&mut task, Timestamp(32));
        assert_eq!(task.observed.stopped_reason.as_deref(), Some(ESSENTIAL_EXITED));
        assert_eq!(task.observed.started_at, Some(Timestamp(10)));
        assert!(task.desired.is_stopped());
    }

    #[test]
    fn an_order_to_stop_gives_its_own_reason() {
        let mut task = pair();
        task.desired =
            Desired::Stopped(StopOrder { code: StopCode::UserInitiated, reason: "bye".into(), at: Timestamp(1) });
        containers(&mut task, &said([exited("main", 143, false), exited("side", 143, false)]), Timestamp(30));
        assert_eq!(task.observed.stopped_reason.as_deref(), Some("bye"));
        assert_eq!(task.observed.stop_code, Some(StopCode::UserInitiated));
    }

    #[test]
    fn a_clock_that_was_set_back_puts_no_end_before_its_beginning() {
        let mut task = task();
        let Phase::Exited(mut record) = exited("app", 0, false).phase else { unreachable!("made above") };
        (record.started_at, record.stopped_at) = (Some(Timestamp(1000)), Timestamp(20));
        let state = protocol::ContainerState { phase: Phase::Exited(record), ..plain("app") };
        containers(&mut task, &said([state]), Timestamp(21));
        stopped(&mut task, Timestamp(22));
        assert_eq!(task.containers[0].seen.stopped_at, Some(Timestamp(1000)));
        assert!(task.observed.stopped_at >= task.observed.started_at, "{:?}", task.observed);
    }

    #[test]
    fn want_of_memory_is_said_in_ecs_words() {
        let mut task = task();
        containers(&mut task, &said([exited("app", 137, true)]), Timestamp(30));
        assert_eq!(task.containers[0].seen.reason.as_deref(), Some(OUT_OF_MEMORY));
        assert_eq!(task.containers[0].seen.exit_code, Some(137));
    }

    #[test]
    fn a_task_that_could_not_be_made_says_why() {
        let mut task = task();
        let failure =
            Failure { container: Some("app".into()), reason: "CannotPullContainerError: no such image".into() };
        failed(&mut task, Some(&failure), Timestamp(5));
        stopped(&mut task, Timestamp(6));
        assert_eq!(task.observed.stop_code, Some(StopCode::TaskFailedToStart));
        assert_eq!(task.containers[0].seen.reason, Some(failure.reason));
    }

    #[test]
    fn what_waits_when_everything_stops_is_over_only_once_the_shim_said_so() {
        let mut task = pair();
        let waiting = protocol::ContainerState { recording: true, ..plain("side") };
        let mut said = said([exited("main", 1, false), waiting]);
        assert_eq!(progress(&task, &said, &Graph::unordered(&task)), Progress::Ending);
        said.stops = true;
        assert_eq!(progress(&task, &said, &Graph::unordered(&task)), Progress::Ending);
        said.states[1].recording = false;
        assert_eq!(progress(&task, &said, &Graph::unordered(&task)), Progress::Ended);
        containers(&mut task, &said, Timestamp(30));
        stopped(&mut task, Timestamp(31));
        assert_eq!(task.containers[1].seen.state, ContainerState::Stopped);
        assert_eq!(task.containers[1].seen.exit_code, None);
    }

    #[test]
    fn a_shim_that_died_while_it_started_a_container_is_a_failure_to_start() {
        let mut task = pair();
        vanished(&mut task, None, Timestamp(30));
        stopped(&mut task, Timestamp(31));
        assert_eq!(task.observed.stop_code, Some(StopCode::TaskFailedToStart));
        assert_eq!(task.observed.stopped_reason.as_deref(), Some(VANISHED));
    }

    #[test]
    fn a_lost_task_has_the_orders_reason_and_no_exit_codes_but_those_seen_before() {
        let mut task = pair();
        containers(&mut task, &said([running("main"), exited("side", 7, false)]), Timestamp(30));
        let order = StopOrder {
            code: StopCode::TerminationNotice,
            reason: "Host EC2 (…) terminated.".into(),
            at: Timestamp(31),
        };
        task.desired = Desired::Lost(order);
        host_lost(&mut task, None, Timestamp(32));
        stopped(&mut task, Timestamp(33));
        assert_eq!(task.observed.stop_code, Some(StopCode::TerminationNotice));
        assert_eq!(task.observed.stopped_reason.as_deref(), Some("Host EC2 (…) terminated."));
        assert_eq!((task.containers[0].seen.exit_code, task.containers[1].seen.exit_code), (None, Some(7)));
        assert_eq!(task.containers[0].seen.stopped_at, Some(Timestamp(32)));
    }

    #[test]
    fn a_status_never_moves_back() {
        let mut task = task();
        task.observed.status = TaskStatus::Deprovisioning;
        containers(&mut task, &said([running("app")]), Timestamp(1));
        assert_eq!(task.observed.status, TaskStatus::Deprovisioning);
    }
}
