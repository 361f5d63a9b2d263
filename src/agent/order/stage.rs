//! Where each container is, from the record and from what the shim said.

use cove_base::Timestamp;
use cove_model::task::{Container, ContainerState, Health, Task, TaskStatus};
use cove_shim::protocol::Phase;

use super::graph::Graph;
use super::restart::RestartPolicy;
use crate::observe::Said;

/// Where a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Not started yet.
    Waiting,
    /// It will never be started: the record says so.
    GivenUp,
    Running {
        since: Timestamp,
        health: Option<Health>,
    },
    /// It ended and is to be started again, as this attempt.
    Between {
        attempt: u32,
        exit_code: Option<i32>,
    },
    Ended {
        exit_code: Option<i32>,
        has_run: bool,
    },
}

impl Stage {
    pub(crate) const fn is_over(self) -> bool {
        match self {
            Self::GivenUp | Self::Ended { .. } => true,
            Self::Waiting | Self::Running { .. } | Self::Between { .. } => false,
        }
    }
}

/// Of every container, by its place in the record. Nothing starts again once the task is on its way down, or when its
/// shim is gone.
pub(crate) fn stages(task: &Task, said: &Said, graph: &Graph) -> Vec<Stage> {
    let goes_on = said.alive && !task.desired.is_stopped() && task.observed.status < TaskStatus::Deactivating;
    let of = |(at, container): (usize, &Container)| {
        let policy = graph.nodes.get(at).and_then(|node| node.restart.as_ref()).filter(|_| goes_on);
        stage(container, said, policy)
    };
    let mut stages: Vec<Stage> = task.containers.iter().enumerate().map(of).collect();
    let is_essential_over = |(stage, container): (&Stage, &Container)| container.essential && stage.is_over();
    if stages.iter().zip(&task.containers).any(is_essential_over) {
        for (stage, container) in stages.iter_mut().zip(&task.containers) {
            if let Stage::Between { exit_code, .. } = *stage
                && !said.is_starting(container)
            {
                *stage = Stage::Ended { exit_code, has_run: true };
            }
        }
    }
    stages
}

fn stage(container: &Container, said: &Said, policy: Option<&RestartPolicy>) -> Stage {
    let seen = &container.seen;
    let is_given_up = seen.state == ContainerState::Stopped && seen.started_at.is_none();
    let Some(state) = said.of(container) else { return if is_given_up { Stage::GivenUp } else { Stage::Waiting } };
    match &state.phase {
        Phase::Waiting if is_given_up => Stage::GivenUp,
        Phase::Waiting => Stage::Waiting,
        Phase::Running { started_at, .. } => Stage::Running { since: *started_at, health: state.health },
        // It may run by now, whatever became of the task since it was asked.
        Phase::Exited(record) if said.is_starting(container) => {
            Stage::Between { attempt: record.attempt + 1, exit_code: record.exit_code }
        }
        Phase::Exited(record) => match policy.filter(|policy| policy.wants(record)) {
            Some(_) => Stage::Between { attempt: record.attempt + 1, exit_code: record.exit_code },
            None => Stage::Ended { exit_code: record.exit_code, has_run: record.started_at.is_some() },
        },
    }
}
