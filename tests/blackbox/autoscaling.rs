//! Auto Scaling: looking at the fleet's groups.

use serde_json::json;

use crate::ec2::texts;
use crate::server::Server;

fn describe(server: &Server, action: &str, parameters: &[(&str, &str)]) -> (u16, String) {
    let all: Vec<(&str, &str)> = std::iter::once(("Action", action)).chain(parameters.iter().copied()).collect();
    server.query("autoscaling", "2011-01-01", &all)
}

/// The answer about groups, which must be one.
fn groups(server: &Server, parameters: &[(&str, &str)]) -> String {
    let (status, xml) = describe(server, "DescribeAutoScalingGroups", parameters);
    assert_eq!(status, 200, "{xml}");
    xml
}

const NAME: &str = "AutoScalingGroupName";

#[test]
fn a_group_is_what_the_fleet_has_of_its_name() {
    let mut server = Server::start_configured(
        "[[instance]]\ntype = \"t3.small\"\nzone = \"a\"\nasg = \"blue\"\nasg_max = 3\n\
         [[instance]]\ntype = \"t3.small\"\nzone = \"b\"\nasg = \"blue\"\n\
         [[instance]]\ntype = \"t3.nano\"\nasg = \"green\"\n[[instance]]\ntype = \"t3.nano\"\n",
    );
    assert_eq!(texts(&groups(&server, &[]), NAME), ["blue", "green"]);
    let blue = [("AutoScalingGroupNames.member.1", "blue"), ("AutoScalingGroupNames.member.2", "none")];
    let shown = groups(&server, &blue);
    for (name, wanted) in
        [(NAME, "blue"), ("MinSize", "2"), ("MaxSize", "3"), ("DesiredCapacity", "2"), ("HealthCheckType", "EC2")]
    {
        assert_eq!(texts(&shown, name), [wanted], "{name}: {shown}");
    }
    let zones = "<AvailabilityZones><member>us-east-1a</member><member>us-east-1b</member></AvailabilityZones>";
    assert!(shown.contains(zones) && !shown.contains("AmazonECSManaged"), "{shown}");
    assert_eq!(texts(&shown, "VPCZoneIdentifier")[0].split(',').count(), 2);
    assert_eq!(texts(&shown, "LifecycleState"), ["InService", "InService"]);
    assert_eq!(texts(&groups(&server, &[("IncludeInstances", "false")]), "InstanceId").len(), 0);

    let arn = texts(&shown, "AutoScalingGroupARN").remove(0);
    let provider = json!({"autoScalingGroupArn": arn, "managedScaling": {"status": "ENABLED"},
        "managedTerminationProtection": "ENABLED"});
    server.ecs("CreateCapacityProvider", &json!({"name": "web", "autoScalingGroupProvider": provider})).unwrap();
    let managed = [("Filters.member.1.Name", "tag-key"), ("Filters.member.1.Values.member.1", "AmazonECSManaged")];
    let scaled = groups(&server, &managed);
    assert_eq!(texts(&scaled, NAME), ["blue"]);
    assert_eq!(texts(&scaled, "NewInstancesProtectedFromScaleIn"), ["true"]);
    assert_eq!(texts(&scaled, "ProtectedFromScaleIn"), ["false", "false"], "what has no tasks may go");
    let container = json!({"image": server.busybox(), "command": ["sh", "-c", crate::ecs::WAITING]});
    let place = json!({"launchType": "EC2", "placementConstraints":
        [{"type": "memberOf", "expression": "attribute:ecs.availability-zone == us-east-1b"}]});
    server.run_task_with("kept", container, &json!({}), &place);
    let first = texts(&groups(&server, &[("MaxRecords", "1")]), "NextToken").remove(0);
    assert_eq!(texts(&groups(&server, &[("NextToken", &first)]), NAME), ["green"]);
    server.kill_and_restart();
    let mut protected = texts(&groups(&server, &blue), "ProtectedFromScaleIn");
    protected.sort();
    assert_eq!(protected, ["false", "true"]);

    let (status, all) = describe(&server, "DescribeAutoScalingInstances", &[]);
    assert_eq!((status, texts(&all, NAME).len()), (200, 3), "{all}");
    let ids = texts(&all, "InstanceId");
    assert_eq!(ids.len(), 3);
    let (_, one) = describe(&server, "DescribeAutoScalingInstances", &[("InstanceIds.member.1", &ids[1])]);
    assert_eq!(texts(&one, "InstanceId"), ids[1..2]);

    // What is gone is not in the group; the group is, for the fleet knows what it was made of.
    let green = [("AutoScalingGroupNames.member.1", "green")];
    let id = texts(&groups(&server, &green), "InstanceId").remove(0);
    let (status, _) = server.query("ec2", "2016-11-15", &[("Action", "TerminateInstances"), ("InstanceId.1", &id)]);
    assert_eq!(status, 200);
    let shown = groups(&server, &green);
    assert_eq!(
        (texts(&shown, "DesiredCapacity"), texts(&shown, "InstanceId").len()),
        (vec!["0".to_owned()], 0),
        "{shown}"
    );
}

#[test]
fn what_auto_scaling_refuses_is_refused_in_its_words() {
    let server = Server::start();
    for (parameters, code, words) in [
        (vec![("MaxRecords", "101")], "ValidationError", "less than or equal to 100"),
        (vec![("MaxRecords", "0")], "ValidationError", "greater than or equal to 1"),
        (vec![("NextToken", "x")], "InvalidNextToken", "not valid"),
        (vec![("Filters.member.1.Name", "colour")], "ValidationError", "Filter type colour is not correct"),
    ] {
        let (status, xml) = describe(&server, "DescribeAutoScalingGroups", &parameters);
        assert_eq!((status, texts(&xml, "Code")), (400, vec![code.to_owned()]), "{xml}");
        assert!(xml.contains(words), "{xml}");
    }
    let (status, xml) = describe(&server, "SetDesiredCapacity", &[(NAME, "blue"), ("DesiredCapacity", "3")]);
    assert!(status == 400 && xml.contains("it is not there yet in autoscaling of this version of Cove"), "{xml}");
}
