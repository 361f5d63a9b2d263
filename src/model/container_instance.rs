//! Container instances: places that tasks are put on. Several may share the machine.

use cove_base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::arn::Tenant;
use crate::tag::Tag;
use crate::task_definition::Attribute;

/// A container instance registered in a cluster. What is free on it is computed from the tasks placed there, never kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerInstance {
    pub tenant: Tenant,
    pub cluster: String,
    /// 32 hex digits.
    pub id: String,
    /// As in `i-0123456789abcdef0`.
    pub ec2_instance_id: String,
    pub status: ContainerInstanceStatus,
    pub registered: Resources,
    pub attributes: Vec<Attribute>,
    pub availability_zone: String,
    pub registered_at: Timestamp,
    pub version: u64,
    pub tags: Vec<Tag>,
}

impl ContainerInstance {
    /// The instance's ARN.
    #[must_use]
    pub fn arn(&self) -> String {
        container_instance_arn(&self.tenant, &self.cluster, &self.id)
    }
}

/// The ARN of a container instance.
#[must_use]
pub fn container_instance_arn(tenant: &Tenant, cluster: &str, id: &str) -> String {
    tenant.arn("ecs", format_args!("container-instance/{cluster}/{id}"))
}

/// ECS's container instance status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ContainerInstanceStatus {
    Active,
    Draining,
}

/// What an instance has, or what is left of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// In 1/1024 of a core.
    pub cpu: i64,
    pub memory_mib: i64,
    /// Reserved TCP host ports.
    pub ports_tcp: Vec<u16>,
    /// Reserved UDP host ports.
    pub ports_udp: Vec<u16>,
    pub gpus: Vec<String>,
}
