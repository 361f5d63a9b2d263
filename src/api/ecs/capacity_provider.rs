//! Capacity providers: those of Fargate, which are always there, and those of Auto Scaling groups.
//!
//! A group is there when instances of the fleet were declared or added with its name.

use cove_model::arn::{Arn, Tenant};
use cove_model::capacity_provider::{
    CapacityProvider, CapacityProviderStatus, FARGATE, FARGATE_SPOT, ManagedScaling, Switch, UpdateStatus,
    capacity_provider_arn, is_fargate,
};
use cove_model::cluster::{Cluster, ClusterStatus};
use cove_model::container_instance::ContainerInstance;
use cove_scheduler::fleet::group_arn;
use cove_store::{Prefix, Read, Tx, keys};

use super::error::EcsError;
use super::page::{Direction, Listing, PAGE_MAX};
use super::wire::{
    self, AutoScalingGroupProviderIn, CapacityProviderOut, CapacityProvidersOut, CreateCapacityProviderIn,
    DeleteCapacityProviderIn, DescribeCapacityProvidersIn, Failure, TagsField, UpdateCapacityProviderIn,
};
use super::{cluster, reference, tag};
use crate::Context;

/// ECS's limit of a name.
const NAME_MAX: usize = 255;
/// Prefixes that are AWS's own.
const RESERVED: [&str; 3] = ["aws", "ecs", "fargate"];

/// A provider of the tenant that is ACTIVE and that somebody made.
pub(super) fn find(store: &impl Read, tenant: &Tenant, name: &str) -> Option<std::sync::Arc<CapacityProvider>> {
    store.get::<CapacityProvider>(&keys::capacity_provider(tenant, name)).filter(|it| it.is_active())
}

/// CreateCapacityProvider.
pub(super) async fn create(cx: &Context, input: CreateCapacityProviderIn) -> Result<CapacityProviderOut, EcsError> {
    check_name(&input.name)?;
    tag::check(&input.tags)?;
    let given = of_group(input.auto_scaling_group_provider, input.managed_instances_provider.is_some())?;
    if input.cluster.is_some() {
        return Err(EcsError::parameter(
            "The cluster parameter is only valid for managed instances capacity providers.",
        ));
    }
    let tenant = cx.tenant.clone();
    let asg = group_name(&tenant, given.auto_scaling_group_arn.as_deref().unwrap_or_default())?;
    let capacity_provider = cx
        .store
        .write(move |tx| {
            if find(tx, &tenant, &input.name).is_some() {
                return Err(EcsError::client(
                    "The specified capacity provider already exists. To change the configuration of an existing capacity provider, update the capacity provider.",
                ));
            }
            check_group(tx, &tenant, &asg)?;
            let fresh = CapacityProvider {
                tenant,
                name: input.name,
                status: CapacityProviderStatus::Active,
                update_status: UpdateStatus::CreateComplete,
                asg,
                managed_scaling: ManagedScaling::default(),
                managed_termination_protection: Switch::Disabled,
                managed_draining: Switch::Enabled,
                tags: input.tags,
                created_at: tx.now(),
            };
            let provider = changed(fresh, given)?;
            tx.put(provider.clone());
            Ok(show(&provider, true))
        })
        .await?;
    Ok(CapacityProviderOut { capacity_provider })
}

/// UpdateCapacityProvider: members that are not given stay.
pub(super) async fn update(cx: &Context, input: UpdateCapacityProviderIn) -> Result<CapacityProviderOut, EcsError> {
    let given = of_group(input.auto_scaling_group_provider, input.managed_instances_provider.is_some())?;
    let tenant = cx.tenant.clone();
    let name = changeable(&tenant, &input.name, input.cluster.as_deref())?;
    let capacity_provider = cx
        .store
        .write(move |tx| {
            let known = find(tx, &tenant, &name).ok_or_else(unknown)?;
            let update_status = UpdateStatus::UpdateComplete;
            let provider = changed(CapacityProvider { update_status, ..(*known).clone() }, given)?;
            tx.put(provider.clone());
            Ok::<_, EcsError>(show(&provider, true))
        })
        .await?;
    Ok(CapacityProviderOut { capacity_provider })
}

/// DeleteCapacityProvider: no cluster may have it.
pub(super) async fn delete(cx: &Context, input: DeleteCapacityProviderIn) -> Result<CapacityProviderOut, EcsError> {
    let tenant = cx.tenant.clone();
    let name = changeable(&tenant, &input.capacity_provider, input.cluster.as_deref())?;
    let capacity_provider = cx
        .store
        .write(move |tx| {
            let known = find(tx, &tenant, &name).ok_or_else(unknown)?;
            let clusters = tx.scan::<Cluster>(&Prefix::tenant(&tenant));
            let has_it = |cluster: &Cluster| {
                cluster.status == ClusterStatus::Active && cluster.capacity_providers.contains(&name)
            };
            if let Some(cluster) = clusters.iter().find(|cluster| has_it(cluster)) {
                return Err(EcsError::client(format!(
                    "The capacity provider cannot be deleted because it is associated with cluster: {}. Remove the capacity provider from the cluster and try again.",
                    cluster.name
                )));
            }
            let gone = CapacityProvider {
                status: CapacityProviderStatus::Inactive,
                update_status: UpdateStatus::DeleteComplete,
                ..(*known).clone()
            };
            tx.put(gone.clone());
            Ok(show(&gone, true))
        })
        .await?;
    Ok(CapacityProviderOut { capacity_provider })
}

/// DescribeCapacityProviders: those that are named, else all that are ACTIVE, of a cluster if one is named.
pub(super) fn describe(cx: &Context, input: DescribeCapacityProvidersIn) -> Result<CapacityProvidersOut, EcsError> {
    /// The one listing of ECS that says so little at once.
    const LISTING: Listing = Listing { name: "capacity-providers", default: 10, max: 10 };
    let tenant = &cx.tenant;
    if input.capacity_providers.len() > PAGE_MAX {
        return Err(EcsError::parameter("Capacity providers cannot have more than 100 elements."));
    }
    let named = input.capacity_providers.iter().map(|text| reference::capacity_provider(tenant, text));
    let named = named.collect::<Result<Vec<_>, _>>()?;
    let of_cluster = input.cluster.as_deref().map(|text| reference::cluster(tenant, Some(text))).transpose()?;
    let with_tags = input.include.contains(&TagsField::Tags);
    cx.store.read(|view| {
        let of_cluster = of_cluster.map(|name| cluster::active(view, tenant, &name)).transpose()?;
        let is_there = |name: &str| {
            let names = of_cluster.as_ref().map(|cluster| &cluster.capacity_providers);
            names.is_none_or(|names| names.iter().any(|one| one == name))
        };
        let shown = |name: &str| match name {
            _ if !is_there(name) => None,
            FARGATE | FARGATE_SPOT => Some(show_fargate(tenant, name)),
            _ => {
                let found = view.get::<CapacityProvider>(&keys::capacity_provider(tenant, name));
                found.map(|it| show(&it, with_tags))
            }
        };
        if !named.is_empty() {
            let mut out =
                CapacityProvidersOut { capacity_providers: Vec::new(), failures: Vec::new(), next_token: None };
            for name in &named {
                match shown(name) {
                    Some(provider) => out.capacity_providers.push(provider),
                    None => out.failures.push(Failure::missing(capacity_provider_arn(tenant, name))),
                }
            }
            return Ok(out);
        }
        let made = view.scan::<CapacityProvider>(&Prefix::tenant(tenant));
        let mut names: Vec<String> = made.iter().filter(|it| it.is_active()).map(|it| it.name.clone()).collect();
        names.extend([FARGATE, FARGATE_SPOT].map(str::to_owned));
        names.sort();
        let items = names.into_iter().filter_map(|name| shown(&name).map(|it| (name, it))).collect();
        let (capacity_providers, next_token) = LISTING.cut(&input.page, Direction::Up, items)?;
        Ok(CapacityProvidersOut { capacity_providers, failures: Vec::new(), next_token })
    })
}

fn check_name(name: &str) -> Result<(), EcsError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let lower = name.to_ascii_lowercase();
    let is_reserved = RESERVED.iter().any(|prefix| lower.starts_with(prefix));
    if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(legal) || is_reserved {
        return Err(EcsError::client(
            "The specified capacity provider name is invalid. Up to 255 characters are allowed, including letters (upper and lowercase), numbers, underscores, and hyphens. The name cannot be prefixed with \"aws\", \"ecs\", or \"fargate\". Specify a valid name and try again.",
        ));
    }
    Ok(())
}

/// The settings of an Auto Scaling group's provider.
fn of_group(
    given: Option<AutoScalingGroupProviderIn>,
    has_managed_instances: bool,
) -> Result<AutoScalingGroupProviderIn, EcsError> {
    if has_managed_instances {
        return Err(EcsError::UnsupportedFeature(
            "This version of Cove does not carry out: managedInstancesProvider.".to_owned(),
        ));
    }
    given.ok_or_else(|| EcsError::parameter("autoScalingGroupProvider must be specified."))
}

/// The name of one that can be changed.
fn changeable(tenant: &Tenant, text: &str, cluster: Option<&str>) -> Result<String, EcsError> {
    if cluster.is_some() {
        return Err(EcsError::parameter(
            "The cluster parameter is only valid for managed instances capacity providers.",
        ));
    }
    let name = reference::capacity_provider(tenant, text)?;
    if is_fargate(&name) {
        return Err(EcsError::parameter(format!("The capacity provider {name} is reserved and cannot be changed.")));
    }
    Ok(name)
}

fn unknown() -> EcsError {
    EcsError::parameter("The specified capacity provider does not exist. Specify a valid name or ARN and try again.")
}

/// The group's name, from `…:autoScalingGroupName/NAME` or the name itself.
fn group_name(tenant: &Tenant, text: &str) -> Result<String, EcsError> {
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
fn check_group(tx: &Tx<'_>, tenant: &Tenant, asg: &str) -> Result<(), EcsError> {
    let inside = Prefix::tenant(tenant);
    if !tx.scan::<ContainerInstance>(&inside).iter().any(|it| it.asg.as_deref() == Some(asg)) {
        return Err(EcsError::client(
            "The specified Auto Scaling group was not found. Specify a valid Auto Scaling group ARN and try again.",
        ));
    }
    if tx.scan::<CapacityProvider>(&inside).iter().any(|it| it.is_active() && it.asg == asg) {
        return Err(EcsError::client(
            "The specified Auto Scaling group ARN is already being used by another capacity provider. Specify a unique Auto Scaling group ARN and try again.",
        ));
    }
    Ok(())
}

/// The provider with what was given laid over it.
fn changed(mut provider: CapacityProvider, given: AutoScalingGroupProviderIn) -> Result<CapacityProvider, EcsError> {
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

fn show(it: &CapacityProvider, with_tags: bool) -> wire::CapacityProvider {
    wire::CapacityProvider {
        capacity_provider_arn: it.arn(),
        name: it.name.clone(),
        status: it.status,
        auto_scaling_group_provider: Some(wire::AutoScalingGroupProvider {
            auto_scaling_group_arn: group_arn(&it.tenant, &it.asg),
            managed_scaling: it.managed_scaling,
            managed_termination_protection: it.managed_termination_protection,
            managed_draining: it.managed_draining,
        }),
        update_status: Some(it.update_status),
        tags: if with_tags { it.tags.clone() } else { Vec::new() },
        kind: "EC2_AUTOSCALING",
    }
}

fn show_fargate(tenant: &Tenant, name: &str) -> wire::CapacityProvider {
    wire::CapacityProvider {
        capacity_provider_arn: capacity_provider_arn(tenant, name),
        name: name.to_owned(),
        status: CapacityProviderStatus::Active,
        auto_scaling_group_provider: None,
        update_status: None,
        tags: Vec::new(),
        kind: if name == FARGATE { "FARGATE" } else { "FARGATE_SPOT" },
    }
}
