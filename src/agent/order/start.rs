//! Whom to start, whom to give up, and when to look again.

use cove_base::Timestamp;
use cove_model::task::{Container, ContainerState, Health, Task};

use super::graph::{Graph, Need, Until};
use super::stage::Stage;

/// What the agent reports as the exit code of a container that it gives up: as if it had got SIGTERM.
pub(crate) const GIVEN_UP_EXIT: i32 = 143;

/// What to do about the containers that do not run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Starts {
    /// Place and attempt.
    pub(crate) now: Vec<(usize, u32)>,
    pub(crate) never: Vec<(usize, Refusal)>,
    /// Time alone may decide something then.
    pub(crate) look_again_at: Option<Timestamp>,
}

/// Why a container can never be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(super) on: usize,
    pub(super) why: Why,
}

/// What is wrong with the container that is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    TimedOut,
    Failed,
    NeverStarts,
    NeverHealthy,
}

/// Whether one need is met.
enum Verdict {
    Met,
    /// Never after that moment, if there is one.
    NotYet(Option<Timestamp>),
    Never(Why),
}

/// Chooses. Twice on the same state gives the same answer.
pub(crate) fn starts(graph: &Graph, stages: &[Stage], now: Timestamp) -> Starts {
    let mut starts = Starts::default();
    // Whether all that a container needs is there; whoever it needs comes before it.
    let mut ready = vec![false; stages.len()];
    for at in graph.sorted.iter().copied().filter(|at| *at < stages.len()) {
        let verdicts = graph.nodes[at].needs.iter().map(|need| (need.on, verdict(graph, stages, &ready, *need, now)));
        let mut refusal = None;
        let mut is_ready = true;
        let mut deadline = None;
        for (on, verdict) in verdicts {
            match verdict {
                Verdict::Met => {}
                Verdict::NotYet(until) => {
                    is_ready = false;
                    deadline = earlier(deadline, until);
                }
                Verdict::Never(why) => {
                    is_ready = false;
                    refusal = refusal.or(Some(Refusal { on, why }));
                }
            }
        }
        ready[at] = is_ready;
        match (stages[at], refusal) {
            (Stage::Waiting, Some(refusal)) => starts.never.push((at, refusal)),
            (Stage::Waiting, None) if is_ready => starts.now.push((at, 0)),
            (Stage::Waiting, None) => starts.look_again_at = earlier(starts.look_again_at, deadline),
            // Needs are confirmed when a task starts; a restart asks for none.
            (Stage::Between { attempt, .. }, _) => starts.now.push((at, attempt)),
            (Stage::GivenUp | Stage::Running { .. } | Stage::Ended { .. }, _) => {}
        }
    }
    starts
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    [one, other].into_iter().flatten().min()
}

fn verdict(graph: &Graph, stages: &[Stage], ready: &[bool], need: Need, now: Timestamp) -> Verdict {
    use Until::{Complete, Created, Healthy, Started, Success};
    match (need.until, stages[need.on]) {
        (_, Stage::GivenUp | Stage::Ended { has_run: false, .. }) => Verdict::Never(Why::NeverStarts),
        (Created, Stage::Waiting) if ready[need.on] => Verdict::Met,
        (Created | Started | Complete | Success | Healthy, Stage::Waiting) => Verdict::NotYet(None),
        (Created | Started, Stage::Running { .. } | Stage::Between { .. } | Stage::Ended { .. }) => Verdict::Met,
        (Healthy, Stage::Running { health: Some(Health::Healthy), .. }) => Verdict::Met,
        (Complete | Success | Healthy, Stage::Running { since, .. }) => wait(graph, need.on, since, now),
        (Complete | Success | Healthy, Stage::Between { .. }) => Verdict::NotYet(None),
        (Complete, Stage::Ended { .. }) | (Success, Stage::Ended { exit_code: Some(0), .. }) => Verdict::Met,
        (Success, Stage::Ended { .. }) => Verdict::Never(Why::Failed),
        (Healthy, Stage::Ended { .. }) => Verdict::Never(Why::NeverHealthy),
    }
}

/// `startTimeout` of the needed container counts from its own start.
fn wait(graph: &Graph, on: usize, since: Timestamp, now: Timestamp) -> Verdict {
    match graph.nodes[on].start_timeout_secs.map(|secs| since.plus_millis(i64::from(secs) * 1000)) {
        Some(until) if now > until => Verdict::Never(Why::TimedOut),
        // A millisecond later, or nothing would be decided at that moment.
        until => Verdict::NotYet(until.map(|until| until.plus_millis(1))),
    }
}

impl Refusal {
    /// The agent's words about the container at this place.
    pub(crate) fn reason(self, task: &Task, target: usize) -> String {
        let (on, target) = (describe(&task.containers[self.on]), describe(&task.containers[target]));
        let start = "CannotStartContainerError: dependency graph:";
        match self.why {
            Why::TimedOut => {
                format!("{start} container ordering dependency [{on}] for target [{target}] has timed out.")
            }
            Why::Failed => format!(
                "{start} failed to resolve container ordering dependency [{on}] for target [{target}] as dependency did not exit successfully."
            ),
            Why::NeverStarts => format!(
                "{start} failed to resolve container ordering dependency [{on}] for target [{target}] because dependency will never start"
            ),
            Why::NeverHealthy => format!(
                "{start} failed to resolve container ordering dependency [{on}] for target [{target}] because dependency will never be healthy"
            ),
        }
    }
}

/// A container as the agent prints it.
fn describe(container: &Container) -> String {
    let known = match container.seen.state {
        ContainerState::Pending | ContainerState::Pulled => "NONE",
        ContainerState::Running => "RUNNING",
        ContainerState::Stopped => "STOPPED",
    };
    let exit = container.seen.exit_code.map(|code| format!(" - Exit: {code}")).unwrap_or_default();
    format!("{}({}) ({known}->RUNNING){exit}", container.name, container.image)
}
