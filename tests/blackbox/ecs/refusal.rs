//! What RunTask, StartTask and their kin refuse.

use serde_json::{Value, json};

use crate::server::{Server, assert_refused, with};

const ID: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn everything_that_is_not_carried_out_is_named_at_once_when_it_is_to_run() {
    let mut server = Server::start();
    let definition = json!({"family": "rich", "executionRoleArn": "ecsTaskExecutionRole",
        "volumes": [{"name": "v", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}}],
        "containerDefinitions": [
            {"name": "a", "image": "x", "memory": 32, "credentialSpecs": ["credentialspec:x"],
                "secrets": [{"name": "A", "valueFrom": "arn:aws:ssm:us-east-1:000000000000:parameter/x"}]},
            {"name": "b", "image": "x", "memory": 32, "essential": false,
                "logConfiguration": {"logDriver": "splunk"}}]});
    server.ecs("RegisterTaskDefinition", &definition).unwrap();
    server.kill_and_restart();
    let run = server.ecs("RunTask", &json!({"taskDefinition": "rich", "referenceId": "r"}));
    let (code, text) = run.unwrap_err();
    assert_eq!(code, "UnsupportedFeatureException");
    for field in [
        "containerDefinitions[a].credentialSpecs",
        "containerDefinitions[a].secrets",
        "containerDefinitions[b].logConfiguration.logDriver (splunk)",
        "volumes[].efsVolumeConfiguration",
        "referenceId",
    ] {
        assert!(text.contains(field), "{field} in {text}");
    }
}

#[test]
fn requests_that_ecs_refuses_are_refused_in_its_words() {
    let server = Server::start();
    let plain = json!({"name": "a", "image": "busybox:1", "memory": 32});
    let register = |over: Value| {
        let base = json!({"family": "f", "containerDefinitions": [plain]});
        server.ecs("RegisterTaskDefinition", &with(&base, &over)).unwrap();
    };
    register(json!({}));
    register(json!({"family": "vpc", "networkMode": "awsvpc"}));
    let network = |subnet: &str| json!({"awsvpcConfiguration": {"subnets": [subnet]}});
    for (input, words) in [
        (json!({"count": 0}), "count must be between 1 and 10."),
        (json!({"count": 11}), "count must be between 1 and 10."),
        (json!({"clientToken": "a b"}), "clientToken"),
        (json!({"clientToken": "a".repeat(65)}), "clientToken"),
        (json!({"startedBy": "a".repeat(129)}), "startedBy longer than 128."),
        (json!({"startedBy": "a b"}), "startedBy contains invalid characters."),
        (json!({"group": "service:web"}), "Invalid namespace for group."),
        (json!({"group": "daemon:watch"}), "Invalid namespace for group."),
        (json!({"group": ""}), "group"),
        (json!({"propagateTags": "SERVICE"}), "propagateTags"),
        (json!({"launchType": "FARGATE"}), "Task definition does not support launch_type FARGATE."),
        (
            json!({"launchType": "EC2", "capacityProviderStrategy": [{"capacityProvider": "FARGATE"}]}),
            "Specifying both",
        ),
        (json!({"capacityProviderStrategy": [{"capacityProvider": "FARGATE"}]}), "not associated with the cluster."),
        (json!({"platformVersion": "1.4.0"}), "The platform version must be null"),
        (json!({"networkConfiguration": network("subnet-1")}), "Network Configuration is not valid"),
        (
            json!({"taskDefinition": "vpc"}),
            "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
        ),
        (json!({"taskDefinition": "vpc", "networkConfiguration": network("subnet-0")}), "InvalidSubnetID.NotFound"),
        (
            json!({"overrides": {"containerOverrides": [{"name": "z"}]}}),
            "Override for container named z is not a container",
        ),
        (
            json!({"overrides": {"containerOverrides": [{"name": "a", "memory": 1}]}}),
            "Invalid 'memory' setting for container 'a'.",
        ),
        (json!({"overrides": {"containerOverrides": [{"name": "a", "command": ["x".repeat(9000)]}]}}), "at most 8192"),
        (json!({"placementStrategy": [{"type": "binpack", "field": "joy"}]}), "Invalid field 'joy'"),
        (json!({"tags": [{"key": "aws:a", "value": "b"}]}), "reserved"),
        (json!({"taskDefinition": null}), "Value null at 'taskDefinition'"),
        (json!({"cluster": "arn:aws:ecs:us-east-1:111111111111:cluster/default"}), "Your accountId is 000000000000"),
    ] {
        let refused = server.ecs("RunTask", &with(&json!({"taskDefinition": "f"}), &input));
        assert_refused(refused, "InvalidParameterException", words);
    }
    let no_role = json!({"taskDefinition": "f", "overrides": {"taskRoleArn": "nobody"}});
    assert_refused(server.ecs("RunTask", &no_role), "ClientException", "unable to assume the role 'nobody'");
    assert_refused(
        server.ecs("RunTask", &json!({"taskDefinition": "g"})),
        "ClientException",
        "TaskDefinition not found.",
    );
}

#[test]
fn tasks_are_named_by_id_or_arn_and_nothing_else() {
    let server = Server::start();
    let describe = |task: &str| server.ecs("DescribeTasks", &json!({"tasks": [task]}));
    let missing = describe(ID).unwrap();
    assert_eq!(missing["tasks"], json!([]));
    assert_eq!(
        missing["failures"],
        json!([{"arn": format!("arn:aws:ecs:us-east-1:000000000000:task/default/{ID}"), "reason": "MISSING"}])
    );
    let code = "InvalidParameterException";
    assert_refused(describe("x"), code, "taskId length should be one of [32,36]");
    assert_refused(
        describe(&format!("arn:aws:ecs:us-east-1:000000000000:task/blue/{ID}")),
        code,
        "Your cluster is default",
    );
    assert_refused(describe("arn:aws:sns:us-east-1:000000000000:t"), code, "Unexpected service sns.");
    assert_refused(describe("arn:aws:ecs"), code, "malformed");
    assert_refused(server.ecs("DescribeTasks", &json!({"tasks": []})), code, "Tasks cannot be empty.");
    assert_refused(server.ecs("DescribeTasks", &json!({"tasks": vec![ID; 101]})), code, "more than 100");
    assert_refused(server.ecs("StopTask", &json!({"task": ID})), code, "The referenced task was not found.");
    let both = json!({"startedBy": "a", "family": "b"});
    assert_refused(server.ecs("ListTasks", &both), code, "startedBy must be the only filter");
    assert_refused(server.ecs("ListTasks", &json!({"serviceName": "s"})), "ServiceNotFoundException", "");
}
