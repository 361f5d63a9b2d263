//! The settings of an Auto Scaling group's provider.

use cove_model::arn::{Arn, Tenant};
use cove_model::capacity_provider::{CapacityProvider, Switch};
use cove_model::container_instance::ContainerInstance;
use cove_store::{Prefix, Read, Tx};

use crate::ecs::error::EcsError;
use crate::ecs::wire::AutoScalingGroupProviderIn;

/// The group's name, from `…:autoScalingGroupName/NAME` or the name itself.
pub(super) fn name(tenant: &Tenant, text: &str) -> Result<String, EcsError> {
    let invalid = || {
        EcsError::client(
            "The specified Auto Scaling group ARN is invalid. Specify a valid Auto Scaling group ARN and try again.",
        )
    };
    if text.is_empty() {
        return Err(invalid());
    }
    if !text.starts_with("arn:") {
        return Ok(text.to_owned());
    }
    let arn = Arn::parse(text).ok_or_else(invalid)?;
    let (_, name) = arn.resource.split_once("autoScalingGroupName/").ok_or_else(invalid)?;
    let is_own = arn.service == "autoscaling" && arn.region == tenant.region && arn.account == tenant.account;
    if is_own && !name.is_empty() { Ok(name.to_owned()) } else { Err(invalid()) }
}

/// Whether the group is there and free.
pub(super) fn check(tx: &Tx<'_>, tenant: &Tenant, asg: &str) -> Result<(), EcsError> {
    let inside = Prefix::tenant(tenant);
    if !tx.scan::<ContainerInstance>(&inside).iter().any(|it| it.asg.as_deref() == Some(asg)) {
        return Err(EcsError::client(
            "The specified Auto Scaling group was not found. Specify a valid Auto Scaling group ARN and try again.",
        ));
    }
    let is_used = |it: &CapacityProvider| it.is_active() && it.managed.is_none() && it.asg == asg;
    if tx.scan::<CapacityProvider>(&inside).iter().any(|it| is_used(it)) {
        return Err(EcsError::client(
            "The specified Auto Scaling group ARN is already being used by another capacity provider. Specify a unique Auto Scaling group ARN and try again.",
        ));
    }
    Ok(())
}

/// The provider with what was given laid over it.
pub(super) fn changed(
    mut provider: CapacityProvider,
    given: AutoScalingGroupProviderIn,
) -> Result<CapacityProvider, EcsError> {
    if let Some(scaling) = given.managed_scaling {
        let own = &mut provider.managed_scaling;
        own.status = scaling.status.unwrap_or(own.status);
        own.target_capacity = scaling.target_capacity.unwrap_or(own.target_capacity);
        own.minimum_scaling_step_size = scaling.minimum_scaling_step_size.unwrap_or(own.minimum_scaling_step_size);
        own.maximum_scaling_step_size = scaling.maximum_scaling_step_size.unwrap_or(own.maximum_scaling_step_size);
        own.instance_warmup_period = scaling.instance_warmup_period.unwrap_or(own.instance_warmup_period);
        if own.minimum_scaling_step_size > own.maximum_scaling_step_size {
            return Err(EcsError::parameter(
                "The minimum scaling step size must be less than or equal to the maximum scaling step size.",
            ));
        }
    }
    let protection = given.managed_termination_protection;
    provider.managed_termination_protection = protection.unwrap_or(provider.managed_termination_protection);
    provider.managed_draining = given.managed_draining.unwrap_or(provider.managed_draining);
    if (provider.managed_scaling.status, provider.managed_termination_protection) == (Switch::Disabled, Switch::Enabled)
    {
        return Err(EcsError::client(
            "The managed termination protection setting for the capacity provider is invalid. To enable managed termination protection for a capacity provider, enable managed scaling.",
        ));
    }
    Ok(provider)
}
