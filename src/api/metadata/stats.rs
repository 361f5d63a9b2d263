//! Docker's statistics of a container, as far as control groups know them.
//!
//! Consumers read the whole shape, so members that we do not measure are there with zero, as Docker itself has them on
//! hosts without those controllers. `precpu_stats` is the sample before, one request ago at most.

use cove_base::Timestamp;
use cove_model::daemon::family_name;
use cove_model::task::{Container, Task};
use serde_json::{Value, json};

use crate::cove::ExecPort;

/// Nanoseconds in a microsecond.
const NANOS: u64 = 1000;

/// What was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sample {
    pub at: Timestamp,
    pub cpu_micros: u64,
    /// CPU time of the whole host.
    pub system_cpu_micros: u64,
    pub online_cpus: u32,
    pub memory_bytes: u64,
    pub inactive_file_bytes: u64,
    pub memory_limit_bytes: Option<u64>,
    pub pids: u64,
}

/// Null for a container that does not run, as the agent answers.
pub(super) fn document(port: Option<&dyn ExecPort>, task: &Task, container: &Container) -> Value {
    let Some((before, now)) = port.and_then(|port| port.sample(&task.id, &container.name)) else { return Value::Null };
    json!({
        "read": now.at.rfc3339(),
        "preread": before.at.rfc3339(),
        "name": format!("/ecs-{}-{}-{}", family_name(&task.family), task.revision, container.name),
        "id": container.runtime_id(&task.id),
        "num_procs": 0,
        "pids_stats": {"current": now.pids},
        "cpu_stats": cpu(&now),
        "precpu_stats": cpu(&before),
        "memory_stats": {
            "usage": now.memory_bytes,
            "limit": now.memory_limit_bytes.unwrap_or(0),
            "stats": {
                "rss": now.memory_bytes.saturating_sub(now.inactive_file_bytes),
                "cache": now.inactive_file_bytes,
                "inactive_file": now.inactive_file_bytes,
                "pgfault": 0,
            },
        },
        "blkio_stats": {"io_service_bytes_recursive": [], "io_serviced_recursive": []},
        "networks": {},
        "network_rate_stats": {"rx_bytes_per_sec": 0, "tx_bytes_per_sec": 0},
        "storage_stats": {},
    })
}

fn cpu(sample: &Sample) -> Value {
    json!({
        "cpu_usage": {
            "total_usage": sample.cpu_micros * NANOS,
            "usage_in_kernelmode": 0,
            "usage_in_usermode": sample.cpu_micros * NANOS,
        },
        "system_cpu_usage": sample.system_cpu_micros * NANOS,
        "online_cpus": sample.online_cpus,
        "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
    })
}
