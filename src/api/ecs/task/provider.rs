//! Where tasks run: launch type, or capacity providers and how a strategy spreads tasks over them.

use cove_model::cluster::{CapacityProviderStrategyItem, Cluster};
use cove_model::task::LaunchType;
use cove_model::task_definition::{Compatibility, TaskDefinition};

use super::order::Placing;
use crate::ecs::error::EcsError;

/// The platform versions of Linux on Fargate. They differ in what they support; all of that is in the newest.
const PLATFORM_VERSIONS: [&str; 3] = ["LATEST", "1.4.0", "1.3.0"];

/// The launch type, and the providers of the tasks in order (empty without a strategy).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) launch_type: LaunchType,
    pub(super) providers: Vec<String>,
}

/// Decides for `count` tasks.
pub(super) fn choose(cluster: &Cluster, placing: &Placing, count: usize) -> Result<Choice, EcsError> {
    let strategy = match placing {
        Placing::LaunchType(kind) => return of_launch_type(*kind),
        Placing::Strategy(strategy) => strategy,
        Placing::Default => &cluster.default_capacity_provider_strategy,
    };
    if strategy.is_empty() {
        return of_launch_type(LaunchType::Ec2);
    }
    if strategy.iter().any(|item| !cluster.capacity_providers.contains(&item.capacity_provider)) {
        return Err(EcsError::parameter(
            "The specified capacity provider strategy cannot contain a capacity provider that is not associated with the cluster. Associate the capacity provider with the cluster and try again.",
        ));
    }
    Ok(Choice { launch_type: LaunchType::Fargate, providers: spread(strategy, count) })
}

fn of_launch_type(launch_type: LaunchType) -> Result<Choice, EcsError> {
    match launch_type {
        LaunchType::Ec2 | LaunchType::Fargate => Ok(Choice { launch_type, providers: Vec::new() }),
        LaunchType::External => Err(EcsError::parameter("No Container Instances were found in your cluster.")),
        LaunchType::ManagedInstances => {
            Err(EcsError::parameter("Launch type MANAGED_INSTANCES requires a capacity provider strategy."))
        }
    }
}

/// The base first; then each task goes to the provider that is furthest behind its share.
fn spread(strategy: &[CapacityProviderStrategyItem], count: usize) -> Vec<String> {
    let mut given = vec![0_i64; strategy.len()];
    let mut names = Vec::with_capacity(count);
    let only = strategy.len() == 1;
    for index in 0..count {
        let with_base = strategy.iter().position(|item| usize::try_from(item.base).is_ok_and(|base| index < base));
        // given / weight is compared without division: the smallest (given + 1) / weight is furthest behind.
        let behind = || {
            (0..strategy.len()).filter(|at| only || strategy[*at].weight > 0).min_by(|left, right| {
                let (left_weight, right_weight) =
                    (i64::from(strategy[*left].weight.max(1)), i64::from(strategy[*right].weight.max(1)));
                ((given[*left] + 1) * right_weight).cmp(&((given[*right] + 1) * left_weight))
            })
        };
        let chosen = with_base.or_else(behind).unwrap_or(0);
        if with_base.is_none() {
            given[chosen] += 1;
        }
        names.push(strategy[chosen].capacity_provider.clone());
    }
    names
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

#[cfg(test)]
mod tests {
    use super::*;

    fn item(name: &str, weight: i32, base: i32) -> CapacityProviderStrategyItem {
        CapacityProviderStrategyItem { capacity_provider: name.to_owned(), weight, base }
    }

    #[test]
    fn a_strategy_fills_its_base_and_then_follows_the_weights() {
        let got = spread(&[item("FARGATE", 1, 2), item("FARGATE_SPOT", 3, 0)], 10);
        let on_demand = got.iter().filter(|name| *name == "FARGATE").count();
        assert_eq!(&got[..2], ["FARGATE", "FARGATE"]);
        assert_eq!((on_demand, got.len()), (4, 10));
    }

    #[test]
    fn one_provider_without_weight_takes_all() {
        assert_eq!(spread(&[item("FARGATE", 0, 0)], 2), ["FARGATE", "FARGATE"]);
    }
}
