//! ECS clusters.

use cove_base::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::arn::Tenant;
use crate::tag::Tag;

/// A cluster. Deleted ones stay describable as INACTIVE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    pub tenant: Tenant,
    pub name: String,
    pub status: ClusterStatus,
    /// `containerInsights` and its value.
    pub settings: Vec<ClusterSetting>,
    /// ECS shape `ClusterConfiguration`, checked and kept as the client gave it.
    pub configuration: Option<Value>,
    /// ECS shape `ClusterServiceConnectDefaults`.
    pub service_connect_defaults: Option<Value>,
    pub capacity_providers: Vec<String>,
    pub default_capacity_provider_strategy: Vec<CapacityProviderStrategyItem>,
    pub tags: Vec<Tag>,
    pub created_at: Timestamp,
    /// When it became INACTIVE.
    #[serde(default)]
    pub gone_at: Option<Timestamp>,
}

impl Cluster {
    /// The cluster's ARN.
    #[must_use]
    pub fn arn(&self) -> String {
        cluster_arn(&self.tenant, &self.name)
    }
}

/// The ARN of a cluster of that name.
#[must_use]
pub fn cluster_arn(tenant: &Tenant, name: &str) -> String {
    tenant.arn("ecs", format_args!("cluster/{name}"))
}

/// ECS's cluster status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ClusterStatus {
    Active,
    Inactive,
}

/// ECS shape `ClusterSetting`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSetting {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub value: String,
}

/// ECS shape `CapacityProviderStrategyItem`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CapacityProviderStrategyItem {
    pub capacity_provider: String,
    #[serde(default)]
    pub weight: i32,
    #[serde(default)]
    pub base: i32,
}
