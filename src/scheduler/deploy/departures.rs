//! Counts the tasks that have ended: for the circuit breaker, and for the pause before the next attempt.
//!
//! Holds: a task counts once. What somebody asked to stop is no failure, unless it failed its health checks; nor is a
//! task that had come to count as healthy.

use cove_base::Timestamp;
use cove_model::service::{Departed, Pacing, RolloutState};

use super::{Condition, Decider, message};

/// Failures in a row that are tried again at once: a killed container is back in milliseconds.
const AT_ONCE: u32 = 3;
/// The pause after those, doubled with each further failure.
const FIRST_PAUSE_MILLIS: i64 = 1000;
/// Beyond this the pause is at its longest anyway.
const DOUBLINGS_MAX: u32 = 20;

impl Decider<'_> {
    /// First of all: everything else goes by these counts.
    pub(super) fn count_departures(&mut self) {
        let started = self.started();
        self.out.service.pacing_of.retain(|id, _| started.contains(id));
        for id in &started {
            self.forgive(id);
            self.count_failures(id);
        }
    }

    /// The deployments and task sets of which tasks are started.
    fn started(&self) -> Vec<String> {
        let primary = self.primary().map(|primary| &primary.id);
        let kept = self.holds_old_revision().and_then(|_| self.kept_deployment()).map(|kept| &kept.id);
        primary.into_iter().chain(kept).chain(self.out.task_sets.iter().map(|set| &set.id)).cloned().collect()
    }

    fn count_failures(&mut self, id: &str) {
        let state = self.state;
        let is_failure = |one: &&Departed| one.deployment == id && is_failure(one, state.timing.settle_millis);
        let failures: Vec<&Departed> = state.departed.iter().map(|one| &**one).filter(is_failure).collect();
        let Some(last) = failures.iter().map(|one| one.stopped_at).max() else { return };
        let number = u32::try_from(failures.len()).unwrap_or(u32::MAX);
        let mut reasons = failures.iter().filter_map(|one| one.reason.as_deref());
        if let Some(why) = reasons.rfind(|why| why.starts_with(message::NOT_STARTED)) {
            self.complain(message::misconfigured(&state.service.name, why));
        }
        let pacing = self.out.service.pacing_of.entry(id.to_owned()).or_default();
        if slow_down(pacing, number, last, state.timing.throttle_max_millis) {
            self.complain(message::impaired(&state.service));
        }
        if let Some(primary) = self.primary_mut().filter(|primary| primary.id == id) {
            primary.failed_tasks = primary.failed_tasks.saturating_add(number);
            primary.updated_at = state.now;
        }
    }

    /// A task that began after the last failure and is well ends the row.
    fn forgive(&mut self, id: &str) {
        let Some(last) = self.out.service.pacing_of.get(id).and_then(|pacing| pacing.last_failure_at) else { return };
        let began_later = |at: Option<Timestamp>| at.is_some_and(|at| at > last);
        let is_well = self.state.tasks.iter().any(|task| {
            *task.deployment == *id && task.condition == Condition::Healthy && began_later(task.started_at)
        });
        if is_well {
            self.out.service.pacing_of.remove(id);
            let primary = self.primary_mut().filter(|it| it.id == id && it.rollout == RolloutState::InProgress);
            if let Some(primary) = primary {
                primary.failed_tasks = 0;
            }
        }
    }
}

/// Whether a task ended that should have stayed: by itself before it counted as healthy, or because of its checks.
pub(crate) fn is_failure(ended: &Departed, settle_millis: i64) -> bool {
    if ended.was_ordered {
        return ended.reason.as_deref() == Some(message::UNHEALTHY);
    }
    let was_settled = || ended.started_at.is_some_and(|at| at.plus_millis(settle_millis) <= ended.stopped_at);
    !ended.was_healthy.unwrap_or_else(was_settled)
}

/// Adds failures to a row; whether it is now too long to be tried again at once.
pub(crate) fn slow_down(pacing: &mut Pacing, failures: u32, last: Timestamp, most_millis: i64) -> bool {
    let was_at_once = pacing.failures <= AT_ONCE;
    pacing.failures = pacing.failures.saturating_add(failures);
    pacing.last_failure_at = Some(last);
    pacing.not_before = pause(pacing.failures, most_millis).map(|millis| last.plus_millis(millis));
    was_at_once && pacing.failures > AT_ONCE
}

/// How long to wait after so many failures in a row.
fn pause(failures: u32, most_millis: i64) -> Option<i64> {
    let beyond = failures.checked_sub(AT_ONCE + 1)?;
    Some((FIRST_PAUSE_MILLIS << beyond.min(DOUBLINGS_MAX)).min(most_millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_nothing_to_the_longest() {
        let pauses: Vec<Option<i64>> = [0, 3, 4, 5, 6, 40].map(|failures| pause(failures, 900_000)).to_vec();
        assert_eq!(pauses, [None, None, Some(1000), Some(2000), Some(4000), Some(900_000)]);
    }
}
