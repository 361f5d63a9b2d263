//! Subnets.

use std::sync::Arc;

use cove_model::network::Subnet;
use cove_model::task::{Task, TaskNetwork};
use cove_store::{Prefix, Read};
use serde_json::{Value, json};

use super::error::Ec2Error;
use super::filter::{Item, Noun, RESULTS, answer, texts};
use super::zone;
use crate::Context;

const NOUN: Noun = Noun {
    member: "SubnetIds",
    code: "InvalidSubnetID.NotFound",
    what: "subnet ID",
    list: "Subnets",
    filters: FILTERS,
    results: RESULTS,
};
const FILTERS: &[&str] = &[
    "availability-zone",
    "availability-zone-id",
    "availabilityZone",
    "availabilityZoneId",
    "available-ip-address-count",
    "cidr",
    "cidr-block",
    "cidrBlock",
    "customer-owned-ipv4-pool",
    "default-for-az",
    "defaultForAz",
    "enable-dns64",
    "enable-lni-at-device-index",
    "ipv6-cidr-block-association.association-id",
    "ipv6-cidr-block-association.ipv6-cidr-block",
    "ipv6-cidr-block-association.state",
    "ipv6-native",
    "map-customer-owned-ip-on-launch",
    "map-public-ip-on-launch",
    "outpost-arn",
    "owner-id",
    "private-dns-name-options-on-launch.enable-resource-name-dns-a-record",
    "private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record",
    "private-dns-name-options-on-launch.hostname-type",
    "state",
    "subnet-arn",
    "subnet-id",
    "vpc-id",
];
/// AWS keeps the first four addresses of a subnet and the last.
const RESERVED: u64 = 5;

/// DescribeSubnets.
pub(super) fn describe(cx: &Context, input: Value) -> Result<Value, Ec2Error> {
    let (subnets, tasks) = cx.store.read(|view| {
        let prefix = Prefix::tenant(&cx.tenant);
        (view.scan::<Subnet>(&prefix), view.live::<Task>(&prefix))
    });
    let items = subnets.iter().map(|subnet| item(subnet, &tasks)).collect();
    answer(items, &texts(&input["SubnetIds"]), &input, &NOUN)
}

fn item(subnet: &Subnet, tasks: &[Arc<Task>]) -> Item {
    let is_in = |task: &&Arc<Task>| match &task.network {
        TaskNetwork::Awsvpc(eni) => eni.subnet_id == subnet.id,
        TaskNetwork::None | TaskNetwork::Host | TaskNetwork::Bridge { .. } => false,
    };
    let taken = RESERVED + tasks.iter().filter(is_in).count() as u64;
    let free = subnet.cidr.size().saturating_sub(taken);
    let (cidr, zone, owner) = (subnet.cidr.to_string(), subnet.availability_zone.clone(), &subnet.tenant.account);
    let (zone_id, is_default) = (zone::id(&subnet.tenant, &zone), subnet.is_default.to_string());
    let arn = subnet.tenant.arn("ec2", format_args!("subnet/{}", subnet.id));
    let shown = json!({
        "SubnetId": subnet.id, "SubnetArn": arn, "VpcId": subnet.vpc_id, "OwnerId": owner, "CidrBlock": cidr,
        "AvailabilityZone": zone, "AvailabilityZoneId": zone_id, "AvailableIpAddressCount": free,
        "DefaultForAz": subnet.is_default, "MapPublicIpOnLaunch": subnet.is_default, "State": "available",
        "AssignIpv6AddressOnCreation": false,
    });
    let properties = vec![
        ("subnet-id", subnet.id.clone()),
        ("subnet-arn", arn),
        ("vpc-id", subnet.vpc_id.clone()),
        ("owner-id", owner.clone()),
        ("cidr-block", cidr.clone()),
        ("cidrBlock", cidr.clone()),
        ("cidr", cidr),
        ("availability-zone", zone.clone()),
        ("availabilityZone", zone),
        ("availability-zone-id", zone_id.clone()),
        ("availabilityZoneId", zone_id),
        ("available-ip-address-count", free.to_string()),
        ("default-for-az", is_default.clone()),
        ("defaultForAz", is_default.clone()),
        ("map-public-ip-on-launch", is_default),
        ("state", "available".to_owned()),
    ];
    Item { id: subnet.id.clone(), properties, tags: Vec::new(), shown }
}
