//! The one next thing to do for a task.
//!
//! In: the task's record, and what this process knows of the kernel. Out: a [`Step`]. No clock, no store, no await.
//!
//! ```text
//! Connect ─▶ Prepare ─▶ Start ─▶ Record (RUNNING) ─▶ Rest ─▶ Record (an end) ─▶ Stop ─▶ Record ─▶ Release ─▶ Bury (STOPPED)
//!                 │      ▲  └─▶ Record ─▶ Rest (a dependency) ─▶ Start | GiveUp
//!                 │      └───── an end that the restart policy undoes
//!                 └────────── failure, or a stop before the start ─────────────────────────────▶ Release ─▶ Bury
//! lost: Connect ─▶ Kill ─▶ Rest ─▶ Release ─▶ Bury        after a boot: Connect ─▶ Release ─▶ Bury
//! ```
//!
//! Holds: nothing is started for a task that should stop or has ended; a task is buried only when nothing of it is left
//! in the kernel; every step can be taken twice. Of a task whose instance is gone nothing is written but the last word.

use cove_model::task::{Task, TaskStatus};

/// What this process knows of a task beyond its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    pub shim: Shim,
    pub progress: Progress,
    /// Whether the host has booted since the task's containers were made.
    pub rebooted: bool,
    /// Whether making the containers failed for good.
    pub failed: bool,
    /// Whether something seen is not in the record yet.
    pub news: bool,
    /// Whether a container was asked to start and has not answered.
    pub starting: bool,
    /// Whether a container can be started now that was not asked to.
    pub to_start: bool,
    /// Whether a container can never be started.
    pub to_give_up: bool,
    /// Whether the shim was not told of the end, or a container can be asked to stop now that was not.
    pub to_stop: bool,
    /// Whether everything of the task was killed, because its instance is gone.
    pub kill_sent: bool,
    /// Whether network, cgroups or directories of the task may exist.
    pub residue: bool,
}

/// The task's supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shim {
    /// Not looked for yet.
    Unknown,
    /// There never was one.
    Absent,
    Alive,
    /// There was one, or there will be none any more.
    Gone,
}

/// How far the containers are, taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// At least one was not started; no essential one has ended.
    Waiting,
    /// All were started; no essential one has ended.
    Running,
    /// An essential one has ended, others have not.
    Ending,
    Ended,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Wait for something to change.
    Rest,
    /// Look for a shim of an earlier server, or its exit records.
    Connect,
    /// Images, root file systems, network, shim.
    Prepare,
    /// Ask the shim to start the containers whose turn it is.
    Start,
    /// Write that containers can never be started.
    GiveUp,
    /// Write what was seen.
    Record,
    /// Ask the shim to stop the containers whose turn it is.
    Stop,
    /// Kill everything at once.
    Kill,
    /// Remove what is left in the kernel and on disk.
    Release,
    /// Write STOPPED.
    Bury,
}

/// Chooses the step. Calling it twice on the same state gives the same answer.
pub(crate) fn next_step(task: &Task, facts: &Facts) -> Step {
    let leave = || if facts.residue { Step::Release } else { Step::Bury };
    if task.observed.status == TaskStatus::Stopped {
        return if facts.residue { Step::Release } else { Step::Rest };
    }
    if facts.rebooted {
        // Nothing runs any more, but what ended before has its record on disk.
        return if facts.shim == Shim::Unknown { Step::Connect } else { leave() };
    }
    let ending = facts.failed || task.desired.is_stopped() || task.observed.status >= TaskStatus::Deactivating;
    match facts.shim {
        Shim::Unknown => Step::Connect,
        Shim::Absent if ending => leave(),
        Shim::Absent => Step::Prepare,
        Shim::Gone => leave(),
        Shim::Alive if task.desired.is_lost() => lost(facts),
        Shim::Alive => with_shim(facts, ending),
    }
}

fn with_shim(facts: &Facts, ending: bool) -> Step {
    match facts.progress {
        // What ended is written before anything of it is removed.
        Progress::Ended if facts.news => Step::Record,
        Progress::Ended => Step::Release,
        // Stopping comes before writing: each container gets its signal as soon as we know.
        Progress::Waiting | Progress::Running if ending && facts.to_stop => Step::Stop,
        Progress::Ending if facts.to_stop => Step::Stop,
        Progress::Waiting | Progress::Running if !ending && facts.to_start => Step::Start,
        Progress::Waiting | Progress::Running if !ending && facts.to_give_up => Step::GiveUp,
        // Containers that start together are one write.
        Progress::Waiting if !ending && facts.starting => Step::Rest,
        Progress::Waiting | Progress::Running | Progress::Ending if facts.news => Step::Record,
        Progress::Waiting | Progress::Running | Progress::Ending => Step::Rest,
    }
}

/// The machine is gone: it asks nobody and reports nothing.
fn lost(facts: &Facts) -> Step {
    match facts.progress {
        Progress::Ended => Step::Release,
        Progress::Waiting | Progress::Running | Progress::Ending if !facts.kill_sent => Step::Kill,
        Progress::Waiting | Progress::Running | Progress::Ending => Step::Rest,
    }
}

#[cfg(test)]
mod tests {
    use cove_base::Timestamp;
    use cove_model::task::{Desired, StopCode, StopOrder};

    use super::*;
    use crate::resolve::tests::task;

    const STATUSES: [TaskStatus; 8] = [
        TaskStatus::Provisioning,
        TaskStatus::Pending,
        TaskStatus::Activating,
        TaskStatus::Running,
        TaskStatus::Deactivating,
        TaskStatus::Stopping,
        TaskStatus::Deprovisioning,
        TaskStatus::Stopped,
    ];

    /// Every task against every state of knowledge.
    fn every_pair(check: impl Fn(&Task, &Facts, Step)) {
        let order = StopOrder { code: StopCode::UserInitiated, reason: "r".into(), at: Timestamp(1) };
        for (status, desired) in STATUSES.iter().flat_map(|status| {
            let wishes = [Desired::Running, Desired::Stopped(order.clone()), Desired::Lost(order.clone())];
            wishes.map(|desired| (*status, desired))
        }) {
            let mut task = task();
            task.observed.status = status;
            task.desired = desired;
            for bits in 0..512_u16 {
                for shim in [Shim::Unknown, Shim::Absent, Shim::Alive, Shim::Gone] {
                    for progress in [Progress::Waiting, Progress::Running, Progress::Ending, Progress::Ended] {
                        let bit = |n: u16| bits & (1 << n) != 0;
                        let facts = Facts {
                            shim,
                            progress,
                            rebooted: bit(0),
                            failed: bit(1),
                            news: bit(2),
                            to_stop: bit(3),
                            residue: bit(4),
                            kill_sent: bit(5),
                            starting: bit(6),
                            to_start: bit(7),
                            to_give_up: bit(8),
                        };
                        check(&task, &facts, next_step(&task, &facts));
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_is_started_for_a_task_that_should_stop_or_has_ended() {
        every_pair(|task, facts, step| {
            let over = task.desired.is_stopped() || task.observed.status >= TaskStatus::Deactivating;
            if over || facts.failed || facts.rebooted {
                assert!(!matches!(step, Step::Prepare | Step::Start | Step::GiveUp), "{task:?} {facts:?}");
            }
        });
    }

    #[test]
    fn a_task_is_buried_only_when_nothing_of_it_is_left() {
        every_pair(|task, facts, step| {
            if step == Step::Bury {
                assert!(!facts.residue && task.is_live(), "{facts:?}");
            }
        });
    }

    #[test]
    fn what_was_seen_is_written_before_it_is_removed() {
        every_pair(|task, facts, step| {
            let told = facts.shim == Shim::Alive && !task.desired.is_lost();
            if step == Step::Release && told && task.is_live() && !facts.rebooted {
                assert!(!facts.news && facts.progress == Progress::Ended, "{facts:?}");
            }
        });
    }

    #[test]
    fn after_a_boot_exit_records_are_read_before_anything_is_removed() {
        every_pair(|task, facts, step| {
            if facts.rebooted && task.is_live() {
                let wanted =
                    if facts.shim == Shim::Unknown { &[Step::Connect][..] } else { &[Step::Release, Step::Bury] };
                assert!(wanted.contains(&step), "{facts:?}");
            }
        });
    }

    #[test]
    fn a_live_task_rests_only_when_nothing_can_be_asked_and_nothing_is_to_be_written() {
        every_pair(|task, facts, step| {
            if step == Step::Rest && task.is_live() && !task.desired.is_lost() {
                let over = task.desired.is_stopped() || task.observed.status >= TaskStatus::Deactivating;
                let ending = over || facts.failed || facts.progress == Progress::Ending;
                let asks = if ending { facts.to_stop } else { facts.to_start || facts.to_give_up };
                let writes = facts.news && !(facts.starting && facts.progress == Progress::Waiting && !ending);
                assert!(facts.shim == Shim::Alive && !asks && !writes, "{facts:?}");
            }
        });
    }

    #[test]
    fn nobody_is_asked_to_stop_while_the_task_should_run_and_its_essential_containers_do() {
        every_pair(|task, facts, step| {
            if step == Step::Stop {
                let over = task.desired.is_stopped() || task.observed.status >= TaskStatus::Deactivating;
                assert!(over || facts.failed || facts.progress == Progress::Ending, "{facts:?}");
            }
        });
    }

    #[test]
    fn a_lost_task_is_killed_never_asked_and_never_recorded() {
        every_pair(|task, facts, step| {
            if task.desired.is_lost() && task.is_live() {
                assert!(
                    !matches!(step, Step::Start | Step::GiveUp | Step::Prepare | Step::Stop | Step::Record),
                    "{facts:?}"
                );
                let waits = facts.kill_sent && facts.progress != Progress::Ended;
                assert!(step != Step::Rest || waits, "{facts:?}");
            }
        });
    }
}
