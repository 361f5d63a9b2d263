//! What an Express service is asked beside its container: health check, scaling, network.
//!
//! In: what a request says, and what held before. Out: what holds from now on, or the refusal. No clock.

use cove_model::arn::Tenant;
use cove_model::network::Subnet;
use cove_model::service::{ExpressRevision, ScalingMetric, ScalingTarget};
use cove_model::task_override::{AwsVpcConfiguration, NetworkConfiguration};
use cove_store::{Prefix, Read};

use crate::ecs::error::EcsError;
use crate::ecs::service::create::check_count;
use crate::ecs::wire::{ExpressNetwork, ExpressScaling, ExpressWish};

/// AWS's defaults.
const HEALTH_CHECK_PATH: &str = "/";
const SCALING: ScalingTarget = ScalingTarget {
    min_task_count: 1,
    max_task_count: 20,
    auto_scaling_metric: ScalingMetric::AverageCpu,
    auto_scaling_target_value: 60,
};

/// The next revision's own settings.
pub(super) fn revision(wish: &ExpressWish, before: Option<&ExpressRevision>) -> Result<ExpressRevision, EcsError> {
    let path = wish.health_check_path.as_deref().or(before.map(|it| &*it.health_check_path));
    let path = path.unwrap_or(HEALTH_CHECK_PATH);
    if !path.starts_with('/') {
        return Err(EcsError::parameter("healthCheckPath must start with a forward slash."));
    }
    let scaling = before.map_or(&SCALING, |it| &it.scaling);
    let scaling = wish.scaling_target.as_ref().map_or(Ok(scaling.clone()), |given| scaled(given, scaling))?;
    Ok(ExpressRevision { health_check_path: path.to_owned(), scaling })
}

fn scaled(given: &ExpressScaling, before: &ScalingTarget) -> Result<ScalingTarget, EcsError> {
    check_count(given.min_task_count)?;
    check_count(given.max_task_count)?;
    if given.auto_scaling_target_value.is_some_and(|value| value < 1) {
        return Err(EcsError::parameter("autoScalingTargetValue must be greater than 0."));
    }
    let number = |given: Option<i32>, before: u32| given.and_then(|value| u32::try_from(value).ok()).unwrap_or(before);
    let scaling = ScalingTarget {
        min_task_count: number(given.min_task_count, before.min_task_count),
        max_task_count: number(given.max_task_count, before.max_task_count),
        auto_scaling_metric: given.auto_scaling_metric.unwrap_or(before.auto_scaling_metric),
        auto_scaling_target_value: number(given.auto_scaling_target_value, before.auto_scaling_target_value),
    };
    if scaling.min_task_count > scaling.max_task_count {
        return Err(EcsError::parameter("minTaskCount must not be greater than maxTaskCount."));
    }
    Ok(scaling)
}

/// How many tasks a service keeps whose scaling changes: those that it was to keep at least follow; a count that
/// somebody set stays within the new bounds.
pub(super) fn desired(now: u32, before: &ScalingTarget, after: &ScalingTarget) -> u32 {
    if now == before.min_task_count {
        return after.min_task_count;
    }
    now.clamp(after.min_task_count, after.max_task_count)
}

/// Without subnets, those of the default VPC; without groups, the VPC's default one.
pub(super) fn network(
    store: &impl Read,
    tenant: &Tenant,
    given: Option<&ExpressNetwork>,
) -> Result<NetworkConfiguration, EcsError> {
    let given = given.cloned().unwrap_or_default();
    let mut subnets = given.subnets;
    if subnets.is_empty() {
        let all = store.scan::<Subnet>(&Prefix::tenant(tenant));
        subnets = all.iter().filter(|subnet| subnet.is_default).map(|subnet| subnet.id.clone()).collect();
    }
    if subnets.is_empty() {
        return Err(EcsError::parameter("No default VPC or subnets found"));
    }
    let awsvpc = AwsVpcConfiguration { subnets, security_groups: given.security_groups, assign_public_ip: None };
    Ok(NetworkConfiguration { awsvpc_configuration: Some(awsvpc) })
}

/// Of a service that is updated: what is not given stays.
pub(super) fn other_network(given: &ExpressNetwork, before: Option<&NetworkConfiguration>) -> NetworkConfiguration {
    let before = before.and_then(|it| it.awsvpc_configuration.clone()).unwrap_or_default();
    let or = |given: &[String], before: Vec<String>| if given.is_empty() { before } else { given.to_vec() };
    let awsvpc = AwsVpcConfiguration {
        subnets: or(&given.subnets, before.subnets),
        security_groups: or(&given.security_groups, before.security_groups),
        assign_public_ip: before.assign_public_ip,
    };
    NetworkConfiguration { awsvpc_configuration: Some(awsvpc) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wish(value: serde_json::Value) -> ExpressWish {
        serde_json::from_value(value).expect("a wish")
    }

    #[test]
    fn what_is_not_asked_is_the_default_first_and_stays_afterwards() {
        let first = revision(&wish(json!({})), None).expect("settings");
        assert_eq!((first.health_check_path.as_str(), &first.scaling), ("/", &SCALING));
        let second = revision(&wish(json!({"scalingTarget": {"minTaskCount": 3}})), Some(&first)).expect("settings");
        assert_eq!((second.scaling.min_task_count, second.scaling.max_task_count), (3, 20));
        let third = revision(&wish(json!({"healthCheckPath": "/up?full"})), Some(&second)).expect("settings");
        assert_eq!((third.health_check_path.as_str(), &third.scaling), ("/up?full", &second.scaling));
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        for bad in [
            json!({"healthCheckPath": "up"}),
            json!({"scalingTarget": {"minTaskCount": -1}}),
            json!({"scalingTarget": {"minTaskCount": 21}}),
            json!({"scalingTarget": {"minTaskCount": 2, "maxTaskCount": 1}}),
            json!({"scalingTarget": {"autoScalingTargetValue": 0}}),
        ] {
            assert!(revision(&wish(bad.clone()), None).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_count_follows_the_least_and_stays_within_the_bounds() {
        let scaling = |min, max| ScalingTarget { min_task_count: min, max_task_count: max, ..SCALING };
        assert_eq!(desired(1, &scaling(1, 20), &scaling(3, 20)), 3);
        assert_eq!(desired(3, &scaling(3, 20), &scaling(1, 20)), 1);
        assert_eq!(desired(5, &scaling(1, 20), &scaling(2, 20)), 5, "somebody asked for five");
        assert_eq!(desired(5, &scaling(1, 20), &scaling(2, 4)), 4);
    }
}
