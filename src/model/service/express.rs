//! Express services: what a service has beside its tasks when ECS manages it.
//!
//! What its container is stands in the task definition of the revision, and nowhere else.

use cove_base::Timestamp;
use serde::{Deserialize, Serialize};

/// What makes a service an Express service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Express {
    /// Never changes.
    pub infrastructure_role_arn: String,
    pub updated_at: Timestamp,
}

/// What a revision of an Express service says beside its workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpressRevision {
    pub health_check_path: String,
    pub scaling: ScalingTarget,
}

/// ECS shape `ExpressGatewayScalingTarget`, with defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScalingTarget {
    pub min_task_count: u32,
    pub max_task_count: u32,
    pub auto_scaling_metric: ScalingMetric,
    pub auto_scaling_target_value: u32,
}

/// ECS shape `ExpressGatewayServiceScalingMetric`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ScalingMetric {
    AverageCpu,
    AverageMemory,
    RequestCountPerTarget,
}
