//! Groups: what the fleet has of a name.
//!
//! Holds: a group is there as long as a record names it, be it of an instance that is gone, for a capacity provider makes
//! new ones like that; MinSize ≤ DesiredCapacity ≤ MaxSize.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cove_base::Timestamp;
use cove_model::capacity_provider::{CapacityProvider, Switch};
use cove_model::container_instance::{ContainerInstance, Origin};
use cove_model::network::Subnet;
use cove_scheduler::fleet::{group_arn, group_max, is_used};
use cove_store::{Prefix, Read};

use super::error::ScalingError;
use super::wire::{
    DescribeGroupsIn, DescribeInstancesIn, Filter, GroupOut, GroupsOut, InstanceOut, InstancesOut, TagOut,
};
use crate::Context;
use crate::aws::listing::{self, Order};
use crate::ec2::instance::{MANAGED_TAG, State, known, scaled_by, type_of};

/// AWS's page of groups that nobody limited; more names than that need a larger one.
const PAGE: i64 = 50;
const PAGE_MAX: i64 = 100;
const NAMES_MAX: usize = 50;
/// What a group has of which nobody said anything.
const COOLDOWN_SECS: u32 = 300;

/// DescribeAutoScalingGroups. Names that are no group's are just not in the answer.
pub(super) fn describe(cx: &Context, input: DescribeGroupsIn) -> Result<GroupsOut, ScalingError> {
    let limit = limit(input.max_records, PAGE_MAX)?;
    let names_max = limit.max(NAMES_MAX);
    if input.auto_scaling_group_names.len() > names_max {
        return Err(ScalingError::Names(names_max));
    }
    if let Some(unknown) = input.filters.iter().find(|filter| !filter.is_known()) {
        return Err(ScalingError::Filter(unknown.name.clone()));
    }
    let names = &input.auto_scaling_group_names;
    let mut groups = cx.store.read(|view| {
        let surroundings = Surroundings::of(view, &Prefix::tenant(&cx.tenant));
        let wanted = surroundings.groups().into_iter().filter(|it| names.is_empty() || names.contains(&it.0));
        wanted.map(|(name, members)| group(view, cx, &name, &members, &surroundings)).collect::<Vec<_>>()
    });
    groups.retain(|group| input.filters.iter().all(|filter| filter.passes(&group.tags)));
    if input.include_instances == Some(false) {
        groups.iter_mut().for_each(|group| group.instances.clear());
    }
    let (auto_scaling_groups, next_token) =
        listing::page(groups, input.next_token.as_deref(), limit, Order::Up, |one: &GroupOut| {
            one.auto_scaling_group_name.clone()
        })
        .map_err(|_| ScalingError::Token)?;
    Ok(GroupsOut { auto_scaling_groups, next_token })
}

/// DescribeAutoScalingInstances: those of every group.
pub(super) fn describe_instances(cx: &Context, input: DescribeInstancesIn) -> Result<InstancesOut, ScalingError> {
    let limit = limit(input.max_records, PAGE)?;
    let mut instances = cx.store.read(|view| {
        let surroundings = Surroundings::of(view, &Prefix::tenant(&cx.tenant));
        let of_group = |(name, members): (String, Vec<&Arc<ContainerInstance>>)| {
            let all = shown(view, &members, scaled_by(&surroundings.providers, &name));
            all.into_iter().map(move |one| InstanceOut { auto_scaling_group_name: Some(name.clone()), ..one })
        };
        surroundings.groups().into_iter().flat_map(of_group).collect::<Vec<_>>()
    });
    instances.retain(|one| input.instance_ids.is_empty() || input.instance_ids.contains(&one.instance_id));
    let (auto_scaling_instances, next_token) =
        listing::page(instances, input.next_token.as_deref(), limit, Order::Up, |one: &InstanceOut| {
            one.instance_id.clone()
        })
        .map_err(|_| ScalingError::Token)?;
    Ok(InstancesOut { auto_scaling_instances, next_token })
}

fn limit(asked: Option<i64>, most: i64) -> Result<usize, ScalingError> {
    let value = asked.unwrap_or(PAGE);
    match usize::try_from(value) {
        Ok(count) if count > 0 && value <= most => Ok(count),
        _ => Err(ScalingError::MaxRecords { value, limit: if value > most { most } else { 1 } }),
    }
}

impl Filter {
    fn is_known(&self) -> bool {
        matches!(self.name.as_str(), "tag-key" | "tag-value") || self.name.starts_with("tag:")
    }

    fn passes(&self, tags: &[TagOut]) -> bool {
        let is_wanted = |value: &str| self.values.iter().any(|wanted| wanted == value);
        tags.iter().any(|tag| match self.name.strip_prefix("tag:") {
            Some(key) => tag.key == key && is_wanted(tag.value),
            None if self.name == "tag-key" => is_wanted(tag.key),
            None => is_wanted(tag.value),
        })
    }
}

/// The tenant's records that groups are made of.
struct Surroundings {
    instances: Vec<Arc<ContainerInstance>>,
    providers: Vec<Arc<CapacityProvider>>,
    subnets: Vec<Arc<Subnet>>,
}

impl Surroundings {
    fn of(source: &impl Read, prefix: &Prefix) -> Self {
        let (providers, subnets) = (source.scan(prefix), source.scan(prefix));
        Self { instances: known(source, prefix), providers, subnets }
    }

    /// By name, with those that ever were of it.
    fn groups(&self) -> BTreeMap<String, Vec<&Arc<ContainerInstance>>> {
        let of_group = |it: &&Arc<CapacityProvider>| it.is_active() && it.managed.is_none();
        let mut groups: BTreeMap<String, Vec<&Arc<ContainerInstance>>> =
            self.providers.iter().filter(of_group).map(|it| (it.asg.clone(), Vec::new())).collect();
        for instance in &self.instances {
            if let Some(name) = &instance.asg {
                groups.entry(name.clone()).or_default().push(instance);
            }
        }
        groups
    }

    fn subnets_in(&self, zones: &BTreeSet<String>) -> String {
        let is_in = |it: &&Arc<Subnet>| it.is_default && zones.contains(&it.availability_zone);
        self.subnets.iter().filter(is_in).map(|it| it.id.as_str()).collect::<Vec<_>>().join(",")
    }

    fn made_at(&self, name: &str, members: &[&Arc<ContainerInstance>]) -> Timestamp {
        let providers = self.providers.iter().filter(|it| it.asg == name).map(|it| it.created_at);
        members.iter().map(|it| it.registered_at).chain(providers).min().unwrap_or(Timestamp(0))
    }
}

fn group(
    source: &impl Read,
    cx: &Context,
    name: &str,
    members: &[&Arc<ContainerInstance>],
    around: &Surroundings,
) -> GroupOut {
    let provider = scaled_by(&around.providers, name);
    let zones: BTreeSet<String> = members.iter().map(|it| it.availability_zone.clone()).collect();
    let here = || members.iter().filter(|it| it.is_registered() && !it.leaves_when_empty);
    let desired = here().count();
    let limit = group_max(members.iter().map(|it| &***it));
    let tag = |_| TagOut {
        resource_id: name.to_owned(),
        resource_type: "auto-scaling-group",
        key: MANAGED_TAG,
        value: "",
        propagate_at_launch: true,
    };
    GroupOut {
        auto_scaling_group_name: name.to_owned(),
        auto_scaling_group_arn: group_arn(&cx.tenant, name),
        min_size: here().filter(|it| it.origin == Origin::Declared).count(),
        max_size: limit.max(desired),
        desired_capacity: desired,
        default_cooldown: COOLDOWN_SECS,
        vpc_zone_identifier: around.subnets_in(&zones),
        availability_zones: zones.into_iter().collect(),
        health_check_type: "EC2",
        health_check_grace_period: 0,
        instances: shown(source, members, provider),
        created_time: around.made_at(name, members).epoch_seconds(),
        tags: provider.map(tag).into_iter().collect(),
        new_instances_protected_from_scale_in: provider.is_some_and(is_protecting),
    }
}

fn is_protecting(provider: &CapacityProvider) -> bool {
    provider.managed_termination_protection == Switch::Enabled
}

/// Those that are not gone. What is to leave when it is empty waits for that, as AWS's own hook lets it.
fn shown(
    source: &impl Read,
    members: &[&Arc<ContainerInstance>],
    provider: Option<&CapacityProvider>,
) -> Vec<InstanceOut> {
    let show = |instance: &&Arc<ContainerInstance>| {
        let lifecycle_state = match State::of(source, instance) {
            State::Running if instance.leaves_when_empty => "Terminating:Wait",
            State::Running => "InService",
            State::ShuttingDown => "Terminating",
            State::Terminated => return None,
        };
        Some(InstanceOut {
            instance_id: instance.ec2_instance_id.clone(),
            instance_type: type_of(instance).map(str::to_owned),
            auto_scaling_group_name: None,
            availability_zone: instance.availability_zone.clone(),
            lifecycle_state,
            health_status: "Healthy",
            protected_from_scale_in: provider.is_some_and(is_protecting) && is_used(source, instance),
        })
    };
    members.iter().filter_map(show).collect()
}
