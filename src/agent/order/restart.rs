//! Whether a container that ended is started again.
//!
//! Only what the exit record says counts, never the moment of the decision: a server that was away decides the same.

use cove_model::task_definition::ContainerRestartPolicy;
use cove_shim::protocol::ExitRecord;

/// ECS's default of `restartAttemptPeriod`.
const PERIOD_DEFAULT_SECS: u32 = 300;

/// An enabled `restartPolicy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RestartPolicy {
    pub(super) ignored: Vec<i32>,
    pub(super) period_secs: u32,
}

impl RestartPolicy {
    /// `None` when it is not enabled.
    pub(super) fn of(given: &ContainerRestartPolicy) -> Option<Self> {
        let period = given.restart_attempt_period.and_then(|secs| u32::try_from(secs).ok());
        given.enabled.unwrap_or(false).then(|| Self {
            ignored: given.ignored_exit_codes.clone(),
            period_secs: period.unwrap_or(PERIOD_DEFAULT_SECS),
        })
    }

    /// It must have run for the period, which also keeps restarts that far apart.
    pub(super) fn wants(&self, ended: &ExitRecord) -> bool {
        let (Some(code), Some(started)) = (ended.exit_code, ended.started_at) else { return false };
        let ran_millis = ended.stopped_at.millis() - started.millis();
        !self.ignored.contains(&code) && ran_millis >= i64::from(self.period_secs) * 1000
    }
}
