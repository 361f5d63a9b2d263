//! The base of a capacity provider strategy, when there are too many tasks.
//!
//! Holds: a service that has tasks to spare keeps those that are its base: AWS says of it how many tasks are to run on the
//! provider "at a minimum". Why weights are not looked at: by AWS's words they divide the tasks that are launched
//! (CapacityProviderStrategyItem), and who goes is chosen so that the zones stay even (Developer Guide, "Use strategies to
//! define Amazon ECS task placement"). So tasks of the base are not moved between zones either, as their successors would
//! be divided by weight.

use super::view::TaskView;

/// A strategy's base, of several providers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    pub provider: String,
    pub tasks: u32,
}

impl Base {
    /// Whether the task is on its provider.
    pub(super) fn has(&self, task: &TaskView) -> bool {
        task.task.placement.capacity_provider.as_ref() == Some(&self.provider)
    }
}

/// How many tasks of the base's provider may go.
pub(super) struct Spare<'a> {
    base: Option<&'a Base>,
    pub(super) left: usize,
}

impl<'a> Spare<'a> {
    /// `wanted`: how many tasks are to stay of all.
    pub(super) fn of(base: Option<&'a Base>, tasks: &[&TaskView], wanted: u32) -> Self {
        let there = base.map_or(0, |base| tasks.iter().filter(|task| base.has(task)).count());
        let kept = base.map_or(0, |base| base.tasks.min(wanted)) as usize;
        Self { base, left: there.saturating_sub(kept) }
    }

    /// None at all.
    pub(super) const fn none(base: Option<&'a Base>) -> Self {
        Self { base, left: 0 }
    }

    pub(super) fn is_of_base(&self, task: &TaskView) -> bool {
        self.base.is_some_and(|base| base.has(task))
    }
}
