//! What tasks on other hosts use, as their agents say: averages of the time since the last time, which become counters like
//! those of control groups.
//!
//! Holds: memory is bounded; what an agent has not said again for [`STALE_MILLIS`] is nothing.

use std::collections::HashMap;

use cove_base::Timestamp;

use crate::measure::Usage;

/// Agents say it every 20 seconds.
const STALE_MILLIS: i64 = 90_000;
/// A longer gap is none that the average speaks of.
const GAP_MILLIS_MAX: i64 = 60_000;
/// Tasks that are remembered; others wait until some are gone.
const TASKS_MAX: usize = 10_000;

/// By task id.
#[derive(Debug, Default)]
pub(crate) struct Heard(HashMap<String, (Usage, Timestamp)>);

impl Heard {
    /// `vcpus`: the average since the last time.
    pub(crate) fn hear(&mut self, task_id: &str, vcpus: f64, memory_bytes: u64, now: Timestamp) {
        let Some((usage, at)) = self.0.get_mut(task_id) else {
            if self.0.len() < TASKS_MAX {
                self.0.insert(task_id.to_owned(), (Usage { cpu_micros: 0, memory_bytes }, now));
            }
            return;
        };
        let millis = i32::try_from((now.millis() - at.millis()).clamp(0, GAP_MILLIS_MAX)).unwrap_or(0);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float becomes what is nearest")]
        let micros = (vcpus.max(0.0) * f64::from(millis) * 1000.0) as u64;
        *usage = Usage { cpu_micros: usage.cpu_micros.saturating_add(micros), memory_bytes };
        *at = now;
    }

    /// The counters of a task.
    pub(crate) fn of(&self, task_id: &str) -> Option<Usage> {
        self.0.get(task_id).map(|(usage, _)| *usage)
    }

    /// Forgets tasks that nobody speaks of any more.
    pub(crate) fn trim(&mut self, now: Timestamp) {
        self.0.retain(|_, (_, at)| now.millis() - at.millis() <= STALE_MILLIS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_become_counters_and_what_is_old_is_forgotten() {
        let mut heard = Heard::default();
        heard.hear("a", 9.0, 5, Timestamp(1000));
        assert_eq!(heard.of("a"), Some(Usage { cpu_micros: 0, memory_bytes: 5 }), "nobody knows since when");
        heard.hear("a", 0.5, 7, Timestamp(21_000));
        assert_eq!(heard.of("a"), Some(Usage { cpu_micros: 10_000_000, memory_bytes: 7 }));
        for odd in [-1.0, f64::NAN, f64::INFINITY] {
            heard.hear("a", odd, 7, Timestamp(21_000));
        }
        assert_eq!(heard.of("a").map(|usage| usage.memory_bytes), Some(7));
        heard.trim(Timestamp(21_000 + STALE_MILLIS));
        assert!(heard.of("a").is_some());
        heard.trim(Timestamp(21_001 + STALE_MILLIS));
        assert_eq!(heard.of("a"), None);
        (0..TASKS_MAX + 1).for_each(|id| heard.hear(&id.to_string(), 0.0, 0, Timestamp(0)));
        assert_eq!(heard.of(&TASKS_MAX.to_string()), None);
    }
}
