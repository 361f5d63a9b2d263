//! What containers use, from their control groups, in pairs: clients compute rates from two samples.

use std::collections::HashMap;
use std::sync::Mutex;

use cove_base::Timestamp;
use cove_runtime::cgroup::Usage;

use crate::agent::AgentHandle;

/// Samples that are remembered; beyond it all are forgotten, and the next request begins a new pair.
const REMEMBERED_MAX: usize = 4096;

/// One reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    pub at: Timestamp,
    pub usage: Usage,
    /// CPU time of the whole host, all cores together, in microseconds.
    pub host_cpu_micros: u64,
}

/// The last reading of each container.
#[derive(Debug, Default)]
pub(crate) struct Readings(Mutex<HashMap<(String, String), Reading>>);

impl AgentHandle {
    /// The reading before (the same one at first) and one of now; `None` when the container has no group.
    #[must_use]
    pub fn usage(&self, task_id: &str, container: &str) -> Option<(Reading, Reading)> {
        let deps = self.deps();
        let group = deps.cgroups.task(task_id).container(container);
        if !group.exists() {
            return None;
        }
        let now = Reading { at: deps.clock.now(), usage: group.usage(), host_cpu_micros: host_cpu_micros() };
        let mut last = self.readings().0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.len() >= REMEMBERED_MAX {
            last.clear();
        }
        let before = last.insert((task_id.to_owned(), container.to_owned()), now);
        Some((before.unwrap_or(now), now))
    }

    /// What a task's containers use together; `None` when it has no group.
    #[must_use]
    pub fn task_usage(&self, task_id: &str) -> Option<Usage> {
        let group = self.deps().cgroups.task(task_id);
        group.exists().then(|| group.usage())
    }
}

/// The first line of /proc/stat, in clock ticks of 10 ms on every architecture that we build for.
fn host_cpu_micros() -> u64 {
    const MICROS_PER_TICK: u64 = 10_000;
    /// user nice system idle iowait irq softirq steal; guest time is part of user already.
    const FIELDS: usize = 8;
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    let ticks = line.split_whitespace().skip(1).take(FIELDS).filter_map(|word| word.parse::<u64>().ok());
    ticks.sum::<u64>().saturating_mul(MICROS_PER_TICK)
}
