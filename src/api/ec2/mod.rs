//! Amazon EC2, as far as tools look up where tasks can run: the zones, VPCs, subnets and security groups of the tenant.
//!
//! Deliberately absent: making or changing any of them, and everything else of EC2; the model has only what is here.

#![allow(clippy::needless_pass_by_value, reason = "handlers own their input: the adapters hand it over")]

mod error;
mod filter;
mod group;
mod subnet;
mod vpc;
mod zone;

use crate::{Op, Service, read};

pub(crate) const OPS: &[Op] = &[
    Op::done("DescribeAvailabilityZones", LOOKED_UP, |cx, input| read(cx, input, zone::describe)),
    Op::done("DescribeSecurityGroups", LOOKED_UP, |cx, input| read(cx, input, group::describe)),
    Op::done("DescribeSubnets", LOOKED_UP, |cx, input| read(cx, input, subnet::describe)),
    Op::done("DescribeVpcs", LOOKED_UP, |cx, input| read(cx, input, vpc::describe)),
];

/// Its test starts a task in what it finds.
const LOOKED_UP: &str = "a_task_runs_in_the_network_that_was_looked_up";

pub static SERVICE: Service = Service::query("ec2", include_bytes!("model.json.gz"), OPS);
