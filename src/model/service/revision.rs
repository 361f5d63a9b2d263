//! What a service runs, at one time: the workload that a deployment brings.

use cove_base::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ExpressRevision, Service};
use crate::arn::Tenant;
use crate::cluster::CapacityProviderStrategyItem;
use crate::task::LaunchType;
use crate::task_override::NetworkConfiguration;
use crate::task_template::TaskTemplate;

/// A service revision. Never changed after it was made, but for the digests that its tags turned out to mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceRevision {
    pub tenant: Tenant,
    pub cluster: String,
    pub service: String,
    /// Digits.
    pub id: String,
    pub template: TaskTemplate,
    /// As the client gave them.
    pub launch_type: Option<LaunchType>,
    pub capacity_provider_strategy: Vec<CapacityProviderStrategyItem>,
    pub platform_version: Option<String>,
    pub network_configuration: Option<NetworkConfiguration>,
    /// Images whose digest the first task found out; later tasks run the same.
    pub images: Vec<PinnedImage>,
    pub created_at: Timestamp,
    /// Of an Express service.
    #[serde(default)]
    pub express: Option<ExpressRevision>,
}

impl ServiceRevision {
    /// A new one of the service; what the client gave beside the template is the caller's to add.
    #[must_use]
    pub fn new(service: &Service, id: &str, template: TaskTemplate, now: Timestamp) -> Self {
        Self {
            tenant: service.tenant.clone(),
            cluster: service.cluster.clone(),
            service: service.name.clone(),
            id: id.to_owned(),
            template,
            launch_type: None,
            capacity_provider_strategy: Vec::new(),
            platform_version: None,
            network_configuration: None,
            images: Vec::new(),
            created_at: now,
            express: None,
        }
    }

    /// The revision's ARN.
    #[must_use]
    pub fn arn(&self) -> String {
        revision_arn(&self.tenant, &self.cluster, &self.service, &self.id)
    }
}

/// The ARN of a revision of a service.
#[must_use]
pub fn revision_arn(tenant: &Tenant, cluster: &str, service: &str, id: &str) -> String {
    tenant.arn("ecs", format_args!("service-revision/{cluster}/{service}/{id}"))
}

/// The image of a container, and what it was when the deployment began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedImage {
    pub container: String,
    pub image: String,
    /// As in `sha256:…`.
    pub digest: String,
}
