//! Security groups. Members of the default group reach each other and everything outside.

use cove_model::network::SecurityGroup;
use cove_store::{Prefix, Read};
use serde_json::{Value, json};

use super::error::Ec2Error;
use super::filter::{Item, Noun, RESULTS, answer, texts};
use crate::Context;

const NOUN: Noun = Noun {
    member: "GroupIds",
    code: "InvalidGroup.NotFound",
    what: "security group",
    list: "SecurityGroups",
    filters: FILTERS,
    results: RESULTS,
};
const FILTERS: &[&str] = &["description", "group-id", "group-name", "owner-id", "vpc-id"];

/// DescribeSecurityGroups. Names are those of groups in the default VPC.
pub(super) fn describe(cx: &Context, input: Value) -> Result<Value, Ec2Error> {
    let groups = cx.store.read(|view| view.scan::<SecurityGroup>(&Prefix::tenant(&cx.tenant)));
    let mut ids = texts(&input["GroupIds"]);
    for name in texts(&input["GroupNames"]) {
        let found = groups.iter().find(|group| group.name == name);
        let found = found.ok_or(Ec2Error::NotFound { code: NOUN.code, what: NOUN.what, id: name })?;
        ids.push(found.id.clone());
    }
    answer(groups.iter().map(|group| item(group)).collect(), &ids, &input, &NOUN)
}

fn item(group: &SecurityGroup) -> Item {
    let owner = &group.tenant.account;
    let description = format!("{} VPC security group", group.name);
    let own = json!([{"GroupId": group.id, "UserId": owner}]);
    let rule = |groups: Value, ranges: Value| {
        json!([{"IpProtocol": "-1", "UserIdGroupPairs": groups, "IpRanges": ranges, "Ipv6Ranges": [],
            "PrefixListIds": []}])
    };
    let shown = json!({
        "GroupId": group.id, "GroupName": group.name, "Description": description, "VpcId": group.vpc_id,
        "OwnerId": owner,
        "SecurityGroupArn": group.tenant.arn("ec2", format_args!("security-group/{}", group.id)),
        "IpPermissions": rule(own, json!([])),
        "IpPermissionsEgress": rule(json!([]), json!([{"CidrIp": "0.0.0.0/0"}])),
    });
    let properties = vec![
        ("group-id", group.id.clone()),
        ("group-name", group.name.clone()),
        ("description", description),
        ("vpc-id", group.vpc_id.clone()),
        ("owner-id", owner.clone()),
    ];
    Item { id: group.id.clone(), properties, tags: Vec::new(), shown }
}
