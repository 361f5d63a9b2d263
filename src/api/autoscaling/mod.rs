//! Amazon EC2 Auto Scaling, as far as people look at the groups of the fleet and their instances.
//!
//! Deliberately absent: changing a group. What it has is declared (`[[instance]]`, `cove fleet`), and what it gets more is
//! its capacity provider's business; the model has the other operations by name alone.

#![allow(clippy::needless_pass_by_value, reason = "handlers own their input: the adapters hand it over")]

mod error;
mod group;
mod wire;

use crate::{Op, Service, read};

pub(crate) const OPS: &[Op] = &[
    Op::done("DescribeAutoScalingGroups", GROUPS, |cx, input| read(cx, input, group::describe)),
    Op::done("DescribeAutoScalingInstances", GROUPS, |cx, input| read(cx, input, group::describe_instances)),
];

const GROUPS: &str = "a_group_is_what_the_fleet_has_of_its_name";

pub static SERVICE: Service = Service::query("autoscaling", include_bytes!("model.json.gz"), OPS);
