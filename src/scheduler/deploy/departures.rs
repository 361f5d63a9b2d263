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
        self.forgive();
        let state = self.state;
        let failures: Vec<&Departed> =
            state.departed.iter().map(|one| &**one).filter(|one| self.is_failure(one)).collect();
        let Some(last) = failures.iter().map(|one| one.stopped_at).max() else { return };
        let number = u32::try_from(failures.len()).unwrap_or(u32::MAX);
        let timing = &state.timing;
        let mut reasons = failures.iter().filter_map(|one| one.reason.as_deref());
        if let Some(why) = reasons.rfind(|why| why.starts_with(message::NOT_STARTED)) {
            self.complain(message::misconfigured(&state.service.name, why));
        }
        if slow_down(&mut self.out.service.pacing, number, last, timing.throttle_max_millis) {
            self.complain(message::impaired(&state.service));
        }
        if let Some(primary) = self.primary_mut() {
            primary.failed_tasks = primary.failed_tasks.saturating_add(number);
            primary.updated_at = state.now;
        }
    }

    /// A task that began after the last failure and is well ends the row.
    fn forgive(&mut self) {
        let Some(last) = self.out.service.pacing.last_failure_at else { return };
        let began_later = |at: Option<Timestamp>| at.is_some_and(|at| at > last);
        let is_well = self.state.tasks.iter().any(|task| {
            self.is_wanted(task.deployment()) && task.condition == Condition::Healthy && began_later(task.started_at)
        });
        if is_well {
            self.out.service.pacing = Default::default();
            if let Some(primary) = self.primary_mut().filter(|it| it.rollout == RolloutState::InProgress) {
                primary.failed_tasks = 0;
            }
        }
    }

    /// Whether tasks of that deployment or task set are still started.
    fn is_wanted(&self, deployment: &str) -> bool {
        self.primary().is_some_and(|primary| primary.id == deployment)
            || self.out.task_sets.iter().any(|set| set.id == deployment)
    }

    fn is_failure(&self, ended: &Departed) -> bool {
        self.is_wanted(&ended.deployment) && is_failure(ended, self.state.timing.settle_millis)
    }
}

/// Whether a task ended that should have stayed: by itself before it counted as healthy, or because of its checks.
pub(crate) fn is_failure(ended: &Departed, settle_millis: i64) -> bool {
    if ended.was_ordered {
        return ended.reason.as_deref() == Some(message::UNHEALTHY);
    }
    ended.started_at.is_none_or(|at| ended.stopped_at < at.plus_millis(settle_millis))
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
