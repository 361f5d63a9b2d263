//! Availability zones: those that the tenant has subnets in.

use std::collections::BTreeSet;

use cove_model::arn::Tenant;
use cove_model::network::Subnet;
use cove_store::{Prefix, Read};
use serde_json::{Value, json};

use super::error::Ec2Error;
use super::filter::{Item, Noun, RESULTS, answer, texts};
use crate::Context;

const NOUN: Noun = Noun {
    member: "ZoneNames",
    code: "InvalidParameterValue",
    what: "availability zone",
    list: "AvailabilityZones",
    filters: FILTERS,
    results: RESULTS,
};
const FILTERS: &[&str] = &[
    "group-long-name",
    "group-name",
    "message",
    "opt-in-status",
    "parent-zone-id",
    "parent-zone-name",
    "region-name",
    "state",
    "zone-id",
    "zone-name",
    "zone-type",
];

/// DescribeAvailabilityZones.
pub(super) fn describe(cx: &Context, input: Value) -> Result<Value, Ec2Error> {
    let subnets = cx.store.read(|view| view.scan::<Subnet>(&Prefix::tenant(&cx.tenant)));
    let names: BTreeSet<&str> = subnets.iter().map(|subnet| subnet.availability_zone.as_str()).collect();
    let mut items: Vec<Item> = names.into_iter().map(|name| item(&cx.tenant, name)).collect();
    let named = texts(&input["ZoneNames"]);
    if let Some(unknown) = named.iter().find(|name| !items.iter().any(|one| one.id == **name)) {
        return Err(Ec2Error::Zone(unknown.clone()));
    }
    let wanted = texts(&input["ZoneIds"]);
    if !wanted.is_empty() {
        let ids: Vec<String> = items.iter().map(|one| id(&cx.tenant, &one.id)).collect();
        if let Some(unknown) = wanted.iter().find(|one| !ids.contains(one)) {
            return Err(Ec2Error::Zone(unknown.clone()));
        }
        items.retain(|one| wanted.contains(&id(&cx.tenant, &one.id)));
    }
    answer(items, &named, &input, &NOUN)
}

fn item(tenant: &Tenant, name: &str) -> Item {
    let (region, zone_id) = (&tenant.region, id(tenant, name));
    let shown = json!({
        "ZoneName": name, "ZoneId": zone_id, "RegionName": region, "GroupName": region,
        "NetworkBorderGroup": region, "State": "available", "OptInStatus": "opt-in-not-required",
        "ZoneType": "availability-zone", "Messages": [],
    });
    let properties = vec![
        ("zone-name", name.to_owned()),
        ("zone-id", zone_id),
        ("region-name", region.clone()),
        ("group-name", region.clone()),
        ("state", "available".to_owned()),
        ("opt-in-status", "opt-in-not-required".to_owned()),
        ("zone-type", "availability-zone".to_owned()),
    ];
    Item { id: name.to_owned(), properties, tags: Vec::new(), shown }
}

/// As in `use1-az1` of `us-east-1a`.
pub(super) fn id(tenant: &Tenant, name: &str) -> String {
    let suffix = name.strip_prefix(tenant.region.as_str()).unwrap_or(name);
    let number =
        suffix.bytes().next().map_or(0, |letter| u32::from(letter.to_ascii_lowercase().wrapping_sub(b'a')) + 1);
    let mut short = String::new();
    for part in tenant.region.split('-') {
        match part {
            "northeast" => short.push_str("ne"),
            "northwest" => short.push_str("nw"),
            "southeast" => short.push_str("se"),
            "southwest" => short.push_str("sw"),
            "north" | "south" | "east" | "west" | "central" => short.push_str(&part[..1]),
            other => short.push_str(other),
        }
    }
    format!("{short}-az{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_have_the_ids_of_aws() {
        for (region, zone, wanted) in [
            ("us-east-1", "us-east-1a", "use1-az1"),
            ("eu-central-1", "eu-central-1c", "euc1-az3"),
            ("ap-southeast-2", "ap-southeast-2b", "apse2-az2"),
        ] {
            assert_eq!(id(&Tenant::new("1", region), zone), wanted);
        }
    }
}
