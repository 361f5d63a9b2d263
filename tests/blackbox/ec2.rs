//! EC2: looking up where tasks can run, and on what.

use serde_json::{Value, json};

use crate::server::{Server, until};

const VERSION: &str = "2016-11-15";

fn describe(server: &Server, action: &str, parameters: &[(&str, &str)]) -> (u16, String) {
    let all: Vec<(&str, &str)> = std::iter::once(("Action", action)).chain(parameters.iter().copied()).collect();
    server.query("ec2", VERSION, &all)
}

/// The texts of every element of this name.
pub(crate) fn texts(xml: &str, name: &str) -> Vec<String> {
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
        ("RunInstances", vec![], 400, "InvalidAction", "The action RunInstances is not valid for this web service"),
        (
            "DescribeInstances",
            vec![("InstanceId.1", "i-0123456789abcdef0")],
            400,
            "InvalidInstanceID.NotFound",
            "The instance ID 'i-0123456789abcdef0' does not exist",
        ),
        (
            "TerminateInstances",
            vec![("InstanceId.1", "i-01"), ("InstanceId.2", "i-02")],
            400,
            "InvalidInstanceID.NotFound",
            "The instance IDs 'i-01, i-02' do not exist",
        ),
        (
            "DescribeInstances",
            vec![("InstanceId.1", "web")],
            400,
            "InvalidInstanceID.Malformed",
            "Invalid id: &quot;web&quot;",
        ),
        (
            "DescribeInstanceTypes",
            vec![("InstanceType.1", "m5.large"), ("InstanceType.2", "m5.huge")],
            400,
            "InvalidInstanceType",
            "The following supplied instance types do not exist: [m5.huge]",
        ),
        ("DescribeInstanceTypes", vec![("MaxResults", "101")], 400, "InvalidParameterValue", "between 5 and 100."),
        ("DescribeVpcs", vec![("MaxResults", "4")], 400, "InvalidParameterValue", "between 5 and 1000."),
        (
            "DescribeInstances",
            vec![("Filter.1.Name", "colour"), ("Filter.1.Value.1", "x")],
            400,
            "InvalidParameterValue",
            "The filter 'colour' is invalid",
        ),
    ] {
        let (got, xml) = describe(&server, action, &parameters);
        assert_eq!(got, status, "{xml}");
        assert_eq!((texts(&xml, "Code"), xml.contains(words)), (vec![code.to_owned()], true), "{xml}");
        assert!(xml.starts_with("<Response><Errors><Error>"), "{xml}");
    }
}

#[test]
fn the_fleets_machines_are_instances_until_they_are_terminated() {
    let mut server = Server::start_configured(
        "[[instance]]\ntype = \"m5.large\"\nzone = \"b\"\n[[instance]]\ntype = \"t3.small\"\ncapacity = \"spot\"\nasg = \"web\"\n",
    );
    let found = |server: &Server, filters: &[(&str, &str)]| {
        let named: Vec<(String, &str)> = filters
            .iter()
            .enumerate()
            .flat_map(|(at, (name, value))| {
                [(format!("Filter.{}.Name", at + 1), *name), (format!("Filter.{}.Value.1", at + 1), *value)]
            })
            .collect();
        let named: Vec<(&str, &str)> = named.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let (status, xml) = describe(server, "DescribeInstances", &named);
        assert_eq!(status, 200, "{xml}");
        xml
    };
    let fleet: Vec<Value> = serde_json::from_slice(&server.cove(&["fleet", "--json"]).stdout).unwrap();
    let id_of = |kind: &str| {
        let one = fleet.iter().find(|one| one["type"] == kind).unwrap();
        one["ec2InstanceId"].as_str().unwrap().to_owned()
    };
    let (large, small) = (id_of("m5.large"), id_of("t3.small"));
    let all = found(&server, &[]);
    assert_eq!(texts(&all, "instanceId").len(), 2);
    let one = found(&server, &[("instance-type", "m5.*"), ("instance-state-name", "running")]);
    assert_eq!(texts(&one, "instanceId"), std::slice::from_ref(&large));
    assert_eq!(
        (texts(&one, "instanceType"), texts(&one, "availabilityZone")),
        (vec!["m5.large".to_owned()], vec!["us-east-1b".to_owned()])
    );
    assert_eq!(texts(&one, "instanceState"), ["<code>16</code><name>running</name>"]);
    let (_, subnets) = describe(
        &server,
        "DescribeSubnets",
        &[("Filter.1.Name", "availability-zone"), ("Filter.1.Value.1", "us-east-1b")],
    );
    assert_eq!(
        (texts(&one, "subnetId"), texts(&one, "vpcId")),
        (texts(&subnets, "subnetId"), texts(&subnets, "vpcId"))
    );
    for filter in
        [("instance-lifecycle", "spot"), ("tag:aws:autoscaling:groupName", "web"), ("availability-zone-id", "use1-az1")]
    {
        assert_eq!(texts(&found(&server, &[filter]), "instanceId"), std::slice::from_ref(&small), "{filter:?}");
    }
    assert_eq!(texts(&found(&server, &[("key-name", "*")]), "instanceId"), [""; 0], "EC2 has it, these do not");
    for _ in 0..4 {
        assert!(server.cove(&["fleet", "add", "--type", "t3.nano"]).status.success());
    }
    let (_, first) = describe(&server, "DescribeInstances", &[("MaxResults", "5")]);
    let token = texts(&first, "nextToken").remove(0);
    let (_, second) = describe(&server, "DescribeInstances", &[("MaxResults", "5"), ("NextToken", &token)]);
    assert_eq!((texts(&first, "instanceId").len(), texts(&second, "instanceId").len()), (5, 1));

    let container = json!({"image": server.busybox(), "memory": 2100, "command": ["sh", "-c", crate::ecs::WAITING]});
    let arn = server.run_task_with("on-large", container, &json!({}), &json!({"launchType": "EC2"}));
    server.wait_task(&arn, "RUNNING");
    let (status, xml) = describe(&server, "TerminateInstances", &[("InstanceId.1", &large), ("DryRun", "true")]);
    assert_eq!((status, texts(&xml, "Code")), (412, vec!["DryRunOperation".to_owned()]));
    let (status, xml) = describe(&server, "TerminateInstances", &[("InstanceId.1", &large), ("InstanceId.2", "i-0")]);
    assert_eq!((status, texts(&xml, "Code")), (400, vec!["InvalidInstanceID.NotFound".to_owned()]));
    assert_eq!(server.describe_task(&arn)["lastStatus"], "RUNNING", "none when one cannot be");
    let (status, xml) = describe(&server, "TerminateInstances", &[("InstanceId.1", &large)]);
    assert_eq!(status, 200, "{xml}");
    assert_eq!(texts(&xml, "currentState"), ["<code>32</code><name>shutting-down</name>"]);
    assert_eq!(texts(&xml, "previousState"), ["<code>16</code><name>running</name>"]);
    let stopped = server.wait_task(&arn, "STOPPED");
    assert_eq!(stopped["stoppedReason"], format!("Host EC2 (instance {large}) terminated."));
    server.kill_and_restart();
    let gone = until("it is terminated", || {
        let xml = found(&server, &[("instance-id", &large)]);
        xml.contains("<name>terminated</name>").then_some(xml)
    });
    assert_eq!(texts(&gone, "subnetId"), [""; 0], "{gone}");
    let (_, again) = describe(&server, "TerminateInstances", &[("InstanceId.1", &large)]);
    assert_eq!(texts(&again, "previousState"), ["<code>48</code><name>terminated</name>"]);
}

#[test]
fn instance_types_are_described_as_the_table_has_them() {
    let server = Server::start();
    let (status, xml) = describe(&server, "DescribeInstanceTypes", &[("InstanceType.1", "g5.12xlarge")]);
    assert_eq!(status, 200, "{xml}");
    for (name, wanted) in [
        ("defaultVCpus", "48"),
        ("maximumNetworkInterfaces", "15"),
        ("totalSizeInGB", "3800"),
        ("baselineBandwidthInMbps", "16000"),
        ("totalGpuMemoryInMiB", "98304"),
        ("currentGeneration", "true"),
    ] {
        assert_eq!(texts(&xml, name)[0], wanted, "{name}: {xml}");
    }
    for words in ["<memoryInfo><sizeInMiB>196608</sizeInMiB></memoryInfo>", "<manufacturer>AMD</manufacturer>"] {
        assert!(xml.contains(words), "{xml}");
    }
    let burstable = [
        ("Filter.1.Name", "burstable-performance-supported"),
        ("Filter.1.Value.1", "true"),
        ("Filter.2.Name", "vcpu-info.default-vcpus"),
        ("Filter.2.Value.1", "8"),
    ];
    let (_, xml) = describe(&server, "DescribeInstanceTypes", &burstable);
    assert_eq!(texts(&xml, "instanceType"), ["t2.2xlarge", "t3.2xlarge", "t3a.2xlarge"]);
    let (_, first) = describe(&server, "DescribeInstanceTypes", &[]);
    let token = texts(&first, "nextToken").remove(0);
    let (_, second) = describe(&server, "DescribeInstanceTypes", &[("NextToken", &token)]);
    let (first, second) = (texts(&first, "instanceType"), texts(&second, "instanceType"));
    assert!(first.len() == 100 && second.len() > 50 && first.last() < second.first(), "{first:?} {second:?}");
}
