//! Where tasks run: launch type, or the capacity providers of a strategy.

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
    let on_fargate = strategy.iter().filter(|item| is_fargate(&item.capacity_provider)).count();
    if on_fargate == strategy.len() {
        return Ok((LaunchType::Fargate, strategy.clone()));
    }
    if on_fargate > 0 {
        return Err(EcsError::parameter(
            "A capacity provider strategy cannot contain a mix of capacity providers using Auto Scaling groups and Fargate providers. Specify one or the other and try again.",
        ));
    }
    let is_gone = |item: &&Item| capacity_provider::find(store, &cluster.tenant, &item.capacity_provider).is_none();
    if let Some(item) = strategy.iter().find(is_gone) {
        let name = &item.capacity_provider;
        return Err(EcsError::parameter(format!("The specified capacity provider '{name}' was not found.")));
    }
    Ok((LaunchType::Ec2, strategy.clone()))
}

fn of_launch_type(launch_type: LaunchType) -> Result<(LaunchType, Vec<Item>), EcsError> {
    match launch_type {
        LaunchType::Ec2 | LaunchType::Fargate => Ok((launch_type, Vec::new())),
        LaunchType::External => Err(EcsError::parameter("No Container Instances were found in your cluster.")),
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
