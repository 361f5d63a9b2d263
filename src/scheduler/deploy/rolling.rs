//! REPLICA services: keep so many tasks of the primary deployment, and let go of the others as they are replaced.
//!
//! A task is *current* when it belongs to the primary deployment, does not fail its health checks and its instance stays;
//! all others are *outgoing*. Replacements come first as far as maximumPercent has room; where it has none, outgoing
//! tasks make room as far as minimumHealthyPercent allows.

use super::base::Spare;
use super::stages::Kept;
use super::view::{Condition, TaskView};
use super::worth::least_worth_first;
use super::{Decider, On, count, message};
use cove_model::service::{LifecycleStage, RolloutState};

impl<'a> Decider<'a> {
    /// Starts and stops tasks of a REPLICA service.
    pub(super) fn roll(&mut self) {
        let service = &self.out.service;
        if service.deployments.is_empty() {
            return;
        }
        let desired = service.desired_count;
        let (minimum, mut maximum) = (service.configuration.minimum(desired), service.configuration.maximum(desired));
        let hold = self.holds_old_revision();
        if hold.is_some() {
            // Two environments at once is what these strategies are about.
            maximum = maximum.max(desired.saturating_mul(2));
        }
        let mut room = maximum.saturating_sub(self.occupying());
        let mut missing = 0;
        if hold.is_some() {
            let (old, starts) = self.keep_old(&Kept { desired, minimum, room });
            (missing, room) = (old, room - starts);
        }
        let is_before = matches!(hold, Some(LifecycleStage::PreScaleUp | LifecycleStage::ReconcileService));
        if is_before {
            if missing == 0 || room == 0 || self.is_stuck() {
                self.leave_while_kept(minimum);
            }
            return;
        }
        if self.is_rebalancing() {
            self.leave_full_zones(desired, minimum);
        } else {
            self.scale_in(desired, minimum);
        }
        let current = count(self.current());
        let short = desired.saturating_sub(current);
        if short > 0 && self.may_start() {
            let number = short.min(room);
            if number > 0 {
                self.start(On::Anywhere(number));
            }
        }
        let bounds = Bounds { desired, minimum, short, room, waiting: self.waiting() };
        let made_room = self.let_ill_go(&bounds, hold.is_some());
        if hold.is_none() {
            self.let_well_go(&bounds, made_room);
        } else if missing + short == 0 || room <= short || self.is_stuck() {
            self.leave_while_kept(minimum);
        }
    }

    pub(super) fn current(&self) -> impl Iterator<Item = &'a TaskView> + '_ {
        self.staying().filter(|task| self.is_current(task))
    }

    fn is_current(&self, task: &TaskView) -> bool {
        self.is_primary(task) && !task.is_on_draining && task.condition != Condition::Unhealthy
    }

    /// More tasks of the primary than are wanted: those go first that are least worth.
    fn scale_in(&mut self, desired: u32, minimum: u32) {
        let current: Vec<&TaskView> = self.current().collect();
        let surplus = current.len().saturating_sub(desired as usize);
        if surplus == 0 {
            return;
        }
        let now = self.state.now;
        // Those that are not up may be protected: then healthy ones are chosen, and the minimum counts.
        let mut spare = count(self.staying().filter(|task| task.is_healthy())).saturating_sub(minimum);
        let mut chosen = Vec::new();
        let of_base = Spare::of(self.state.base.as_ref(), &current, desired);
        for next in least_worth_first(&current, now, &of_base).take(surplus) {
            if next.is_healthy() {
                let Some(left) = spare.checked_sub(1) else { break };
                spare = left;
            }
            chosen.push(next);
        }
        let reason = self.primary().map(|primary| message::scaled(&primary.id)).unwrap_or_default();
        for task in chosen {
            self.stop(task, reason.clone());
        }
    }

    fn has_failed(&self) -> bool {
        self.primary().is_none_or(|primary| primary.rollout == RolloutState::Failed)
    }

    fn outgoing(&self) -> Vec<&'a TaskView> {
        let now = self.state.now;
        self.staying().filter(|task| !self.is_current(task) && !task.is_protected(now)).collect()
    }

    /// What is not healthy protects nobody: old tasks that have not come up go at once, failing ones when they are
    /// replaced or stand in the way. How many went.
    fn let_ill_go(&mut self, bounds: &Bounds, primary_only: bool) -> u32 {
        let has_failed = self.has_failed();
        let is_replaced = bounds.short == 0 && self.current().all(TaskView::is_healthy);
        let mut made_room = 0;
        for task in self.outgoing().into_iter().filter(|task| !task.is_healthy()) {
            let is_failing = task.condition == Condition::Unhealthy;
            let goes = if is_failing {
                is_replaced || made_room < bounds.in_the_way(self.found_no_room())
            } else {
                !has_failed
            };
            if goes && (self.is_primary(task) || !primary_only) {
                made_room += 1;
                let reason = if is_failing { message::UNHEALTHY.to_owned() } else { self.scaling_reason() };
                self.stop(task, reason);
            }
        }
        made_room
    }

    /// Healthy ones go as they are replaced, or to make room as far as the minimum allows.
    fn let_well_go(&mut self, bounds: &Bounds, made_room: u32) {
        if self.has_failed() {
            return;
        }
        let mut well: Vec<&TaskView> = self.outgoing().into_iter().filter(|task| task.is_healthy()).collect();
        let healthy = count(self.staying().filter(|task| task.is_healthy()));
        let spare = healthy.saturating_sub(bounds.minimum);
        let replaced = healthy.saturating_sub(bounds.desired);
        let in_the_way = bounds.in_the_way(self.found_no_room()).saturating_sub(made_room);
        let number = spare.min(replaced.max(in_the_way));
        if in_the_way > 0 && number == 0 && bounds.room == 0 && !well.is_empty() && self.is_at_rest() {
            let text = message::blocked(&self.out.service);
            self.complain(text);
        }
        well.sort_by_key(|task| (!task.is_on_draining, task.created_at));
        for task in well.into_iter().take(number as usize) {
            let reason = self.scaling_reason();
            self.stop(task, reason);
        }
    }

    /// Whether the last attempt to place a task found no room.
    fn found_no_room(&self) -> bool {
        self.state.service.trouble.is_some()
    }

    fn is_stuck(&self) -> bool {
        self.found_no_room() || self.waiting() > 0
    }

    /// How many of the current tasks wait for an instance that nobody is about to make room on.
    fn waiting(&self) -> u32 {
        let leaving = count(self.state.tasks.iter().filter(|task| !task.is_wanted));
        count(self.current().filter(|task| task.is_waiting)).saturating_sub(leaving)
    }

    /// Whether nothing is on its way that could change what there is.
    fn is_at_rest(&self) -> bool {
        self.state.tasks.iter().all(|task| task.is_wanted && !matches!(task.condition, Condition::Starting { .. }))
    }

    fn scaling_reason(&self) -> String {
        self.primary().map(|primary| message::scaled(&primary.id)).unwrap_or_default()
    }
}

/// What a REPLICA service must keep to.
struct Bounds {
    desired: u32,
    minimum: u32,
    /// Tasks of the primary that are missing,
    short: u32,
    /// how many may be started as things are,
    room: u32,
    /// and how many are started and have no place.
    waiting: u32,
}

impl Bounds {
    /// How many tasks must leave before all that are missing can be started, and have a place.
    fn in_the_way(&self, found_no_room: bool) -> u32 {
        let missing = if found_no_room { self.short } else { self.short.saturating_sub(self.room) };
        missing + self.waiting
    }
}
