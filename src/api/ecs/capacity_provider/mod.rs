//! Capacity providers: those of Fargate, which are always there, those of Auto Scaling groups (`group`), and those of
//! managed instances (`managed`), which belong to one cluster.
//!
//! A group is there when instances of the fleet were declared or added with its name; managed instances are made for
//! tasks.

mod attachment;
mod group;
mod managed;

use cove_model::arn::Tenant;
use cove_model::capacity_provider::{
    CapacityProvider, CapacityProviderStatus, FARGATE, FARGATE_SPOT, UpdateStatus, capacity_provider_arn, is_fargate,
};
use cove_model::cluster::{Cluster, ClusterStatus};
use cove_model::container_instance::ContainerInstance;
use cove_model::managed_instances::ManagedInstances;
use cove_scheduler::fleet::{group_arn, retire};
use cove_store::{Prefix, Read, Tx, keys};
use serde_json::Value;

use super::error::EcsError;
use super::page::{Direction, Listing, PAGE_MAX};
use super::wire::{
    self, AutoScalingGroupProviderIn, CapacityProviderOut, CapacityProvidersOut, CreateCapacityProviderIn,
    DeleteCapacityProviderIn, DescribeCapacityProvidersIn, Failure, TagsField, UpdateCapacityProviderIn,
};
use super::{cluster, reference, tag};
use crate::Context;

pub(super) use attachment::attachments;

/// ECS's limit of a name.
const NAME_MAX: usize = 255;
/// Prefixes that are AWS's own.
const RESERVED: [&str; 3] = ["aws", "ecs", "fargate"];

/// A provider of the tenant that is ACTIVE and that somebody made.
pub(super) fn find(store: &impl Read, tenant: &Tenant, name: &str) -> Option<std::sync::Arc<CapacityProvider>> {
    store.get::<CapacityProvider>(&keys::capacity_provider(tenant, name)).filter(|it| it.is_active())
}

/// What a provider is to be.
enum Given {
    Group(AutoScalingGroupProviderIn),
    Managed(Value),
}

/// CreateCapacityProvider.
pub(super) async fn create(cx: &Context, input: CreateCapacityProviderIn) -> Result<CapacityProviderOut, EcsError> {
    check_name(&input.name)?;
    tag::check(&input.tags)?;
    let given = given(input.auto_scaling_group_provider, input.managed_instances_provider)?;
    let tenant = cx.tenant.clone();
    let cluster = match (&given, &input.cluster) {
        (Given::Group(_), None) => None,
        (Given::Group(_), Some(_)) => return Err(cluster_of_a_group()),
        (Given::Managed(_), None) => {
            return Err(EcsError::parameter(
                "The cluster parameter is required for managed instances capacity providers.",
            ));
        }
        (Given::Managed(_), Some(text)) => Some(reference::cluster(&tenant, Some(text))?),
    };
    let capacity_provider = cx
        .store
        .write(move |tx| {
            if find(tx, &tenant, &input.name).is_some() {
                return Err(EcsError::client(
                    "The specified capacity provider already exists. To change the configuration of an existing capacity provider, update the capacity provider.",
                ));
            }
            let fresh = CapacityProvider::new(tenant.clone(), &input.name, tx.now());
            let fresh = CapacityProvider { tags: input.tags, ..fresh };
            let provider = match given {
                Given::Group(given) => {
                    let asg = group::name(&tenant, given.auto_scaling_group_arn.as_deref().unwrap_or_default())?;
                    group::check(tx, &tenant, &asg)?;
                    group::changed(CapacityProvider { asg, ..fresh }, given)?
                }
                Given::Managed(given) => {
                    let cluster = cluster.unwrap_or_default();
                    cluster::associate(tx, &tenant, &cluster, &fresh.name)?;
                    let provider = managed::read(tx, &tenant, &given)?;
                    CapacityProvider { managed: Some(ManagedInstances { cluster, provider }), ..fresh }
                }
            };
            tx.put(provider.clone());
            Ok(show(tx, &provider, true))
        })
        .await?;
    Ok(CapacityProviderOut { capacity_provider })
}

/// UpdateCapacityProvider: members that are not given stay.
pub(super) async fn update(cx: &Context, input: UpdateCapacityProviderIn) -> Result<CapacityProviderOut, EcsError> {
    let given = given(input.auto_scaling_group_provider, input.managed_instances_provider)?;
    let tenant = cx.tenant.clone();
    let wanted = Wanted::of(&tenant, &input.name, input.cluster.as_deref())?;
    let capacity_provider = cx
        .store
        .write(move |tx| {
            let known = wanted.find(tx, &tenant)?;
            let known =
                CapacityProvider { update_status: UpdateStatus::UpdateComplete, update_status_reason: None, ..known };
            let provider = match (given, known.managed.clone()) {
                (Given::Group(given), None) => group::changed(known, given)?,
                (Given::Managed(given), Some(ManagedInstances { cluster, provider })) => {
                    let provider = managed::read(tx, &tenant, &managed::merged(&provider, given))?;
                    CapacityProvider { managed: Some(ManagedInstances { cluster, provider }), ..known }
                }
                (Given::Group(_), Some(_)) | (Given::Managed(_), None) => {
                    return Err(EcsError::parameter("The type of a capacity provider cannot be changed."));
                }
            };
            tx.put(provider.clone());
            Ok::<_, EcsError>(show(tx, &provider, true))
        })
        .await?;
    Ok(CapacityProviderOut { capacity_provider })
}

/// DeleteCapacityProvider. One that a cluster has stays, and says in its status why. Managed instances are of their cluster
/// for good; nothing may need them any more, and they go with their provider.
pub(super) async fn delete(cx: &Context, input: DeleteCapacityProviderIn) -> Result<CapacityProviderOut, EcsError> {
    let tenant = cx.tenant.clone();
    let wanted = Wanted::of(&tenant, &input.capacity_provider, input.cluster.as_deref())?;
    let capacity_provider = cx
        .store
        .write(move |tx| {
            let known = wanted.find(tx, &tenant)?;
            match &known.managed {
                None => {
                    if let Some(reason) = why_used(tx, &tenant, &known.name) {
                        let kept = CapacityProvider {
                            update_status: UpdateStatus::DeleteFailed,
                            update_status_reason: Some(reason),
                            ..known
                        };
                        tx.put(kept.clone());
                        return Ok(show(tx, &kept, true));
                    }
                }
                Some(managed) => {
                    if let Some(user) = managed::user(tx, &tenant, &managed.cluster, &known.name) {
                        return Err(EcsError::client(format!(
                            "The capacity provider cannot be deleted because it is in use by {user}. Remove it from there and try again.",
                        )));
                    }
                    cluster::dissociate(tx, &tenant, &managed.cluster, &known.name);
                    retire(tx, &known);
                }
            }
            let gone = CapacityProvider {
                status: CapacityProviderStatus::Inactive,
                update_status: UpdateStatus::DeleteComplete,
                update_status_reason: None,
                ..known
            };
            tx.put(gone.clone());
            Ok::<_, EcsError>(show(tx, &gone, true))
        })
        .await?;
    Ok(CapacityProviderOut { capacity_provider })
}

fn why_used(tx: &Tx<'_>, tenant: &Tenant, name: &str) -> Option<String> {
    let clusters = tx.scan::<Cluster>(&Prefix::tenant(tenant));
    let has_it = |cluster: &Cluster| {
        cluster.status == ClusterStatus::Active && cluster.capacity_providers.iter().any(|it| it == name)
    };
    let cluster = clusters.iter().find(|cluster| has_it(cluster))?;
    Some(format!(
        "The capacity provider cannot be deleted because it is associated with cluster: {}. Remove the capacity provider from the cluster and try again.",
        cluster.name
    ))
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
                found.map(|it| show(view, &it, with_tags))
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

fn given(group: Option<AutoScalingGroupProviderIn>, managed: Option<Value>) -> Result<Given, EcsError> {
    match (group, managed) {
        (Some(group), None) => Ok(Given::Group(group)),
        (None, Some(managed)) => Ok(Given::Managed(managed)),
        (None, None) => {
            Err(EcsError::parameter("One of autoScalingGroupProvider and managedInstancesProvider must be specified."))
        }
        (Some(_), Some(_)) => Err(EcsError::parameter(
            "Only one of autoScalingGroupProvider and managedInstancesProvider can be specified.",
        )),
    }
}

/// One that is to be changed.
struct Wanted {
    name: String,
    cluster: Option<String>,
}

impl Wanted {
    fn of(tenant: &Tenant, text: &str, cluster: Option<&str>) -> Result<Self, EcsError> {
        let name = reference::capacity_provider(tenant, text)?;
        if is_fargate(&name) {
            return Err(EcsError::parameter(format!(
                "The capacity provider {name} is reserved and cannot be changed."
            )));
        }
        let cluster = cluster.map(|text| reference::cluster(tenant, Some(text))).transpose()?;
        Ok(Self { name, cluster })
    }

    /// A cluster that is named must be the one that has it.
    fn find(&self, tx: &Tx<'_>, tenant: &Tenant) -> Result<CapacityProvider, EcsError> {
        let known = find(tx, tenant, &self.name).ok_or_else(unknown)?;
        match (&self.cluster, &known.managed) {
            (None, _) => {}
            (Some(_), None) => return Err(cluster_of_a_group()),
            (Some(name), Some(managed)) => {
                cluster::active(tx, tenant, name)?;
                if managed.cluster != *name {
                    return Err(unknown());
                }
            }
        }
        Ok((*known).clone())
    }
}

fn cluster_of_a_group() -> EcsError {
    EcsError::parameter("The cluster parameter is only valid for managed instances capacity providers.")
}

fn unknown() -> EcsError {
    EcsError::client("The specified capacity provider does not exist. Specify a valid name or ARN and try again.")
}

fn show(store: &impl Read, it: &CapacityProvider, with_tags: bool) -> wire::CapacityProvider {
    let group = || wire::AutoScalingGroupProvider {
        auto_scaling_group_arn: group_arn(&it.tenant, &it.asg),
        managed_scaling: it.managed_scaling,
        managed_termination_protection: it.managed_termination_protection,
        managed_draining: it.managed_draining,
    };
    let is_leaving = it.managed.as_ref().is_some_and(|managed| {
        let instances = store.scan::<ContainerInstance>(&Prefix::parent(&it.tenant, &managed.cluster));
        !it.is_active() && instances.iter().any(|one| one.is_registered() && it.pool().has(one))
    });
    wire::CapacityProvider {
        capacity_provider_arn: it.arn(),
        name: it.name.clone(),
        cluster: it.managed.as_ref().map(|managed| managed.cluster.clone()),
        status: if is_leaving { CapacityProviderStatus::Deprovisioning } else { it.status },
        auto_scaling_group_provider: it.managed.is_none().then(group),
        managed_instances_provider: it.managed.as_ref().map(|managed| managed.provider.clone()),
        update_status: Some(if is_leaving { UpdateStatus::DeleteInProgress } else { it.update_status }),
        update_status_reason: it.update_status_reason.clone(),
        tags: if with_tags { it.tags.clone() } else { Vec::new() },
        kind: if it.managed.is_some() { "MANAGED_INSTANCES" } else { "EC2_AUTOSCALING" },
    }
}

fn show_fargate(tenant: &Tenant, name: &str) -> wire::CapacityProvider {
    wire::CapacityProvider {
        capacity_provider_arn: capacity_provider_arn(tenant, name),
        name: name.to_owned(),
        status: CapacityProviderStatus::Active,
        cluster: None,
        auto_scaling_group_provider: None,
        managed_instances_provider: None,
        update_status: None,
        update_status_reason: None,
        tags: Vec::new(),
        kind: if name == FARGATE { "FARGATE" } else { "FARGATE_SPOT" },
    }
}
