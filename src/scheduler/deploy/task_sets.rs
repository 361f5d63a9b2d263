//! EXTERNAL services: each task set has its share of the desired count; who deploys moves the shares.
//!
//! Holds: sets do not know of one another: percentages of deployments are not theirs to keep.

use std::collections::HashSet;

use cove_model::service::{TaskSet, TaskSetStatus};

use super::base::Spare;
use super::view::{Condition, TaskView};
use super::worth::least_worth_first;
use super::{Decider, On, Start, message};

impl<'a> Decider<'a> {
    /// Starts and stops tasks of each set, and notes which are steady or gone.
    pub(super) fn keep_task_sets(&mut self) {
        let sets = self.out.task_sets.clone();
        let mut kept = Vec::with_capacity(sets.len());
        for mut set in sets {
            let is_steady = self.keep_set(&set);
            if set.is_steady != is_steady {
                set.is_steady = is_steady;
                set.stability_at = self.state.now;
            }
            let is_gone = set.status == TaskSetStatus::Draining
                && !self.state.tasks.iter().any(|task| *task.deployment == *set.id);
            if !is_gone {
                kept.push(set);
            }
        }
        self.out.task_sets = kept;
        self.wake_when_settled();
    }

    /// Whether nothing is left to do for it.
    fn keep_set(&mut self, set: &TaskSet) -> bool {
        let desired = set.computed_desired_count(self.out.service.desired_count) as usize;
        let (mut current, outgoing): (Vec<&'a TaskView>, Vec<&'a TaskView>) = self
            .staying()
            .filter(|task| *task.deployment == *set.id)
            .partition(|task| task.condition != Condition::Unhealthy && !task.is_on_draining);
        let now = self.state.now;
        let too_many = current.len().saturating_sub(desired);
        let surplus: Vec<&TaskView> = least_worth_first(&current, now, &Spare::none(None)).take(too_many).collect();
        let leaving: HashSet<&str> = surplus.iter().map(|task| task.id()).collect();
        current.retain(|task| !leaving.contains(task.id()));
        let is_whole = current.len() == desired && current.iter().all(|task| task.is_healthy());
        let is_steady = is_whole && outgoing.is_empty() && surplus.is_empty();
        for task in surplus {
            self.stop(task, message::scaled(&set.id));
        }
        // Replacements come first, but of what has not begun on an instance that drains.
        let may_go = |task: &&TaskView| is_whole || task.is_on_draining && task.started_at.is_none();
        for task in outgoing.into_iter().filter(may_go).filter(|task| !task.is_protected(now)) {
            let is_failing = task.condition == Condition::Unhealthy;
            let reason = if is_failing { message::UNHEALTHY.to_owned() } else { message::scaled(&set.id) };
            self.stop(task, reason);
        }
        let short = desired.saturating_sub(current.len());
        if short > 0 && self.pause_is_over(&set.id) {
            let on = On::Anywhere(u32::try_from(short).unwrap_or(u32::MAX));
            let (deployment, revision) = (set.id.clone(), set.revision.clone());
            self.out.start.push(Start { deployment, revision, on });
        }
        is_steady
    }
}
