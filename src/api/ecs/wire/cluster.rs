//! Clusters.

use cove_model::cluster::{CapacityProviderStrategyItem, ClusterSetting};
use cove_model::tag::Tag;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Attachment, Failure, PageIn, Pair};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct CreateClusterIn {
    pub(crate) cluster_name: Option<String>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) settings: Vec<ClusterSetting>,
    pub(crate) configuration: Option<Value>,
    pub(crate) capacity_providers: Vec<String>,
    pub(crate) default_capacity_provider_strategy: Vec<CapacityProviderStrategyItem>,
    pub(crate) service_connect_defaults: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DescribeClustersIn {
    pub(crate) clusters: Vec<String>,
    pub(crate) include: Vec<ClusterField>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum ClusterField {
    Attachments,
    Configurations,
    Settings,
    Statistics,
    Tags,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ListClustersIn {
    #[serde(flatten)]
    pub(crate) page: PageIn,
}

#[derive(Debug, Deserialize)]
pub(crate) struct DeleteClusterIn {
    pub(crate) cluster: String,
}

/// UpdateCluster and UpdateClusterSettings, whose members are a subset.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateClusterIn {
    pub(crate) cluster: String,
    pub(crate) settings: Option<Vec<ClusterSetting>>,
    pub(crate) configuration: Option<Value>,
    pub(crate) service_connect_defaults: Option<Value>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ClusterOut {
    pub(crate) cluster: Cluster,
}

#[derive(Debug, Serialize)]
pub(crate) struct DescribeClustersOut {
    pub(crate) clusters: Vec<Cluster>,
    pub(crate) failures: Vec<Failure>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListClustersOut {
    pub(crate) cluster_arns: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_token: Option<String>,
}

/// ECS shape `Cluster`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Cluster {
    pub(crate) cluster_arn: String,
    pub(crate) cluster_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) configuration: Option<Value>,
    pub(crate) status: cove_model::cluster::ClusterStatus,
    pub(crate) registered_container_instances_count: usize,
    pub(crate) running_tasks_count: usize,
    pub(crate) pending_tasks_count: usize,
    pub(crate) active_services_count: usize,
    pub(crate) statistics: Vec<Pair>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) settings: Vec<ClusterSetting>,
    pub(crate) capacity_providers: Vec<String>,
    pub(crate) default_capacity_provider_strategy: Vec<CapacityProviderStrategyItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) service_connect_defaults: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) attachments: Option<Vec<Attachment>>,
    /// Of the attachments: there is nothing to wait for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) attachments_status: Option<&'static str>,
}
