//! Amazon EC2, as far as tools look up where tasks can run: the zones, VPCs, subnets and security groups of the tenant, and
//! the machines of its fleet.
//!
//! Deliberately absent: making or changing a network, starting machines (`cove fleet add` does), and everything else of EC2;
//! the model has only what is here.

#![allow(clippy::needless_pass_by_value, reason = "handlers own their input: the adapters hand it over")]

mod error;
mod filter;
mod group;
pub(crate) mod instance;
mod instance_type;
mod subnet;
mod vpc;
mod zone;

use crate::{Op, Service, json, read};

pub(crate) const OPS: &[Op] = &[
    Op::done("DescribeAvailabilityZones", LOOKED_UP, |cx, input| read(cx, input, zone::describe)),
    Op::partial("DescribeInstanceTypes", TYPES, TABLE, |cx, input| read(cx, input, instance_type::describe)),
    Op::done("DescribeInstances", FLEET, |cx, input| read(cx, input, instance::describe)),
    Op::done("DescribeSecurityGroups", LOOKED_UP, |cx, input| read(cx, input, group::describe)),
    Op::done("DescribeSubnets", LOOKED_UP, |cx, input| read(cx, input, subnet::describe)),
    Op::done("DescribeVpcs", LOOKED_UP, |cx, input| read(cx, input, vpc::describe)),
    Op::done("TerminateInstances", FLEET, |cx, input| json(cx, input, instance::terminate)),
];

const FLEET: &str = "the_fleets_machines_are_instances_until_they_are_terminated";
const TYPES: &str = "instance_types_are_described_as_the_table_has_them";
const TABLE: &str = "x86-64 types of the general, burstable and GPU families alone; addresses per interface, cores, clock \
                     speed and placement groups are not known";
/// Its test starts a task in what it finds.
const LOOKED_UP: &str = "a_task_runs_in_the_network_that_was_looked_up";

pub static SERVICE: Service = Service::query("ec2", include_bytes!("model.json.gz"), OPS);
