//! What a service tells of itself, and what it is told of its tasks.

use cove_base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::arn::Tenant;
use crate::task::StopCode;

/// ECS shows the newest hundred.
pub const EVENTS_MAX: u64 = 100;

/// ECS shape `ServiceEvent`: one line, in AWS's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceEvent {
    pub tenant: Tenant,
    pub cluster: String,
    pub service: String,
    /// Counts up within the service.
    pub number: u64,
    /// A UUID.
    pub id: String,
    pub at: Timestamp,
    pub message: String,
}

/// A task of a service that has stopped. The agent leaves it in the transaction that makes the task STOPPED; the scheduler
/// takes it away in the one that counts it. So every end is counted once, whatever happens between.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departed {
    pub tenant: Tenant,
    pub cluster: String,
    pub service: String,
    pub task_id: String,
    /// The id of its deployment.
    pub deployment: String,
    /// When it reached RUNNING, if it did.
    pub started_at: Option<Timestamp>,
    pub stopped_at: Timestamp,
    /// Whether somebody wanted it to stop.
    pub was_ordered: bool,
    pub stop_code: Option<StopCode>,
    pub reason: Option<String>,
}
