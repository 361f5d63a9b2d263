//! DAEMON services: one task on each instance that meets the constraints.
//!
//! An instance that drains keeps its daemon until all other tasks have left it. In a deployment the old task of an instance
//! leaves before the new one comes, unless maximumPercent has room for both. What is ACTIVE and has become another than the
//! constraints ask for loses its daemon.

use std::collections::{HashMap, HashSet};

use super::view::{Condition, TaskView};
use super::{Decider, InstanceView, On, count, message};
use cove_model::service::RolloutState;

impl<'a> Decider<'a> {
    /// Starts and stops tasks of a DAEMON service.
    pub(super) fn roll_daemon(&mut self) {
        if self.out.service.deployments.is_empty() {
            return;
        }
        let state = self.state;
        let eligible: Vec<&InstanceView> = state.instances.iter().filter(|it| it.is_eligible).collect();
        let desired = u32::try_from(eligible.len()).unwrap_or(u32::MAX);
        self.out.service.desired_count = desired;
        self.leave_others(&eligible);
        let configuration = &self.out.service.configuration;
        let (minimum, maximum) = (configuration.minimum(desired), configuration.maximum(desired));
        // Those on other instances are on their way out: they stand for none of the daemons that are wanted.
        let ids: HashSet<&str> = eligible.iter().map(|it| &*it.id).collect();
        let is_here = |task: &&TaskView| task.instance().is_some_and(|id| ids.contains(id));
        let tasks = Tasks::of(&state.tasks);
        // Two on one instance stand for one daemon.
        let is_served = |it: &&&InstanceView| self.on(&tasks, &it.id).any(TaskView::is_healthy);
        let healthy = u32::try_from(eligible.iter().filter(is_served).count()).unwrap_or(u32::MAX);
        let occupying = count(state.tasks.iter().filter(is_here).filter(|task| task.is_running_or_pending));
        let mut spare = healthy.saturating_sub(minimum);
        let mut room = maximum.saturating_sub(occupying);
        let may_start = self.may_start();
        let failed = self.primary().is_none_or(|primary| primary.rollout == RolloutState::Failed);
        let mut begin = Vec::new();
        for instance in eligible {
            let here: Vec<&TaskView> = self.on(&tasks, &instance.id).collect();
            let (mut current, outgoing): (Vec<&TaskView>, Vec<&TaskView>) =
                here.into_iter().partition(|task| self.is_primary(task) && task.condition != Condition::Unhealthy);
            // One that was ill and is well again beside its replacement: who is well stays.
            current.sort_by_key(|task| (!task.is_healthy(), task.created_at));
            let settled = current.iter().any(|task| task.is_healthy());
            if current.is_empty() && may_start && room > 0 && (outgoing.is_empty() || maximum > desired) {
                room -= 1;
                begin.push(instance.id.clone());
            }
            for surplus in current.into_iter().skip(1) {
                self.let_daemon_go(surplus, &mut spare, true);
            }
            let stands_in_the_way = may_start && maximum <= desired;
            if !failed && (settled || stands_in_the_way) {
                for task in outgoing {
                    let is_replaced =
                        self.on(&tasks, &instance.id).any(|other| other.is_healthy() && other.id() != task.id());
                    self.let_daemon_go(task, &mut spare, is_replaced);
                }
            }
        }
        if !begin.is_empty() {
            self.start(On::Instances(begin));
        }
    }

    /// Those that nobody has asked to stop, in this decision neither.
    fn on<'b>(&'b self, tasks: &'b Tasks<'a>, instance: &str) -> impl Iterator<Item = &'a TaskView> + 'b {
        tasks.on(instance).iter().copied().filter(|task| self.is_staying(task))
    }

    /// One that is healthy counts against what may be spared, unless another one has taken its place.
    fn let_daemon_go(&mut self, task: &TaskView, spare: &mut u32, is_replaced: bool) {
        if task.is_protected(self.state.now) {
            return;
        }
        if task.is_healthy() && !is_replaced {
            let Some(left) = spare.checked_sub(1) else { return };
            *spare = left;
        }
        let reason = match task.condition {
            Condition::Unhealthy => message::UNHEALTHY.to_owned(),
            Condition::Healthy | Condition::Starting { .. } => {
                self.primary().map(|primary| message::scaled(&primary.id)).unwrap_or_default()
            }
        };
        self.stop(task, reason);
    }

    /// Tasks on instances that are not the service's: a draining one keeps its daemon while others are there.
    fn leave_others(&mut self, eligible: &[&InstanceView]) {
        let waits = |it: &&InstanceView| it.is_draining && it.others > 0;
        let waiting = self.state.instances.iter().filter(waits);
        let stay: HashSet<&str> = eligible.iter().copied().chain(waiting).map(|it| &*it.id).collect();
        let strangers: Vec<&TaskView> =
            self.staying().filter(|task| !stay.contains(task.instance().unwrap_or_default())).collect();
        let active: HashSet<&str> =
            self.state.instances.iter().filter(|it| !it.is_draining).map(|it| &*it.id).collect();
        for task in strangers {
            let mut without_limit = u32::MAX;
            self.let_daemon_go(task, &mut without_limit, false);
            let id = task.instance().filter(|id| active.contains(id) && !self.is_staying(task));
            self.out.violated.extend(id.map(str::to_owned));
        }
    }
}

/// Tasks by their instance.
pub(crate) struct Tasks<'a>(HashMap<&'a str, Vec<&'a TaskView>>);

impl<'a> Tasks<'a> {
    pub(crate) fn of(tasks: &'a [TaskView]) -> Self {
        let mut all: HashMap<&str, Vec<&TaskView>> = HashMap::new();
        for task in tasks {
            all.entry(task.instance().unwrap_or_default()).or_default().push(task);
        }
        Self(all)
    }

    pub(crate) fn on(&self, instance: &str) -> &[&'a TaskView] {
        self.0.get(instance).map(Vec::as_slice).unwrap_or_default()
    }
}
