//! The agents: they start and stop what the records ask for, see how it goes, and say so; messages get lost, come late and
//! come twice, and what was not heard is said again.
//!
//! Holds: a task's observed status only moves forward, and its end leaves its note once, whatever is heard how often.

use cove_base::Timestamp;
use cove_model::service::Departed;
use cove_model::task::{ContainerState, Desired, Health, StopCode, Task, TaskStatus};
use cove_store::{Key, Prefix, Read, Record, StoreError};

use super::Checked;
use super::bug::Bug;
use super::world::World;

/// A task as it really is.
#[derive(Debug, Clone, Default)]
pub(super) struct Run {
    pub(super) phase: Phase,
    started_at: Option<Timestamp>,
    health: Option<Health>,
    end: Option<(StopCode, String)>,
    stopped_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    #[default]
    Coming,
    Up,
    /// It was asked to end, or one of its containers did.
    Ending,
    Down,
}

/// What an agent says of a task.
#[derive(Debug, Clone)]
pub(super) struct Message {
    key: Key,
    run: Run,
}

impl World {
    /// Some agent looks at one of its tasks.
    pub(super) fn agent_acts(&mut self) -> Checked {
        let tasks = self.memory.view().live::<Task>(&Prefix::all());
        if !tasks.is_empty() {
            let task = &tasks[self.dice.roll(tasks.len())];
            self.look_after(task);
        }
        Ok(())
    }

    /// The next thing that happens to the task, and what its agent says of it.
    pub(super) fn look_after(&mut self, task: &Task) {
        // No agent knows of it yet.
        if task.is_waiting() {
            return;
        }
        let mut run = self.runs.get(&task.id).cloned().unwrap_or_default();
        self.live(task, &mut run);
        self.tell(|| format!("agent of {}: {run:?}", &task.id[..6]));
        let message = Message { key: task.key(), run: run.clone() };
        self.runs.insert(task.id.clone(), run);
        let copies = if self.is_quiet { 1 } else { self.dice.pick(&[0, 1, 1, 1, 1, 2]) };
        self.messages.extend(std::iter::repeat_n(message, copies));
    }

    fn live(&mut self, task: &Task, run: &mut Run) {
        let has_failed = |dice: &mut super::dice::Dice, sides: usize, quiet: bool| !quiet && dice.one_in(sides);
        let end = |run: &mut Run, code, reason: &str| run.end = run.end.take().or(Some((code, reason.to_owned())));
        match (run.phase, &task.desired) {
            (Phase::Down, _) => {}
            (_, Desired::Lost(order)) => {
                end(run, order.code, &order.reason);
                run.phase = Phase::Down;
            }
            (Phase::Ending, _) => run.phase = Phase::Down,
            (Phase::Coming, Desired::Stopped(order)) => {
                end(run, order.code, &order.reason);
                run.phase = Phase::Down;
            }
            (Phase::Up, Desired::Stopped(order)) => {
                end(run, order.code, &order.reason);
                run.phase = Phase::Ending;
            }
            // The gate of a managed instance.
            (Phase::Coming, Desired::Running) if self.waits_for_daemons(task) => {}
            (Phase::Coming, Desired::Running) => {
                let odds = if task.family == "sick" { 2 } else { 12 };
                if has_failed(&mut self.dice, odds, self.is_quiet) {
                    end(run, StopCode::TaskFailedToStart, "CannotPullContainerError: no");
                    run.phase = Phase::Down;
                } else {
                    (run.phase, run.started_at) = (Phase::Up, Some(self.now));
                }
            }
            (Phase::Up, Desired::Running) => {
                let is_checked = task.containers.iter().any(|it| it.seen.health.is_some());
                if has_failed(&mut self.dice, 10, self.is_quiet) {
                    end(run, StopCode::EssentialContainerExited, "Essential container in task exited");
                    run.phase = Phase::Ending;
                } else if is_checked {
                    let is_ill = has_failed(&mut self.dice, 6, self.is_quiet);
                    run.health = Some(if is_ill { Health::Unhealthy } else { Health::Healthy });
                }
            }
        }
        if run.phase == Phase::Down && run.stopped_at.is_none() {
            run.stopped_at = Some(self.now);
        }
    }

    /// Some message arrives; any of those that are on their way.
    pub(super) fn hear_one(&mut self) -> Checked {
        if self.messages.is_empty() {
            return Ok(());
        }
        let at = self.dice.roll(self.messages.len());
        let message = self.messages.swap_remove(at);
        self.hear(&message);
        if self.is_quiet { Ok(()) } else { self.check_all() }
    }

    /// As the agent's driver writes it: the record as it is now, changed.
    fn hear(&mut self, message: &Message) {
        let bug = self.bug;
        let done: Result<(), StoreError> = self.memory.write(self.now, |tx| {
            let Some(before) = tx.get::<Task>(&message.key) else { return Ok(()) };
            let mut task = (*before).clone();
            note(&mut task, &message.run, bug == Some(Bug::LateMessageHeard));
            if task != *before {
                task.version += 1;
            }
            if !task.is_live() && (before.is_live() || bug == Some(Bug::EndHeardTwice)) {
                Departed::of(&task).into_iter().for_each(|ended| tx.put(ended));
            }
            if task != *before {
                tx.put(task);
            }
            Ok(())
        });
        done.unwrap();
    }
}

fn note(task: &mut Task, run: &Run, backwards_too: bool) {
    let status = match run.phase {
        Phase::Coming => TaskStatus::Pending,
        Phase::Up => TaskStatus::Running,
        Phase::Ending => TaskStatus::Stopping,
        Phase::Down => TaskStatus::Stopped,
    };
    let observed = &mut task.observed;
    if status < observed.status && !backwards_too {
        return;
    }
    observed.status = status;
    observed.started_at = observed.started_at.or(run.started_at);
    observed.stopped_at = observed.stopped_at.or(run.stopped_at);
    if let Some((code, reason)) = &run.end {
        observed.stop_code.get_or_insert(*code);
        observed.stopped_reason.get_or_insert_with(|| reason.clone());
    }
    for container in &mut task.containers {
        let seen = &mut container.seen;
        seen.image_digest.get_or_insert_with(|| "sha256:1".to_owned());
        if seen.health.is_some() && run.health.is_some() {
            seen.health = run.health;
        }
        seen.state = match run.phase {
            Phase::Coming => ContainerState::Pending,
            Phase::Up => ContainerState::Running,
            Phase::Ending | Phase::Down => ContainerState::Stopped,
        };
    }
}
