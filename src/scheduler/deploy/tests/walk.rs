//! Walks one REPLICA service through random days in virtual time: scaling, updates, failing tasks, late agents, crashes.
//!
//! In: a seed, perhaps a [`Bug`]. Out: what was broken, if anything. `COVE_SIM_SEED=N` replays one seed.

use super::*;

const SEEDS: u64 = 10_000;
/// A seeded bug must show within so many.
const SEEDS_TO_CATCH: u64 = 1000;
const STEPS: u32 = 60;
const QUIET_ROUNDS: u32 = 60;
const MINUTE_MILLIS: i64 = 60_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    MinimumRoundedDown,
    StoppingCountsAsHealthy,
    StartsTwice,
    NeverCompletes,
    EndingTaskTakesNoRoom,
    OrderLost,
    StopsProtected,
    CountsTwice,
}

struct Walk {
    state: State,
    bug: Option<Bug>,
    random: u64,
    next_id: u32,
}

impl Walk {
    fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut walk = Self { state: state(3, 50, 100, Vec::new()), bug, random: seed, next_id: 1 };
        let bounds = [(50, 100), (100, 200), (0, 100)][walk.below(3)];
        walk.state.service.configuration.minimum_healthy_percent = Some(bounds.0);
        walk.state.service.configuration.maximum_percent = Some(bounds.1);
        // Of half of those that can.
        walk.state.service.rebalances_zones = bounds.1 > 100 && walk.below(2) == 0;
        walk.state.zones = ["a", "b", "c"].map(String::from).to_vec();
        walk.update();
        walk
    }

    fn below(&mut self, limit: usize) -> usize {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.random >> 33).unwrap() % limit
    }

    fn update(&mut self) {
        let revision = format!("r{}", self.id());
        let new = deployment(&format!("ecs-svc/{revision}"), &revision, RolloutState::InProgress);
        self.state.service.deployments.insert(0, new);
        self.state.rollouts = vec![rollout(&revision)];
        self.state.service.is_steady = false;
    }

    fn id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id
    }

    fn step(&mut self) -> Result<(), String> {
        match self.below(11) {
            0 => self.state.service.desired_count = u32::try_from(2 + self.below(5)).unwrap(),
            1 => self.update(),
            2 | 3 => self.state.now = self.state.now.plus_millis(20_000),
            4..=6 => self.agent_moves_one(),
            // The server dies between the decision and its commit.
            7 => drop(decide(&self.seen())),
            8 => self.protect_one(),
            _ => return self.decide(),
        }
        Ok(())
    }

    fn protect_one(&mut self) {
        let (chosen, until) = (self.below(8), self.state.now.plus_millis(5 * MINUTE_MILLIS));
        if let Some(task) = self.state.tasks.get_mut(chosen) {
            task.protected_until = Some(until);
        }
    }

    fn agent_moves_one(&mut self) {
        if self.state.tasks.is_empty() {
            return;
        }
        let at = self.below(self.state.tasks.len());
        let dies = self.below(6) == 0;
        self.advance(at, dies);
    }

    /// The agent's next notice of a task. Whether the task is still there.
    fn advance(&mut self, at: usize, dies: bool) -> bool {
        let now = self.state.now;
        let task = &mut self.state.tasks[at];
        if !task.is_wanted && task.is_running_or_pending {
            task.is_running_or_pending = false;
        } else if dies || !task.is_wanted {
            let ended = Departed {
                started_at: task.started_at,
                was_ordered: !task.is_wanted,
                stopped_at: now,
                ..failed(&task.id, &task.deployment)
            };
            self.state.departed.push(ended);
            self.state.tasks.remove(at);
            return false;
        } else if task.started_at.is_none() {
            task.started_at = Some(now);
        } else {
            task.condition = Condition::Healthy;
        }
        true
    }

    /// What the decision is shown; a bug shows something else.
    fn seen(&self) -> State {
        let mut seen = self.state.clone();
        let desired = i32::try_from(seen.service.desired_count).unwrap();
        let minimum = &mut seen.service.configuration.minimum_healthy_percent;
        match self.bug {
            Some(Bug::MinimumRoundedDown) => *minimum = minimum.map(|it| desired * it / 100 * 100 / desired),
            // What it does to the sums: so many healthy ones more may go.
            Some(Bug::StoppingCountsAsHealthy) => {
                let stopping = self.state.tasks.iter().filter(|it| !it.is_wanted && it.condition == Condition::Healthy);
                let stopping = i32::try_from(stopping.count()).unwrap();
                *minimum = minimum.map(|it| ((desired * it + 99) / 100 - stopping).max(0) * 100 / desired);
            }
            Some(Bug::StopsProtected) => seen.tasks.iter_mut().for_each(|it| it.protected_until = None),
            Some(Bug::CountsTwice) => seen.departed.extend(self.state.departed.clone()),
            Some(Bug::EndingTaskTakesNoRoom) => {
                seen.tasks.iter_mut().for_each(|it| it.is_running_or_pending = it.is_wanted);
            }
            Some(Bug::StartsTwice | Bug::NeverCompletes | Bug::OrderLost) | None => {}
        }
        seen
    }

    fn decide(&mut self) -> Result<(), String> {
        let mut got = decide(&self.seen());
        let configuration = self.state.service.configuration.clone();
        let desired = self.state.service.desired_count;
        let healthy = |it: &Self| count(it.state.tasks.iter().filter(|task| task.is_healthy()));
        let before = healthy(self);
        if self.bug == Some(Bug::OrderLost) {
            got.stop.clear();
        }
        for stop in &got.stop {
            let task = self.state.tasks.iter_mut().find(|it| it.id == stop.task_id).ok_or("stops a stranger")?;
            if task.is_protected(self.state.now) {
                return Err(format!("stops {}, which is protected", task.id));
            }
            task.is_wanted = false;
        }
        if healthy(self) < configuration.minimum(desired).min(before) {
            return Err(format!("{} healthy of {desired}", healthy(self)));
        }
        let ends = count_ends(&self.state);
        if got.service.pacing.failures > self.state.service.pacing.failures + ends {
            return Err(format!("{ends} ends were counted more than once"));
        }
        let times = if self.bug == Some(Bug::StartsTwice) { 2 } else { 1 };
        for start in got.start.iter().cycle().take(got.start.len() * times) {
            let (number, only) = match &start.on {
                On::Anywhere(number) => (*number, None),
                On::Zone(zone, number) => (*number, Some(zone.clone())),
                On::Instances(_) => return Err("a daemon".into()),
            };
            for _ in 0..number {
                let zone = only.clone().unwrap_or_else(|| self.state.zones[self.next_id as usize % 2].clone());
                let id = format!("t{}", self.id());
                let task =
                    TaskView { zone, started_at: None, created_at: self.state.now, ..starting(&id, &start.deployment) };
                self.state.tasks.push(task);
            }
        }
        let occupying = count(self.state.tasks.iter().filter(|it| it.is_running_or_pending));
        if !got.start.is_empty() && occupying > configuration.maximum(desired) {
            return Err(format!("{occupying} tasks for {desired}"));
        }
        if self.bug == Some(Bug::NeverCompletes) {
            got.service.deployments.iter_mut().for_each(|it| it.rollout = RolloutState::InProgress);
        }
        self.state.service = Service { configuration, ..got.service };
        self.state.rollouts = got.rollouts;
        self.state.departed.clear();
        Ok(())
    }

    /// No more faults: in the end the service has what it wants.
    fn come_to_rest(&mut self) -> Result<(), String> {
        for _ in 0..QUIET_ROUNDS {
            self.state.now = self.state.now.plus_millis(MINUTE_MILLIS);
            let mut at = 0;
            while at < self.state.tasks.len() {
                at += usize::from(self.advance(at, false));
            }
            self.decide()?;
        }
        let service = &self.state.service;
        let is_complete = service.deployments.len() == 1 && service.deployments[0].rollout == RolloutState::Completed;
        let is_whole = self.state.tasks.len() == service.desired_count as usize;
        let of_zone = |zone: &String| self.state.tasks.iter().filter(|task| task.zone == *zone).count();
        let zones: Vec<usize> = self.state.zones.iter().map(of_zone).collect();
        let is_uneven = zones.iter().max() > zones.iter().min().map(|least| least + 1).as_ref();
        if service.rebalances_zones && is_uneven {
            return Err(format!("zones have {zones:?}"));
        }
        (service.is_steady && is_complete && is_whole).then_some(()).ok_or_else(|| format!("no rest: {service:?}"))
    }
}

fn count_ends(state: &State) -> u32 {
    u32::try_from(state.departed.len()).unwrap()
}

fn walk(seed: u64, bug: Option<Bug>) -> Result<(), String> {
    let mut walk = Walk::new(seed, bug);
    for _ in 0..STEPS {
        walk.step()?;
    }
    walk.come_to_rest()
}

#[test]
fn a_service_keeps_its_bounds_and_comes_to_rest_whatever_happens() {
    let one: Option<u64> = std::env::var("COVE_SIM_SEED").ok().and_then(|it| it.parse().ok());
    for seed in one.map_or(0..SEEDS, |seed| seed..seed + 1) {
        walk(seed, None).unwrap_or_else(|broken| panic!("COVE_SIM_SEED={seed}: {broken}"));
    }
}

#[test]
fn each_seeded_bug_is_caught() {
    for bug in [
        Bug::MinimumRoundedDown,
        Bug::StoppingCountsAsHealthy,
        Bug::StartsTwice,
        Bug::NeverCompletes,
        Bug::EndingTaskTakesNoRoom,
        Bug::OrderLost,
        Bug::StopsProtected,
        Bug::CountsTwice,
    ] {
        assert!((0..SEEDS_TO_CATCH).any(|seed| walk(seed, Some(bug)).is_err()), "{bug:?} went unnoticed");
    }
}
