//! Requests and replies of Auto Scaling, exactly as clients see them.

use serde::{Deserialize, Serialize};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct DescribeGroupsIn {
    pub(super) auto_scaling_group_names: Vec<String>,
    pub(super) include_instances: Option<bool>,
    pub(super) filters: Vec<Filter>,
    pub(super) next_token: Option<String>,
    pub(super) max_records: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Filter {
    pub(super) name: String,
    pub(super) values: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct DescribeInstancesIn {
    pub(super) instance_ids: Vec<String>,
    pub(super) next_token: Option<String>,
    pub(super) max_records: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GroupsOut {
    pub(super) auto_scaling_groups: Vec<GroupOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GroupOut {
    pub(super) auto_scaling_group_name: String,
    #[serde(rename = "AutoScalingGroupARN")]
    pub(super) auto_scaling_group_arn: String,
    pub(super) min_size: usize,
    pub(super) max_size: usize,
    pub(super) desired_capacity: usize,
    pub(super) default_cooldown: u32,
    pub(super) availability_zones: Vec<String>,
    pub(super) health_check_type: &'static str,
    pub(super) health_check_grace_period: u32,
    pub(super) instances: Vec<InstanceOut>,
    pub(super) created_time: f64,
    #[serde(rename = "VPCZoneIdentifier")]
    pub(super) vpc_zone_identifier: String,
    pub(super) tags: Vec<TagOut>,
    pub(super) new_instances_protected_from_scale_in: bool,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct InstanceOut {
    pub(super) instance_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) instance_type: Option<String>,
    /// Where it is not said around it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) auto_scaling_group_name: Option<String>,
    pub(super) availability_zone: String,
    pub(super) lifecycle_state: &'static str,
    pub(super) health_status: &'static str,
    pub(super) protected_from_scale_in: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagOut {
    pub(super) resource_id: String,
    pub(super) resource_type: &'static str,
    pub(super) key: &'static str,
    pub(super) value: &'static str,
    pub(super) propagate_at_launch: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct InstancesOut {
    pub(super) auto_scaling_instances: Vec<InstanceOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_token: Option<String>,
}
