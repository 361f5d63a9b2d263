//! Availability Zone rebalancing: when a service at rest has two tasks more in one zone than in another, a task comes in
//! the emptiest zone and, once it is healthy, one goes in the fullest.
//!
//! ```text
//! steady, uneven ─▶ Rebalancing ─▶ start in the emptiest ─▶ healthy ─▶ stop in the fullest ─▶ even: it is over
//! ```
//!
//! Holds: new tasks come first and only as far as maximumPercent has room; protected tasks stay and those of a strategy's
//! base, and nothing is started for them; a deployment or another desired count ends it, and what is then too much goes as in any scaling in.
//! Why it is remembered: a task too many means something else while one is being moved.

use std::collections::BTreeMap;

use cove_model::service::{Rebalancing, RolloutState, SchedulingStrategy};

use super::base::Spare;
use super::view::TaskView;
use super::worth::least_worth_first;
use super::{Decider, On, Stop, count, message};

impl<'a> Decider<'a> {
    /// Whether tasks are being moved to other zones.
    pub(super) fn is_rebalancing(&self) -> bool {
        let service = &self.out.service;
        let goes_on = |it: &Rebalancing| {
            let primary = service.deployments.first();
            it.desired_count == service.desired_count && primary.is_some_and(|primary| primary.id == it.deployment)
        };
        self.may_rebalance() && service.rebalancing.as_ref().is_some_and(goes_on)
    }

    fn may_rebalance(&self) -> bool {
        let service = &self.out.service;
        let is_complete = |rollout| rollout == RolloutState::Completed;
        service.rebalances_zones
            && service.scheduling == SchedulingStrategy::Replica
            && service.deployments.len() == 1
            && service.deployments.iter().all(|it| is_complete(it.rollout))
    }

    /// Tasks that came elsewhere are healthy: as many go, from the zones that have most.
    pub(super) fn leave_full_zones(&mut self, desired: u32, minimum: u32) {
        let mut zones = self.zones();
        let healthy: Vec<&TaskView> = self.current().filter(|task| task.is_healthy()).collect();
        let surplus = count(healthy.iter().copied()).saturating_sub(desired.max(minimum));
        let reason = self.primary().map(|primary| message::scaled(&primary.id)).unwrap_or_default();
        let of_base = Spare::none(self.state.base.as_ref());
        for task in least_worth_first(&healthy, self.state.now, &of_base).take(surplus as usize) {
            let fewest = zones.values().copied().min().unwrap_or(0);
            match zones.get_mut(task.zone()) {
                // Those of the fullest zone are protected.
                Some(here) if *here <= fewest => return,
                Some(here) => *here -= 1,
                None => {}
            }
            let rebalances = Some(task.zone().to_owned());
            self.stopped.insert(task.id().to_owned());
            self.out.stop.push(Stop { task_id: task.id().to_owned(), reason: reason.clone(), rebalances });
        }
    }

    /// Last of all: begins, goes on, or finds that it is done.
    pub(super) fn balance(&mut self) {
        if !self.is_rebalancing() {
            self.out.service.rebalancing = None;
        }
        // Something else has to be done first, or is on its way.
        if !self.may_rebalance() || !self.out.service.is_steady || !self.out.stop.is_empty() {
            return;
        }
        let zones = self.zones();
        let moves = self.moves(zones.clone());
        let is_even = difference(&zones) < 2;
        match (&self.out.service.rebalancing, is_even) {
            (None, true) => return,
            (Some(_), true) => {
                let text = message::balanced(&self.out.service, &zones);
                self.out.service.rebalancing = None;
                return self.tell(text);
            }
            (None, false) if moves.is_empty() => return,
            (None, false) => {
                let text = message::unbalanced(&self.out.service, &zones);
                let deployment = self.primary().map(|primary| primary.id.clone()).unwrap_or_default();
                let desired_count = self.out.service.desired_count;
                self.out.service.rebalancing = Some(Rebalancing { desired_count, deployment });
                self.tell(text);
            }
            (Some(_), false) => {}
        }
        if self.may_start() {
            for (zone, number) in moves {
                self.start(On::Zone(zone, number));
            }
        }
    }

    /// How many tasks each zone has that tasks could come to.
    fn zones(&self) -> BTreeMap<&'a str, u32> {
        let mut zones: BTreeMap<&str, u32> = self.state.zones.iter().map(|zone| (zone.as_str(), 0)).collect();
        for task in self.current() {
            if let Some(here) = zones.get_mut(task.zone()) {
                *here += 1;
            }
        }
        zones
    }

    /// How many tasks are to come in each zone: as long as a zone has two more than another, and one of them may go.
    fn moves(&self, mut zones: BTreeMap<&'a str, u32>) -> BTreeMap<String, u32> {
        let service = &self.out.service;
        let room = service.configuration.maximum(service.desired_count).saturating_sub(self.occupying());
        let mut movable: BTreeMap<&str, u32> = BTreeMap::new();
        let of_base = Spare::none(self.state.base.as_ref());
        let stays = |task: &TaskView| task.is_protected(self.state.now) || of_base.is_of_base(task);
        for task in self.current().filter(|task| task.is_healthy() && !stays(task)) {
            *movable.entry(task.zone()).or_default() += 1;
        }
        let mut moves = BTreeMap::new();
        for _ in 0..room {
            let may_leave = |zone: &str| movable.get(zone).is_some_and(|left| *left > 0);
            let fullest = zones.iter().filter(|(zone, _)| may_leave(zone)).max_by_key(|(_, here)| **here);
            let emptiest = zones.iter().min_by_key(|(_, here)| **here);
            let (Some((&from, most)), Some((&to, fewest))) = (fullest, emptiest) else { break };
            if *most < fewest + 2 {
                break;
            }
            zones.entry(from).and_modify(|here| *here -= 1);
            movable.entry(from).and_modify(|left| *left -= 1);
            zones.entry(to).and_modify(|here| *here += 1);
            *moves.entry(to.to_owned()).or_default() += 1;
        }
        moves
    }
}

/// By how many tasks the fullest zone exceeds the emptiest.
fn difference(zones: &BTreeMap<&str, u32>) -> u32 {
    zones.values().max().unwrap_or(&0) - zones.values().min().unwrap_or(&0)
}
