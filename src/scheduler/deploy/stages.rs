//! Blue/green, linear and canary deployments: the stages that a deployment goes through, with its pauses.
//!
//! ```text
//! PRE_SCALE_UP ▶ SCALE_UP ▶ POST_SCALE_UP ▶ TEST_TRAFFIC_SHIFT ▶ POST_TEST_TRAFFIC_SHIFT ▶ PRODUCTION_TRAFFIC_SHIFT
//!     ▶ POST_PRODUCTION_TRAFFIC_SHIFT ▶ BAKE_TIME ▶ CLEAN_UP
//! ```
//!
//! Holds: the old revision keeps its tasks until CLEAN_UP, so that going back is at once; a stage with PAUSE hooks is left
//! only when each was answered or has timed out.
//! The seam for load balancers: [`ServiceDeployment::production_percent`] says how much of the production traffic the new
//! revision should have; without a load balancer there is nothing that it would move.

use cove_base::Timestamp;
use cove_model::service::{
    Deployment, DeploymentConfiguration, DeploymentStrategy, HookAction, HookStage, HookState, HookStatus, HookTarget,
    LifecycleHook, LifecycleStage as Stage, RolloutState, ServiceDeployment, ServiceDeploymentStatus as Status,
};

use super::view::TaskView;
use super::{Decider, count, message};

pub(super) const MINUTE_MILLIS: i64 = 60_000;
/// How long a PAUSE hook waits when it says nothing: a day.
const PAUSE_MINUTES: i32 = 1440;
const WHOLE: f64 = 100.0;

/// What keeps a deployment where it is.
enum Wait {
    Until(Timestamp),
    /// For tasks or for somebody.
    Event,
}

impl Wait {
    /// What is worth a look first.
    fn sooner(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(Self::Until(one)), Some(Self::Until(other))) => Some(Self::Until(one.min(other))),
            (Some(it @ Self::Until(_)), _) | (_, Some(it @ Self::Until(_))) => Some(it),
            (one, other) => one.or(other),
        }
    }
}

impl Decider<'_> {
    /// The stage of a deployment that keeps the old revision; `None` where there is none, or it may go.
    pub(super) fn holds_old_revision(&self) -> Option<Stage> {
        let primary = self.out.service.deployments.first()?;
        let rollout = self.out.rollouts.iter().find(|it| it.id == primary.service_deployment)?;
        let is_forward = matches!(rollout.status, Status::Pending | Status::InProgress);
        rollout.stage.filter(|stage| is_forward && *stage != Stage::CleanUp)
    }

    /// Whether nothing but the tasks decides whether the deployment is complete.
    pub(super) fn is_through_its_stages(&self) -> bool {
        self.holds_old_revision().is_none()
    }

    /// Goes as far as it can now.
    pub(super) fn advance_stages(&mut self) {
        // Each stage is entered once, so this ends.
        for _ in 0..=Stage::CleanUp as usize {
            let Some(stage) = self.holds_old_revision() else { return };
            if self.primary().is_none_or(|primary| primary.rollout != RolloutState::InProgress) {
                return;
            }
            match self.wait(stage) {
                Ok(Some(Wait::Until(at))) => return self.wake(at),
                Ok(Some(Wait::Event)) => return,
                Ok(None) => self.enter_next(stage),
                Err(why) => return self.fail(why, "lifecycle hook asked for a rollback", true),
            }
        }
    }

    /// What the stage still waits for; an error sends the deployment back.
    fn wait(&mut self, stage: Stage) -> Result<Option<Wait>, &'static str> {
        let now = self.state.now;
        for hook in hooks_of(stage) {
            if let Some(wait) = self.hook(*hook, now)? {
                return Ok(Some(wait));
            }
        }
        let desired = self.out.service.desired_count;
        let green = count(self.state.tasks.iter().filter(|task| self.is_primary(task)).filter(|it| it.is_healthy()));
        let configuration = self.out.service.configuration.clone();
        let Some(rollout) = self.rollout_mut() else { return Ok(None) };
        if stage == Stage::ScaleUp && green < desired {
            return Ok(Some(Wait::Event));
        }
        Ok(by_clock(stage, rollout, &configuration, now))
    }

    /// The hooks that the service has for a stage. They begin together, and all must have been answered.
    fn hook(&mut self, stage: HookStage, now: Timestamp) -> Result<Option<Wait>, &'static str> {
        let is_of_stage =
            |it: &&LifecycleHook| it.target_type == Some(HookTarget::Pause) && it.lifecycle_stages.contains(&stage);
        let configured: Vec<LifecycleHook> =
            self.out.service.configuration.hooks().iter().filter(is_of_stage).cloned().collect();
        let seed = self.state.seed;
        let Some(rollout) = self.rollout_mut() else { return Ok(None) };
        let begun = rollout.hooks.iter().filter(|hook| hook.stage == stage).count();
        for (place, one) in configured.iter().enumerate().skip(begun) {
            rollout.hooks.push(begin(one, hook_id(seed, stage, place), stage, now));
            rollout.updated_at = now;
        }
        // Those that were taken from the service meanwhile keep nothing back.
        let mut wait = None;
        for hook in rollout.hooks.iter_mut().filter(|hook| hook.stage == stage).take(configured.len()) {
            wait = Wait::sooner(wait, answer(hook, now)?);
        }
        Ok(wait)
    }

    fn enter_next(&mut self, stage: Stage) {
        let now = self.state.now;
        if let Some(rollout) = self.rollout_mut() {
            rollout.stage = Some(next(stage));
            rollout.stage_since = Some(now);
            rollout.updated_at = now;
        }
    }

    /// What the service goes on with while its old revision is kept: what was completed last, else the newest that did not
    /// fail.
    pub(super) fn kept_deployment(&self) -> Option<&Deployment> {
        let completed = self.out.service.completed_revision.as_ref();
        let mut old = self.out.service.deployments.iter().skip(1).filter(|it| it.rollout != RolloutState::Failed);
        old.clone().find(|it| Some(&it.revision) == completed).or_else(|| old.next())
    }

    /// Until CLEAN_UP the old revision has as many tasks as the service wants, beside those of the new one: starts what is
    /// missing as far as there is room, lets go what is too much. How many are missing, and how many start.
    pub(super) fn keep_old(&mut self, bounds: &Kept) -> (u32, u32) {
        let is_good = |task: &&TaskView| !task.is_on_draining && !matches!(task.condition, super::Condition::Unhealthy);
        let mut good: Vec<&TaskView> = self.staying().filter(|task| !self.is_primary(task)).filter(is_good).collect();
        let kept = self.kept_deployment().map(|it| (it.id.clone(), it.revision.clone()));
        let number = count(good.iter().copied());
        let now = self.state.now;
        // What is protected may be ill: those that are well are what the service would go back to.
        let well = count(good.iter().copied().filter(|task| task.is_healthy()));
        let healthy = count(self.staying().filter(|task| task.is_healthy()));
        let mut spare = healthy.saturating_sub(bounds.minimum).min(well.saturating_sub(bounds.desired));
        good.retain(|task| !task.is_protected(now));
        good.sort_by_key(|task| {
            let is_kept = kept.as_ref().is_some_and(|(id, _)| **id == *task.deployment);
            (task.is_healthy(), is_kept, std::cmp::Reverse(task.created_at))
        });
        for task in good.into_iter().take(number.saturating_sub(bounds.desired) as usize) {
            if task.is_healthy() {
                let Some(left) = spare.checked_sub(1) else { break };
                spare = left;
            }
            self.stop(task, message::scaled(&task.deployment));
        }
        let missing = bounds.desired.saturating_sub(number);
        match kept {
            Some((deployment, revision)) if missing > 0 && self.pause_is_over(&deployment) => {
                let starts = missing.min(bounds.room);
                if starts > 0 {
                    self.out.start.push(super::Start { deployment, revision, on: super::On::Anywhere(starts) });
                }
                (missing, starts)
            }
            Some(_) => (missing, 0),
            None => (0, 0),
        }
    }

    /// While the old revision is kept, tasks on draining instances and old ones that fail their checks go as far as the
    /// minimum allows: when nothing is missing, or when what is missing has no room.
    pub(super) fn leave_while_kept(&mut self, minimum: u32) {
        let now = self.state.now;
        let mut spare = count(self.staying().filter(|task| task.is_healthy())).saturating_sub(minimum);
        let is_ill = |task: &TaskView| task.condition == super::Condition::Unhealthy;
        let leaves = |task: &&TaskView| task.is_on_draining || is_ill(task) && !self.is_primary(task);
        let leaving: Vec<&TaskView> = self.staying().filter(leaves).filter(|task| !task.is_protected(now)).collect();
        for task in leaving {
            if task.is_healthy() {
                let Some(left) = spare.checked_sub(1) else { continue };
                spare = left;
            }
            let reason = if is_ill(task) { message::UNHEALTHY.to_owned() } else { message::scaled(&task.deployment) };
            self.stop(task, reason);
        }
    }
}

/// What holds while two revisions are kept.
pub(super) struct Kept {
    pub(super) desired: u32,
    pub(super) minimum: u32,
    /// Tasks that may be started.
    pub(super) room: u32,
}

/// Moves traffic: at once, in steps, or a little first.
fn shift(rollout: &mut ServiceDeployment, configuration: &DeploymentConfiguration, now: Timestamp) -> Option<Wait> {
    let since = *rollout.shift_since.get_or_insert(now);
    let (percent, wait) = match configuration.strategy() {
        DeploymentStrategy::Rolling | DeploymentStrategy::BlueGreen => (WHOLE, None),
        DeploymentStrategy::Linear => {
            let linear = configuration.linear_configuration.as_ref();
            let (step, minutes) = linear.map_or((WHOLE, 0), |it| (it.step_percent, it.step_bake_time_in_minutes));
            steps(step, minutes, since, now)
        }
        DeploymentStrategy::Canary => {
            let canary = configuration.canary_configuration.as_ref();
            let (first, minutes) = canary.map_or((WHOLE, 0), |it| (it.canary_percent, it.canary_bake_time_in_minutes));
            match later(since, minutes, now) {
                Some(wait) => (first, Some(wait)),
                None => (WHOLE, None),
            }
        }
    };
    if (rollout.production_percent - percent).abs() > f64::EPSILON {
        rollout.production_percent = percent;
        rollout.updated_at = now;
    }
    wait
}

/// Until when a stage, or the present step of it, keeps the deployment by the clock alone.
pub(crate) fn stays_until(
    rollout: &ServiceDeployment,
    configuration: &DeploymentConfiguration,
    now: Timestamp,
) -> Option<Timestamp> {
    match by_clock(rollout.stage?, &mut rollout.clone(), configuration, now)? {
        Wait::Until(at) => Some(at),
        Wait::Event => None,
    }
}

/// What the stage, or its present step, waits for when its hooks and tasks keep it no more.
fn by_clock(
    stage: Stage,
    rollout: &mut ServiceDeployment,
    configuration: &DeploymentConfiguration,
    now: Timestamp,
) -> Option<Wait> {
    let since = rollout.stage_since.unwrap_or(now);
    match stage {
        Stage::ProductionTrafficShift => shift(rollout, configuration, now),
        Stage::BakeTime => later(since, configuration.bake_time_in_minutes.unwrap_or(0), now),
        Stage::ReconcileService
        | Stage::PreScaleUp
        | Stage::ScaleUp
        | Stage::PostScaleUp
        | Stage::TestTrafficShift
        | Stage::PostTestTrafficShift
        | Stage::PostProductionTrafficShift
        | Stage::CleanUp => None,
    }
}

/// Equal steps with a wait after each but the last.
fn steps(step: f64, minutes: i32, since: Timestamp, now: Timestamp) -> (f64, Option<Wait>) {
    let mut percent = step;
    let mut passed = 0;
    while percent < WHOLE {
        passed += 1;
        let at = since.plus_millis(i64::from(minutes) * MINUTE_MILLIS * passed);
        if at > now {
            return (percent, Some(Wait::Until(at)));
        }
        percent += step;
    }
    (WHOLE, None)
}

fn later(since: Timestamp, minutes: i32, now: Timestamp) -> Option<Wait> {
    let at = since.plus_millis(i64::from(minutes) * MINUTE_MILLIS);
    (at > now).then_some(Wait::Until(at))
}

/// The hooks that keep a deployment in a stage, in order.
const fn hooks_of(stage: Stage) -> &'static [HookStage] {
    match stage {
        Stage::ReconcileService => &[HookStage::ReconcileService],
        Stage::PreScaleUp => &[HookStage::PreScaleUp],
        Stage::PostScaleUp => &[HookStage::PostScaleUp],
        Stage::TestTrafficShift => &[HookStage::TestTrafficShift],
        Stage::PostTestTrafficShift => &[HookStage::PostTestTrafficShift, HookStage::PreProductionTrafficShift],
        Stage::ProductionTrafficShift => &[HookStage::ProductionTrafficShift],
        Stage::PostProductionTrafficShift => &[HookStage::PostProductionTrafficShift],
        Stage::ScaleUp | Stage::BakeTime | Stage::CleanUp => &[],
    }
}

const fn next(stage: Stage) -> Stage {
    match stage {
        Stage::ReconcileService => Stage::PreScaleUp,
        Stage::PreScaleUp => Stage::ScaleUp,
        Stage::ScaleUp => Stage::PostScaleUp,
        Stage::PostScaleUp => Stage::TestTrafficShift,
        Stage::TestTrafficShift => Stage::PostTestTrafficShift,
        Stage::PostTestTrafficShift => Stage::ProductionTrafficShift,
        Stage::ProductionTrafficShift => Stage::PostProductionTrafficShift,
        Stage::PostProductionTrafficShift => Stage::BakeTime,
        Stage::BakeTime | Stage::CleanUp => Stage::CleanUp,
    }
}

fn begin(configured: &LifecycleHook, id: String, stage: HookStage, now: Timestamp) -> HookState {
    let timeout = configured.timeout_configuration.clone().unwrap_or_default();
    let minutes = timeout.timeout_in_minutes.unwrap_or(PAUSE_MINUTES);
    HookState {
        id,
        stage,
        status: HookStatus::AwaitingAction,
        since: now,
        expires_at: Some(now.plus_millis(i64::from(minutes) * MINUTE_MILLIS)),
        on_timeout: timeout.action.unwrap_or(HookAction::Rollback),
    }
}

/// What a hook says: nothing yet, go on, or go back. Its time may be over.
fn answer(hook: &mut HookState, now: Timestamp) -> Result<Option<Wait>, &'static str> {
    if hook.status == HookStatus::AwaitingAction && hook.expires_at.is_some_and(|at| at <= now) {
        hook.status = HookStatus::TimedOut;
    }
    match (hook.status, hook.on_timeout) {
        (HookStatus::Succeeded, _) | (HookStatus::TimedOut, HookAction::Continue) => Ok(None),
        (HookStatus::Failed, _) => Err("Lifecycle hook rolled back by user"),
        (HookStatus::TimedOut, HookAction::Rollback) => Err("Lifecycle hook timed out"),
        (HookStatus::AwaitingAction | HookStatus::InProgress, _) => {
            Ok(Some(hook.expires_at.map_or(Wait::Event, Wait::Until)))
        }
    }
}

/// A UUID out of the decision's seed.
fn hook_id(seed: u64, stage: HookStage, place: usize) -> String {
    let text = crate::names::hash(&["hook", &seed.to_string(), &format!("{stage:?}"), &place.to_string()]);
    let hex = hex::encode(text);
    format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}
