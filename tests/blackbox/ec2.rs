//! EC2: looking up where tasks can run.

use serde_json::json;

use crate::server::Server;

const VERSION: &str = "2016-11-15";

fn describe(server: &Server, action: &str, parameters: &[(&str, &str)]) -> (u16, String) {
    let all: Vec<(&str, &str)> = std::iter::once(("Action", action)).chain(parameters.iter().copied()).collect();
    server.query("ec2", VERSION, &all)
}

/// The texts of every element of this name.
fn texts(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    xml.split(&open).skip(1).filter_map(|rest| rest.split_once(&close)).map(|(text, _)| text.to_owned()).collect()
}

#[test]
fn a_task_runs_in_the_network_that_was_looked_up() {
    let mut server = Server::start();
    let found = |server: &Server, action: &str, parameters: &[(&str, &str)], name: &str| {
        let (status, xml) = describe(server, action, parameters);
        assert_eq!(status, 200, "{xml}");
        assert!(
            xml.contains("<requestId>") && xml.contains(&format!("<{action}Response xmlns=\"http://ec2.")),
            "{xml}"
        );
        texts(&xml, name)
    };
    let defaults = [("Filter.1.Name", "is-default"), ("Filter.1.Value.1", "true")];
    let vpcs = found(&server, "DescribeVpcs", &defaults, "vpcId");
    assert_eq!(vpcs.len(), 1);
    let of_vpc = [
        ("Filter.1.Name", "vpc-id"),
        ("Filter.1.Value.1", vpcs[0].as_str()),
        ("Filter.2.Name", "availability-zone"),
        ("Filter.2.Value.1", "*a"),
        ("Filter.2.Value.2", "nowhere"),
    ];
    let subnets = found(&server, "DescribeSubnets", &of_vpc, "subnetId");
    assert_eq!(subnets.len(), 1);
    let free = |server: &Server| {
        found(server, "DescribeSubnets", &[("SubnetId.1", subnets[0].as_str())], "availableIpAddressCount")
    };
    assert_eq!(free(&server), ["4091"]);
    let named = [("Filter.1.Name", "group-name"), ("Filter.1.Value.1", "default")];
    let group = found(&server, "DescribeSecurityGroups", &named, "groupId").remove(0);
    let zones = found(&server, "DescribeAvailabilityZones", &[], "zoneName");
    assert_eq!(zones, ["us-east-1a", "us-east-1b", "us-east-1c"]);

    let interface = json!({"awsvpcConfiguration": {"subnets": subnets, "securityGroups": [group]}});
    let definition = json!({"networkMode": "awsvpc"});
    let container = json!({"image": server.busybox(), "command": ["sh", "-c", crate::ecs::WAITING]});
    let arn = server.run_task_with("looked", container, &definition, &json!({"networkConfiguration": interface}));
    server.wait_task(&arn, "RUNNING");
    assert_eq!(free(&server), ["4090"]);
    server.kill_and_restart();
    assert_eq!(found(&server, "DescribeVpcs", &[], "vpcId"), vpcs);
    assert_eq!(free(&server), ["4090"]);
}

#[test]
fn what_ec2_refuses_is_refused_in_its_form() {
    let server = Server::start();
    for (action, parameters, status, code, words) in [
        (
            "DescribeSubnets",
            vec![("SubnetId.1", "subnet-0")],
            400,
            "InvalidSubnetID.NotFound",
            "'subnet-0' does not exist",
        ),
        ("DescribeVpcs", vec![("VpcId.1", "vpc-0")], 400, "InvalidVpcID.NotFound", "The vpc ID 'vpc-0'"),
        ("DescribeSecurityGroups", vec![("GroupId.1", "sg-0")], 400, "InvalidGroup.NotFound", "'sg-0'"),
        (
            "DescribeAvailabilityZones",
            vec![("ZoneName.1", "nowhere")],
            400,
            "InvalidParameterValue",
            "Invalid availability zone: [nowhere]",
        ),
        (
            "DescribeVpcs",
            vec![("Filter.1.Name", "colour"), ("Filter.1.Value.1", "x")],
            400,
            "InvalidParameterValue",
            "'colour'",
        ),
        ("DescribeVpcs", vec![("DryRun", "true")], 412, "DryRunOperation", "Request would have succeeded"),
        ("DescribeInstances", vec![], 400, "InvalidAction", "DescribeInstances"),
    ] {
        let (got, xml) = describe(&server, action, &parameters);
        assert_eq!(got, status, "{xml}");
        assert_eq!((texts(&xml, "Code"), xml.contains(words)), (vec![code.to_owned()], true), "{xml}");
        assert!(xml.starts_with("<Response><Errors><Error>") || action == "DescribeInstances", "{xml}");
    }
}
