//! Where tasks run: launch type, or the capacity providers of a strategy.

use cove_model::arn::Tenant;
use cove_model::capacity_provider::is_fargate;
use cove_model::cluster::{CapacityProviderStrategyItem as Item, Cluster};
use cove_model::task::LaunchType;
use cove_model::task_definition::{Compatibility, TaskDefinition};
use cove_store::Read;

use super::ask::PlacingWish;
use crate::ecs::capacity_provider;
use crate::ecs::error::EcsError;

/// The platform versions of Linux on Fargate. They differ in what they support; all of that is in the newest.
const PLATFORM_VERSIONS: [&str; 3] = ["LATEST", "1.4.0", "1.3.0"];

/// Decides.
pub(super) fn choose(
    store: &impl Read,
    cluster: &Cluster,
    wish: &PlacingWish,
) -> Result<(LaunchType, Vec<Item>), EcsError> {
    let strategy = match wish {
        PlacingWish::LaunchType(kind) => return of_launch_type(*kind),
        PlacingWish::Strategy(strategy) => strategy,
        PlacingWish::Default => &cluster.default_capacity_provider_strategy,
    };
    if strategy.is_empty() {
        return of_launch_type(LaunchType::Ec2);
    }
    if strategy.iter().any(|item| !cluster.capacity_providers.contains(&item.capacity_provider)) {
        return Err(EcsError::parameter(
            "The specified capacity provider strategy cannot contain a capacity provider that is not associated with the cluster. Associate the capacity provider with the cluster and try again.",
        ));
    }
    let launch_type = kind(store, &cluster.tenant, strategy)?.unwrap_or(LaunchType::Ec2);
    Ok((launch_type, strategy.clone()))
}

/// What the tasks of a strategy run on, if there is one: all its providers must be of one kind.
pub(in crate::ecs) fn kind(
    store: &impl Read,
    tenant: &Tenant,
    strategy: &[Item],
) -> Result<Option<LaunchType>, EcsError> {
    let mut known: Option<LaunchType> = None;
    for Item { capacity_provider: name, .. } in strategy {
        let own = match capacity_provider::find(store, tenant, name) {
            _ if is_fargate(name) => LaunchType::Fargate,
            Some(provider) if provider.managed.is_some() => LaunchType::ManagedInstances,
            Some(_) => LaunchType::Ec2,
            None => {
                return Err(EcsError::parameter(format!("The specified capacity provider '{name}' was not found.")));
            }
        };
        match known {
            None => known = Some(own),
            Some(first) if first == own => {}
            Some(first) => return Err(mixed(first, own)),
        }
    }
    Ok(known)
}

fn mixed(one: LaunchType, other: LaunchType) -> EcsError {
    EcsError::parameter(if [one, other].contains(&LaunchType::ManagedInstances) {
        "A capacity provider strategy cannot contain a mix of Managed Instances capacity providers and others. Specify one or the other and try again."
    } else {
        "A capacity provider strategy cannot contain a mix of capacity providers using Auto Scaling groups and Fargate providers. Specify one or the other and try again."
    })
}

fn of_launch_type(launch_type: LaunchType) -> Result<(LaunchType, Vec<Item>), EcsError> {
    match launch_type {
        LaunchType::Ec2 | LaunchType::Fargate | LaunchType::External => Ok((launch_type, Vec::new())),
        LaunchType::ManagedInstances => {
            Err(EcsError::parameter("Launch type MANAGED_INSTANCES requires a capacity provider strategy."))
        }
    }
}

/// Whether the definition can run there, on the platform that was asked for.
pub(super) fn check(
    definition: &TaskDefinition,
    launch_type: LaunchType,
    platform_version: Option<&str>,
) -> Result<(), EcsError> {
    let (needed, name) = match launch_type {
        LaunchType::Fargate => (Compatibility::Fargate, "FARGATE"),
        LaunchType::Ec2 => (Compatibility::Ec2, "EC2"),
        LaunchType::External => (Compatibility::External, "EXTERNAL"),
        LaunchType::ManagedInstances => (Compatibility::ManagedInstances, "MANAGED_INSTANCES"),
    };
    if !definition.compatibilities.contains(&needed) {
        return Err(EcsError::parameter(format!("Task definition does not support launch_type {name}.")));
    }
    match (platform_version, launch_type) {
        (None, _) => Ok(()),
        (Some(version), LaunchType::Fargate) if PLATFORM_VERSIONS.contains(&version) => Ok(()),
        (Some(_), LaunchType::Fargate) => Err(EcsError::PlatformUnknown),
        (Some(_), LaunchType::Ec2 | LaunchType::External | LaunchType::ManagedInstances) => {
            Err(EcsError::parameter("The platform version must be null when specifying an EC2 launch type."))
        }
    }
}
