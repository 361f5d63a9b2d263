//! Managed instances: what a capacity provider says of machines that ECS makes for tasks and takes away by itself.
//!
//! Holds: the members are ECS's own, kept as they were given and shown as they are kept. Those that are not carried out
//! are refused before they come here, so that none is without its effect.

use serde::{Deserialize, Serialize};

use crate::capacity_provider::Switch;
use crate::instance_type::InstanceType;

/// Of a disk, in bytes.
const GB: u64 = 1_000_000_000;
const GIB: u64 = 1 << 30;

/// The launch template of a provider, and whose it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ManagedInstances {
    /// The only cluster that has the provider.
    pub cluster: String,
    pub provider: ManagedInstancesProvider,
}

impl ManagedInstances {
    /// What types of EC2 its instances may be of; without wishes, the general ones.
    #[must_use]
    pub fn requirements(&self) -> Option<&InstanceRequirements> {
        self.provider.instance_launch_template.instance_requirements.as_ref()
    }

    /// How long an instance may be idle, or what `default_millis` says; `None` when it may be for ever.
    #[must_use]
    pub fn idle_millis(&self, default_millis: i64) -> Option<i64> {
        match self.provider.infrastructure_optimization.as_ref().and_then(|it| it.scale_in_after) {
            None => Some(default_millis),
            Some(secs) if secs < 0 => None,
            Some(secs) => Some(i64::from(secs) * 1000),
        }
    }

    /// Whether its instances have the provider's tags.
    #[must_use]
    pub fn propagates_tags(&self) -> bool {
        self.provider.propagate_tags == Some(PropagateMiTags::CapacityProvider)
    }

    /// Whether its instances may be interrupted.
    #[must_use]
    pub fn is_spot(&self) -> bool {
        self.provider.instance_launch_template.capacity_option_type == Some(CapacityOptionType::Spot)
    }

    /// Whether instances whose daemon ended, or fails its checks, are replaced; they are unless somebody says otherwise.
    #[must_use]
    pub fn repairs(&self) -> bool {
        self.provider.auto_repair_configuration.and_then(|it| it.actions_status) != Some(Switch::Disabled)
    }

    /// What the tasks of an instance of that type may write together: on its own disks where that is wanted and it has
    /// some, else on a volume. `None` where nothing was said.
    #[must_use]
    pub fn storage_gib(&self, kind: Option<&InstanceType>) -> Option<u32> {
        let template = &self.provider.instance_launch_template;
        let on_disks = template.local_storage_configuration.is_some_and(|it| it.use_local_storage);
        let disks_gb = kind.map_or(0, |kind| kind.disks_gb);
        if on_disks && disks_gb > 0 {
            return u32::try_from(u64::from(disks_gb) * GB / GIB).ok();
        }
        template.storage_configuration.and_then(|it| it.storage_size_gib)
    }

    /// Where its instances may stand.
    #[must_use]
    pub fn subnets(&self) -> &[String] {
        &self.provider.instance_launch_template.network_configuration.subnets
    }
}

/// ECS shape `ManagedInstancesProvider`, and those of its requests.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ManagedInstancesProvider {
    pub infrastructure_role_arn: String,
    pub instance_launch_template: InstanceLaunchTemplate,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub propagate_tags: Option<PropagateMiTags>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub infrastructure_optimization: Option<InfrastructureOptimization>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_repair_configuration: Option<AutoRepairConfiguration>,
}

/// ECS shape `InstanceLaunchTemplate`, without what is not carried out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InstanceLaunchTemplate {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ec2_instance_profile_arn: Option<String>,
    #[serde(skip_serializing_if = "ManagedInstancesNetwork::is_empty")]
    pub network_configuration: ManagedInstancesNetwork,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_option_type: Option<CapacityOptionType>,
    /// BASIC: what is measured anyhow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Monitoring>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_configuration: Option<StorageConfiguration>,
    /// Of these two only `false` is carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fips_enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_metadata_tags_propagation: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_storage_configuration: Option<LocalStorageConfiguration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_requirements: Option<InstanceRequirements>,
}

/// ECS shape `ManagedInstancesNetworkConfiguration`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ManagedInstancesNetwork {
    pub subnets: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_groups: Vec<String>,
}

impl ManagedInstancesNetwork {
    /// Whether nothing was said.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.subnets.is_empty() && self.security_groups.is_empty()
    }
}

/// ECS shape `InstanceRequirementsRequest`, without what is not carried out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InstanceRequirements {
    pub v_cpu_count: Limits,
    #[serde(rename = "memoryMiB")]
    pub memory_mib: Limits,
    #[serde(rename = "memoryGiBPerVCpu", skip_serializing_if = "Option::is_none")]
    pub memory_gib_per_vcpu: Option<RealLimits>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpu_manufacturers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_instance_types: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub excluded_instance_types: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub instance_generations: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bare_metal: Option<Wanted>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burstable_performance: Option<Wanted>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_storage: Option<Wanted>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub local_storage_types: Vec<String>,
    #[serde(rename = "totalLocalStorageGB", skip_serializing_if = "Option::is_none")]
    pub total_local_storage_gb: Option<RealLimits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline_ebs_bandwidth_mbps: Option<Limits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_bandwidth_gbps: Option<RealLimits>,
    /// How much more than the cheapest a type may cost; only of on-demand capacity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_demand_max_price_percentage_over_lowest_price: Option<i64>,
    /// The same of Spot capacity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spot_max_price_percentage_over_lowest_price: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_interface_count: Option<Limits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_hibernate_support: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accelerator_count: Option<Limits>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accelerator_types: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accelerator_manufacturers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accelerator_names: Vec<String>,
    #[serde(rename = "acceleratorTotalMemoryMiB", skip_serializing_if = "Option::is_none")]
    pub accelerator_total_memory_mib: Option<Limits>,
}

/// From least to most; what is absent has no end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<i64>,
}

impl Limits {
    /// Whether the value is between them.
    #[must_use]
    pub fn hold(self, value: i64) -> bool {
        self.min.is_none_or(|min| min <= value) && self.max.is_none_or(|max| value <= max)
    }
}

/// The same of fractions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RealLimits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

impl RealLimits {
    /// Whether the value is between them.
    #[must_use]
    pub fn hold(self, value: f64) -> bool {
        self.min.is_none_or(|min| min <= value) && self.max.is_none_or(|max| value <= max)
    }
}

/// ECS's `included`, `required` and `excluded`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    Included,
    Required,
    Excluded,
}

impl Wanted {
    /// Whether a type may have it, or lack it.
    #[must_use]
    pub const fn allows(self, has: bool) -> bool {
        match self {
            Self::Included => true,
            Self::Required => has,
            Self::Excluded => !has,
        }
    }
}

/// ECS shape `CapacityOptionType`: reservations are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CapacityOptionType {
    OnDemand,
    Spot,
    Reserved,
}

/// ECS shape `ManagedInstancesMonitoringOptions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Monitoring {
    Basic,
    Detailed,
}

/// ECS shape `PropagateMITags`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PropagateMiTags {
    CapacityProvider,
    None,
}

/// ECS shape `InfrastructureOptimization`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InfrastructureOptimization {
    /// Seconds that an instance may be idle; -1: for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_in_after: Option<i32>,
}

/// ECS shape `AutoRepairConfiguration`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AutoRepairConfiguration {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actions_status: Option<Switch>,
}

/// ECS shape `ManagedInstancesStorageConfiguration`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StorageConfiguration {
    #[serde(rename = "storageSizeGiB", skip_serializing_if = "Option::is_none")]
    pub storage_size_gib: Option<u32>,
}

/// ECS shape `ManagedInstancesLocalStorageConfiguration`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LocalStorageConfiguration {
    pub use_local_storage: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_is_what_is_shown() {
        let given = serde_json::json!({
            "infrastructureRoleArn": "r",
            "instanceLaunchTemplate": {
                "ec2InstanceProfileArn": "p",
                "networkConfiguration": {"subnets": ["a"]},
                "instanceRequirements": {
                    "vCpuCount": {"min": 2, "max": 4},
                    "memoryMiB": {"min": 1024},
                    "memoryGiBPerVCpu": {"max": 8.5},
                    "acceleratorTotalMemoryMiB": {"min": 1},
                    "bareMetal": "excluded",
                    "localStorageTypes": ["ssd"],
                    "totalLocalStorageGB": {"min": 100.0},
                    "baselineEbsBandwidthMbps": {"max": 650},
                    "networkBandwidthGbps": {"min": 0.75},
                    "onDemandMaxPricePercentageOverLowestPrice": 20,
                    "spotMaxPricePercentageOverLowestPrice": 100,
                },
                "storageConfiguration": {"storageSizeGiB": 100},
                "localStorageConfiguration": {"useLocalStorage": true},
            },
            "propagateTags": "CAPACITY_PROVIDER",
            "infrastructureOptimization": {"scaleInAfter": 30},
            "autoRepairConfiguration": {"actionsStatus": "DISABLED"},
        });
        let read: ManagedInstancesProvider = serde_json::from_value(given.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), given);
        let managed = ManagedInstances { cluster: "default".to_owned(), provider: read };
        let storage = |name: &str| managed.storage_gib(InstanceType::find(name));
        assert_eq!((storage("m5.large"), storage("g4dn.xlarge")), (Some(100), Some(116)), "a volume, its own disks");
        assert!(!managed.repairs());
        let usual = ManagedInstances { cluster: "default".to_owned(), provider: ManagedInstancesProvider::default() };
        assert_eq!((usual.repairs(), usual.storage_gib(None)), (true, None));
    }

    #[test]
    fn idle_instances_stay_as_long_as_they_are_told() {
        let of = |scale_in_after: Option<i32>| {
            let infrastructure_optimization = Some(InfrastructureOptimization { scale_in_after });
            let provider = ManagedInstancesProvider { infrastructure_optimization, ..Default::default() };
            ManagedInstances { cluster: "default".to_owned(), provider }.idle_millis(7)
        };
        assert_eq!((of(None), of(Some(2)), of(Some(0)), of(Some(-1))), (Some(7), Some(2000), Some(0), None));
    }
}
