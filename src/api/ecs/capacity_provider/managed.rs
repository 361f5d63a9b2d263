//! The settings of a managed instances' provider: what it may say, and what is refused by name because one host has nothing
//! for it.
//!
//! In: the member as the client gave it, which the model has checked. Out: the settings to keep.
//!
//! Holds: no member is kept that has no effect, but for those that AWS itself only shows: the instance profile, BASIC
//! monitoring, and security groups, of which instances without interfaces of their own have no use.

use cove_model::arn::{Arn, Tenant};
use cove_model::cluster::Cluster;
use cove_model::daemon::{Daemon, DaemonRevision};
use cove_model::managed_instances::{InstanceRequirements, Limits, ManagedInstancesProvider, RealLimits};
use cove_model::service::{Service, ServiceRevision};
use cove_model::task::{LaunchType, Task};
use cove_model::task_definition::NetworkMode;
use cove_model::task_override::{AwsVpcConfiguration, NetworkConfiguration};
use cove_scheduler::fleet::has_offers;
use cove_store::{Prefix, Read, keys};
use serde_json::{Map, Value, json};

use crate::ecs::error::EcsError;
use crate::ecs::task::{network, role_for_ecs};

/// Seconds that an instance may be idle, at most.
const SCALE_IN_MAX: i32 = 3600;

/// What one host has nothing for: the member, the only value that is the same as nothing, and why.
const REFUSED: &[(&str, Value, &str)] = &[
    ("/instanceLaunchTemplate/capacityReservations", Value::Null, NO_RESERVATIONS),
    ("/instanceLaunchTemplate/fipsEnabled", Value::Bool(false), "no cryptography here is validated for FIPS"),
    (
        "/instanceLaunchTemplate/instanceMetadataTagsPropagation",
        Value::Bool(false),
        "instances have no metadata service",
    ),
    (
        "/instanceLaunchTemplate/instanceRequirements/maxSpotPriceAsPercentageOfOptimalOnDemandPrice",
        Value::Null,
        "there is no Spot market: prices of Spot compare with each other alone",
    ),
];
const NO_RESERVATIONS: &str = "capacity cannot be reserved";
/// Values for which it has nothing.
const REFUSED_VALUES: &[(&str, &str, &str)] = &[
    ("/instanceLaunchTemplate/capacityOptionType", "RESERVED", NO_RESERVATIONS),
    ("/instanceLaunchTemplate/monitoring", "DETAILED", "there are no metrics of EC2"),
];

/// The settings, if everything that they say can be done here.
pub(super) fn read(store: &impl Read, tenant: &Tenant, given: &Value) -> Result<ManagedInstancesProvider, EcsError> {
    check_carried_out(given)?;
    let mut read: ManagedInstancesProvider = serde_json::from_value(given.clone())
        .map_err(|error| EcsError::parameter(format!("managedInstancesProvider is invalid: {error}")))?;
    read.infrastructure_role_arn = role_for_ecs(store, tenant, &read.infrastructure_role_arn)?;
    let template = &read.instance_launch_template;
    check_profile(tenant, template.ec2_instance_profile_arn.as_deref().unwrap_or_default())?;
    let places = AwsVpcConfiguration {
        subnets: template.network_configuration.subnets.clone(),
        security_groups: template.network_configuration.security_groups.clone(),
        assign_public_ip: None,
    };
    let places = NetworkConfiguration { awsvpc_configuration: Some(places) };
    network::resolve(store, tenant, NetworkMode::Awsvpc, LaunchType::ManagedInstances, Some(&places))?;
    if let Some(requirements) = &template.instance_requirements {
        check_requirements(requirements)?;
    }
    let idle_secs = read.infrastructure_optimization.and_then(|it| it.scale_in_after);
    if idle_secs.is_some_and(|secs| !(-1..=SCALE_IN_MAX).contains(&secs)) {
        return Err(EcsError::parameter(format!("scaleInAfter must be -1, or between 0 and {SCALE_IN_MAX}.")));
    }
    Ok(read)
}

/// What is given laid over what is known: members that are not given stay, those of the template too.
pub(super) fn merged(known: &ManagedInstancesProvider, given: Value) -> Value {
    const TEMPLATE: &str = "instanceLaunchTemplate";
    let mut all = serde_json::to_value(known).unwrap_or(Value::Null);
    let Value::Object(mut given) = given else { return all };
    let template = given.remove(TEMPLATE);
    lay_over(&mut all, given);
    if let (Some(Value::Object(template)), Some(own)) = (template, all.get_mut(TEMPLATE)) {
        lay_over(own, template);
    }
    all
}

fn lay_over(known: &mut Value, given: Map<String, Value>) {
    if let Value::Object(known) = known {
        known.extend(given.into_iter().filter(|(_, value)| !value.is_null()));
    }
}

fn check_carried_out(given: &Value) -> Result<(), EcsError> {
    let is_said = |value: &Value| match value {
        Value::Null => false,
        Value::Array(all) => !all.is_empty(),
        Value::Object(all) => !all.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    };
    let members =
        REFUSED.iter().filter(|(path, same, _)| given.pointer(path).is_some_and(|it| is_said(it) && it != same));
    let values = REFUSED_VALUES.iter().filter(|(path, value, _)| given.pointer(path) == Some(&json!(value)));
    let named = |path: &str| format!("managedInstancesProvider{}", path.replace('/', "."));
    let mut names: Vec<String> = members.map(|(path, _, why)| format!("{} ({why})", named(path))).collect();
    names.extend(values.map(|(path, value, why)| format!("{} {value} ({why})", named(path))));
    if names.is_empty() {
        return Ok(());
    }
    Err(EcsError::UnsupportedFeature(format!("This version of Cove does not carry out: {}.", names.join(", "))))
}

fn check_profile(tenant: &Tenant, text: &str) -> Result<(), EcsError> {
    let arn = Arn::parse(text).filter(|arn| arn.service == "iam" && arn.account == tenant.account);
    if arn.is_some_and(|arn| arn.path_of("instance-profile").is_some_and(|name| !name.is_empty())) {
        return Ok(());
    }
    Err(EcsError::parameter(format!(
        "The instance profile ARN '{text}' is invalid. Specify a valid ARN and try again."
    )))
}

fn check_requirements(wanted: &InstanceRequirements) -> Result<(), EcsError> {
    let whole = [
        ("vCpuCount", Some(wanted.v_cpu_count)),
        ("memoryMiB", Some(wanted.memory_mib)),
        ("networkInterfaceCount", wanted.network_interface_count),
        ("acceleratorCount", wanted.accelerator_count),
        ("acceleratorTotalMemoryMiB", wanted.accelerator_total_memory_mib),
        ("baselineEbsBandwidthMbps", wanted.baseline_ebs_bandwidth_mbps),
    ];
    let real = |limits: Limits| {
        // Counts and MiB are far below 2^52.
        #[allow(clippy::cast_precision_loss)]
        let real = |value: i64| value as f64;
        RealLimits { min: limits.min.map(real), max: limits.max.map(real) }
    };
    let mut ranges: Vec<_> = whole.into_iter().map(|(name, it)| (name, it.map(real))).collect();
    ranges.push(("memoryGiBPerVCpu", wanted.memory_gib_per_vcpu));
    ranges.push(("networkBandwidthGbps", wanted.network_bandwidth_gbps));
    ranges.push(("totalLocalStorageGB", wanted.total_local_storage_gb));
    for (name, limits) in ranges {
        let Some(RealLimits { min, max }) = limits else { continue };
        if min.is_some_and(|min| min < 0.0) || max.is_some_and(|max| max < 0.0) {
            return Err(EcsError::parameter(format!("instanceRequirements.{name} cannot be negative.")));
        }
        if min.zip(max).is_some_and(|(min, max)| min > max) {
            return Err(EcsError::parameter(format!(
                "The minimum of instanceRequirements.{name} must be less than or equal to its maximum."
            )));
        }
    }
    for (name, percent) in [
        ("onDemandMaxPricePercentageOverLowestPrice", wanted.on_demand_max_price_percentage_over_lowest_price),
        ("spotMaxPricePercentageOverLowestPrice", wanted.spot_max_price_percentage_over_lowest_price),
    ] {
        if percent.is_some_and(|percent| percent < 0) {
            return Err(EcsError::parameter(format!("instanceRequirements.{name} cannot be negative.")));
        }
    }
    if !wanted.allowed_instance_types.is_empty() && !wanted.excluded_instance_types.is_empty() {
        return Err(EcsError::parameter(
            "You cannot specify both allowedInstanceTypes and excludedInstanceTypes. Specify one of them and try again.",
        ));
    }
    if !has_offers(wanted) {
        return Err(EcsError::UnsupportedFeature(
            "This version of Cove knows no instance type that meets instanceRequirements: its table has x86-64 types alone."
                .to_owned(),
        ));
    }
    Ok(())
}

/// What of the cluster needs the provider, if something does.
pub(super) fn user(store: &impl Read, tenant: &Tenant, cluster: &str, name: &str) -> Option<&'static str> {
    let inside = Prefix::parent(tenant, cluster);
    let found = store.get::<Cluster>(&keys::cluster(tenant, cluster));
    let is_default =
        found.is_some_and(|it| it.default_capacity_provider_strategy.iter().any(|item| item.capacity_provider == name));
    if is_default {
        return Some("the default capacity provider strategy of its cluster");
    }
    let in_service = |service: &Service| {
        service.deployments.iter().any(|deployment| {
            let key = keys::service_revision(tenant, cluster, &service.name, &deployment.revision);
            let revision = store.get::<ServiceRevision>(&key);
            let strategy =
                |it: &ServiceRevision| it.template.placing.strategy.iter().any(|item| item.capacity_provider == name);
            revision.is_some_and(|it| strategy(&it))
        })
    };
    if store.live::<Service>(&inside).iter().any(|service| in_service(service)) {
        return Some("a service");
    }
    let in_daemon = |daemon: &Daemon| {
        let key = keys::daemon_part(tenant, cluster, &daemon.name, &daemon.revision);
        store.get::<DaemonRevision>(&key).is_some_and(|it| it.capacity_providers.iter().any(|it| it == name))
    };
    if store.scan::<Daemon>(&inside).iter().any(|daemon| in_daemon(daemon)) {
        return Some("a daemon");
    }
    let tasks = store.live::<Task>(&inside);
    tasks.iter().any(|task| task.placement.capacity_provider.as_deref() == Some(name)).then_some("a task")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused_of(given: &Value) -> Option<String> {
        check_carried_out(given).err().map(|error| error.to_string())
    }

    fn refused(template: &Value) -> Option<String> {
        refused_of(&json!({"instanceLaunchTemplate": template}))
    }

    #[test]
    fn what_one_host_has_nothing_for_is_named_with_the_reason_and_what_says_nothing_is_not() {
        assert_eq!(refused_of(&json!({"autoRepairConfiguration": {"actionsStatus": "DISABLED"}})), None);
        assert_eq!(refused(&json!({"fipsEnabled": false, "monitoring": "BASIC", "capacityReservations": {}})), None);
        let storage = json!({"storageConfiguration": {"storageSizeGiB": 80},
            "localStorageConfiguration": {"useLocalStorage": true},
            "instanceRequirements": {"localStorageTypes": ["ssd"], "localStorage": "required"}});
        assert_eq!(refused(&storage), None);
        let text = refused(&json!({
            "fipsEnabled": true,
            "instanceRequirements": {"maxSpotPriceAsPercentageOfOptimalOnDemandPrice": 50},
            "capacityOptionType": "RESERVED",
        }));
        assert_eq!(
            text.unwrap(),
            "This version of Cove does not carry out: \
             managedInstancesProvider.instanceLaunchTemplate.fipsEnabled (no cryptography here is validated for FIPS), \
             managedInstancesProvider.instanceLaunchTemplate.instanceRequirements\
             .maxSpotPriceAsPercentageOfOptimalOnDemandPrice (there is no Spot market: prices of Spot compare with each \
             other alone), \
             managedInstancesProvider.instanceLaunchTemplate.capacityOptionType RESERVED (capacity cannot be reserved)."
        );
    }

    #[test]
    fn an_update_keeps_what_it_does_not_say() {
        let known = json!({
            "infrastructureRoleArn": "r",
            "instanceLaunchTemplate": {"ec2InstanceProfileArn": "p", "networkConfiguration": {"subnets": ["a"]}},
            "propagateTags": "NONE",
        });
        let known: ManagedInstancesProvider = serde_json::from_value(known).unwrap();
        let given = json!({"infrastructureRoleArn": "s", "instanceLaunchTemplate": {"ec2InstanceProfileArn": "q"}});
        assert_eq!(
            merged(&known, given),
            json!({
                "infrastructureRoleArn": "s",
                "instanceLaunchTemplate": {"ec2InstanceProfileArn": "q", "networkConfiguration": {"subnets": ["a"]}},
                "propagateTags": "NONE",
            })
        );
    }

    #[test]
    fn requirements_that_contradict_themselves_are_refused() {
        let check = |given: Value| check_requirements(&serde_json::from_value(given).unwrap());
        assert!(check(json!({"vCpuCount": {"min": 0}, "memoryMiB": {"min": 0}})).is_ok());
        for (given, word) in [
            (json!({"vCpuCount": {"min": 4, "max": 2}}), "vCpuCount must be less"),
            (json!({"memoryMiB": {"min": -1}}), "memoryMiB cannot be negative"),
            (json!({"memoryGiBPerVCpu": {"min": 2.5, "max": 1.5}}), "memoryGiBPerVCpu must be less"),
            (json!({"allowedInstanceTypes": ["m5.*"], "excludedInstanceTypes": ["c5.*"]}), "both"),
            (json!({"allowedInstanceTypes": ["c8g.large"]}), "no instance type"),
            (json!({"networkBandwidthGbps": {"min": 200.0}}), "no instance type"),
            (json!({"baselineEbsBandwidthMbps": {"min": 2, "max": 1}}), "baselineEbsBandwidthMbps must be less"),
            (json!({"onDemandMaxPricePercentageOverLowestPrice": -1}), "OverLowestPrice cannot be negative"),
        ] {
            let text = check(given).unwrap_err().to_string();
            assert!(text.contains(word), "{text}");
        }
    }
}
