//! The health of one container, as Docker's rules make it from its probes.
//!
//! In: when it started, how each probe ended. Out: when the next one is due, and the health. No effects.
//!
//! ```text
//! UNKNOWN ── a probe succeeds ──▶ HEALTHY ◀──┐
//!    │                               │       └─ a probe succeeds
//!    └── `retries` failures in a row ─┴─▶ UNHEALTHY
//! ```
//!
//! Holds: one probe at a time; the next is due an interval after the last one ended. In the start period, until the first
//! success, failures do not count and the interval is [`START_INTERVAL`], as in Docker 25.

use std::time::{Duration, Instant};

use cove_model::task::Health;
use cove_runtime::spec::HealthCheck;

/// Docker's interval within the start period.
const START_INTERVAL: Duration = Duration::from_secs(5);

/// What the probes said so far.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) health: Health,
    started: Instant,
    failures: u32,
    due: Instant,
}

impl Checked {
    /// Of a container that started at this moment.
    pub(super) fn new(check: &HealthCheck, started: Instant) -> Self {
        let mut checked = Self { health: Health::Unknown, started, failures: 0, due: started };
        checked.due = started + checked.interval(check, started);
        checked
    }

    /// When the next probe is to begin, unless one is running.
    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    /// A probe that began then has ended.
    pub(super) fn probed(&mut self, check: &HealthCheck, began: Instant, succeeded: bool, now: Instant) {
        if succeeded {
            self.failures = 0;
            self.health = Health::Healthy;
        } else if !self.is_forgiven(check, began) {
            self.failures += 1;
            if self.failures >= check.retries.max(1) {
                self.health = Health::Unhealthy;
            }
        }
        self.due = now + self.interval(check, now);
    }

    fn is_forgiven(&self, check: &HealthCheck, at: Instant) -> bool {
        self.health == Health::Unknown && at - self.started < Duration::from_millis(check.start_period_millis)
    }

    fn interval(&self, check: &HealthCheck, now: Instant) -> Duration {
        let interval = Duration::from_millis(check.interval_millis);
        if self.is_forgiven(check, now) { START_INTERVAL.min(interval) } else { interval }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn check(start_period_millis: u64) -> HealthCheck {
        let args = vec!["true".to_owned()];
        HealthCheck { args, interval_millis: 10_000, timeout_millis: 2000, retries: 3, start_period_millis }
    }

    /// Probes of a second each, as they become due: when each began, and the health after it.
    fn run(check: &HealthCheck, results: &[bool]) -> Vec<(u64, Health)> {
        let started = Instant::now();
        let mut checked = Checked::new(check, started);
        let probe = |succeeded: &bool| {
            let began = checked.due();
            checked.probed(check, began, *succeeded, began + SECOND);
            ((began - started).as_secs(), checked.health)
        };
        results.iter().map(probe).collect()
    }

    #[test]
    fn it_takes_failures_in_a_row_to_be_unhealthy_and_one_success_to_be_healthy() {
        use Health::{Healthy as H, Unhealthy as U, Unknown as N};
        let healths =
            |results: &[bool]| run(&check(0), results).into_iter().map(|(_, health)| health).collect::<Vec<_>>();
        assert_eq!(healths(&[false, false, false, false, true]), [N, N, U, U, H]);
        assert_eq!(healths(&[true, false, false, true, false, false, false]), [H, H, H, H, H, H, U]);
        assert_eq!(healths(&[false, false, true, false, false]), [N, N, H, H, H]);
    }

    #[test]
    fn an_interval_lies_between_the_end_of_a_probe_and_the_next() {
        let times: Vec<u64> = run(&check(0), &[true, true, false]).into_iter().map(|(at, _)| at).collect();
        assert_eq!(times, [10, 21, 32]);
    }

    #[test]
    fn failures_in_the_start_period_do_not_count_until_something_succeeded() {
        use Health::{Healthy as H, Unhealthy as U, Unknown as N};
        let failing = run(&check(20_000), &[false; 7]);
        assert_eq!(failing, [(5, N), (11, N), (17, N), (23, N), (34, N), (45, U), (56, U)]);
        let once = run(&check(60_000), &[true, false, false, false]);
        assert_eq!(once, [(5, H), (16, H), (27, H), (38, U)]);
    }

    #[test]
    fn a_short_interval_is_not_stretched_by_the_start_period() {
        let check = HealthCheck { interval_millis: 100, ..check(60_000) };
        let started = Instant::now();
        assert_eq!(Checked::new(&check, started).due() - started, Duration::from_millis(100));
    }
}
