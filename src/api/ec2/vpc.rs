//! VPCs.

use cove_model::network::Vpc;
use cove_store::{Prefix, Read};
use serde_json::{Value, json};

use super::error::Ec2Error;
use super::filter::{Item, Noun, RESULTS, answer, texts};
use crate::Context;

const NOUN: Noun = Noun {
    member: "VpcIds",
    code: "InvalidVpcID.NotFound",
    what: "vpc ID",
    list: "Vpcs",
    filters: FILTERS,
    results: RESULTS,
};
const FILTERS: &[&str] = &[
    "cidr",
    "cidr-block-association.association-id",
    "cidr-block-association.cidr-block",
    "cidr-block-association.state",
    "dhcp-options-id",
    "ipv6-cidr-block-association.association-id",
    "ipv6-cidr-block-association.ipv6-cidr-block",
    "ipv6-cidr-block-association.ipv6-pool",
    "ipv6-cidr-block-association.state",
    "is-default",
    "isDefault",
    "owner-id",
    "state",
    "vpc-id",
];

/// DescribeVpcs.
pub(super) fn describe(cx: &Context, input: Value) -> Result<Value, Ec2Error> {
    let found = cx.store.read(|view| view.scan::<Vpc>(&Prefix::tenant(&cx.tenant)));
    answer(found.iter().map(|vpc| item(vpc)).collect(), &texts(&input["VpcIds"]), &input, &NOUN)
}

fn item(vpc: &Vpc) -> Item {
    let (cidr, owner, is_default) = (vpc.cidr.to_string(), vpc.tenant.account.clone(), vpc.is_default.to_string());
    let association = format!("vpc-cidr-assoc-{}", vpc.id.trim_start_matches("vpc-"));
    let shown = json!({
        "VpcId": vpc.id, "OwnerId": owner, "CidrBlock": cidr, "IsDefault": vpc.is_default, "State": "available",
        "InstanceTenancy": "default",
        "CidrBlockAssociationSet":
            [{"AssociationId": association, "CidrBlock": cidr, "CidrBlockState": {"State": "associated"}}],
    });
    let properties = vec![
        ("vpc-id", vpc.id.clone()),
        ("owner-id", owner),
        ("cidr", cidr.clone()),
        ("cidr-block-association.association-id", association),
        ("cidr-block-association.cidr-block", cidr),
        ("cidr-block-association.state", "associated".to_owned()),
        ("is-default", is_default.clone()),
        ("isDefault", is_default),
        ("state", "available".to_owned()),
    ];
    Item { id: vpc.id.clone(), properties, tags: Vec::new(), shown }
}
