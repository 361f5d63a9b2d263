//! Task definitions: revisions, listings, what is filled in, what is refused and in which words.

use serde_json::{Value, json};

use crate::server::{Server, assert_refused, texts, with};

const PREFIX: &str = "arn:aws:ecs:us-east-1:000000000000:task-definition/";

fn container() -> Value {
    json!({"name": "a", "image": "busybox:1", "memory": 32})
}

fn register(server: &Server, family: &str) -> Value {
    let definition = json!({"family": family, "containerDefinitions": [container()]});
    server.ecs("RegisterTaskDefinition", &definition).unwrap()["taskDefinition"].clone()
}

#[test]
fn a_definition_lives_and_dies_across_restarts() {
    let mut server = Server::start();
    let document = json!({"family": "app", "networkMode": "awsvpc", "cpu": "1 vCPU", "memory": "2GB",
        "requiresCompatibilities": ["FARGATE", "EC2"], "executionRoleArn": "ecsTaskExecutionRole",
        "volumes": [{"name": "scratch"}], "tags": [{"key": "a", "value": "b"}],
        "containerDefinitions": [{"name": "web", "image": "nginx", "portMappings": [{"containerPort": 80}],
            "mountPoints": [{"sourceVolume": "scratch", "containerPath": "/s"}],
            "environment": [{"name": "A", "value": "1"}],
            "healthCheck": {"command": ["CMD-SHELL", "true"]}}]});
    let made = server.ecs("RegisterTaskDefinition", &document).unwrap();
    assert_eq!(made["tags"], json!([{"key": "a", "value": "b"}]));
    let first = made["taskDefinition"].clone();
    assert_eq!(first["taskDefinitionArn"], format!("{PREFIX}app:1"));
    assert_eq!((&first["cpu"], &first["memory"]), (&json!("1024"), &json!("2048")));
    assert!(texts(&first["compatibilities"]).contains(&"FARGATE"));
    let web = &first["containerDefinitions"][0];
    assert_eq!(web["portMappings"], json!([{"containerPort": 80, "hostPort": 80, "protocol": "tcp"}]));
    assert_eq!((&web["essential"], &web["cpu"]), (&json!(true), &json!(0)));
    assert_eq!(web["healthCheck"]["interval"], 30);
    register(&server, "app");
    server.kill_and_restart();

    let describe = |server: &Server, name: &str| {
        server.ecs("DescribeTaskDefinition", &json!({"taskDefinition": name})).map(|it| it["taskDefinition"].clone())
    };
    assert_eq!(describe(&server, "app:1").unwrap(), first);
    assert_eq!(describe(&server, "app").unwrap()["revision"], 2, "a family alone is its newest ACTIVE revision");
    let gone = server.ecs("DeregisterTaskDefinition", &json!({"taskDefinition": "app:2"})).unwrap();
    assert_eq!(gone["taskDefinition"]["status"], "INACTIVE");
    assert!(gone["taskDefinition"]["deregisteredAt"].is_number());
    server.kill_and_restart();
    assert_eq!(describe(&server, "app").unwrap()["revision"], 1);
    let list = |server: &Server, input: Value| {
        let got = server.ecs("ListTaskDefinitions", &input).unwrap();
        texts(&got["taskDefinitionArns"]).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(list(&server, json!({})), [format!("{PREFIX}app:1")]);
    assert_eq!(list(&server, json!({"status": "INACTIVE", "familyPrefix": "app"})), [format!("{PREFIX}app:2")]);

    let delete = json!({"taskDefinitions": ["app:2", "app:1", "app:9"]});
    let deleted = server.ecs("DeleteTaskDefinitions", &delete).unwrap();
    assert_eq!(deleted["taskDefinitions"][0]["status"], "DELETE_IN_PROGRESS");
    assert_eq!(
        (&deleted["failures"][0]["reason"], &deleted["failures"][1]["reason"]),
        (&json!("ACTIVE"), &json!("MISSING"))
    );
    server.kill_and_restart();
    assert_eq!(register(&server, "app")["revision"], 3);
    match describe(&server, "app:2") {
        Ok(shown) => assert_eq!(shown["status"], "DELETE_IN_PROGRESS"),
        Err((code, _)) => assert_eq!(code, "ClientException"),
    }
}

#[test]
fn families_and_revisions_are_listed_in_order_and_in_pages() {
    let mut server = Server::start();
    for family in ["web", "api", "web", "api-v2", "old"] {
        register(&server, family);
    }
    server.ecs("DeregisterTaskDefinition", &json!({"taskDefinition": "old:1"})).unwrap();
    server.kill_and_restart();
    let families = |input: Value| {
        let got = server.ecs("ListTaskDefinitionFamilies", &input).unwrap();
        (texts(&got["families"]).into_iter().map(str::to_owned).collect::<Vec<_>>(), got["nextToken"].clone())
    };
    assert_eq!(families(json!({})).0, ["api", "api-v2", "old", "web"]);
    assert_eq!(families(json!({"status": "ACTIVE", "familyPrefix": "api"})).0, ["api", "api-v2"]);
    assert_eq!(families(json!({"status": "INACTIVE"})).0, ["old"]);
    let (page, token) = families(json!({"maxResults": 3}));
    assert_eq!(page.len(), 3);
    assert_eq!(families(json!({"maxResults": 3, "nextToken": token})).0, ["web"]);

    let list = |input: Value| server.ecs("ListTaskDefinitions", &input).unwrap();
    let down = list(json!({"sort": "DESC", "maxResults": 2}));
    assert_eq!(texts(&down["taskDefinitionArns"]), [format!("{PREFIX}web:2"), format!("{PREFIX}web:1")]);
    let rest = list(json!({"sort": "DESC", "nextToken": down["nextToken"]}));
    assert_eq!(texts(&rest["taskDefinitionArns"]), [format!("{PREFIX}api-v2:1"), format!("{PREFIX}api:1")]);
    let alien = json!({"nextToken": families(json!({"maxResults": 1})).1});
    assert_refused(server.ecs("ListTaskDefinitions", &alien), "InvalidParameterException", "Invalid token.");
}

#[test]
fn containers_that_ecs_refuses_are_refused_in_its_words() {
    let server = Server::start();
    let big = "a".repeat(256);
    // What is laid over a good container, and the words of the refusal.
    for (over, words) in [
        (json!({"name": null}), "Container.name should not be null or empty."),
        (json!({"name": "a b"}), "Container.name contains invalid characters."),
        (json!({"name": big}), "Container.name contains invalid characters."),
        (json!({"image": null}), "Container.image should not be null or empty."),
        (json!({"image": "a b"}), "Container.image contains invalid characters."),
        (json!({"essential": false}), "at least one essential container."),
        (json!({"memory": null}), "At least one of 'memory' or 'memoryReservation' must be specified."),
        (json!({"memory": 5}), "Invalid 'memory' setting for container 'a'."),
        (json!({"memoryReservation": 64}), "'memory' must be greater than or equal to 'memoryReservation'."),
        (json!({"cpu": -1}), "Invalid 'cpu' setting for container 'a'."),
        (json!({"stopTimeout": 1}), "Granular stop timeout on container 'a' must be at least 2 seconds."),
        (json!({"startTimeout": 1}), "Granular start timeout on container 'a' must be at least 2 seconds."),
        (json!({"portMappings": [{"containerPort": 0}]}), "Invalid 'containerPort' setting for container 'a'."),
        (json!({"portMappings": [{"containerPort": 70_000}]}), "Invalid 'containerPort' setting"),
        (json!({"portMappings": [{"containerPort": 80, "hostPort": -1}]}), "Invalid 'hostPort' setting"),
        (json!({"portMappings": [{"containerPortRange": "9-8"}]}), "Invalid 'containerPortRange' setting"),
        (
            json!({"portMappings": [{"containerPort": 80, "hostPort": 80}, {"containerPort": 81, "hostPort": 80}]}),
            "TCP host port '80' is mapped multiple times in task.",
        ),
        (
            json!({"environment": [{"name": "", "value": "x"}]}),
            "Environment variable names should not be null or empty.",
        ),
        (json!({"environment": [{"name": "A=B", "value": "x"}]}), "Environment variable names"),
        (json!({"ulimits": [{"name": "nofile", "softLimit": 2, "hardLimit": 1}]}), "soft limit of a ulimit"),
        (json!({"dockerSecurityOptions": ["open-sesame"]}), "Invalid 'dockerSecurityOptions' setting"),
        (json!({"linuxParameters": {"capabilities": {"add": ["FLY"]}}}), "Invalid 'capabilities' setting"),
        (json!({"linuxParameters": {"tmpfs": [{"containerPath": "t", "size": 1}]}}), "Invalid 'tmpfs' setting"),
        (
            json!({"linuxParameters": {"tmpfs": [{"containerPath": "/t", "size": 1, "mountOptions": ["magic"]}]}}),
            "'tmpfs'",
        ),
        (json!({"linuxParameters": {"swappiness": 101}}), "'swappiness' must be between 0 and 100."),
        (json!({"healthCheck": {"command": ["true"]}}), "must begin with CMD or CMD-SHELL"),
        (
            json!({"healthCheck": {"command": ["CMD", "true"], "interval": 4}}),
            "'healthCheck.interval' must be between 5 and 300.",
        ),
        (json!({"logConfiguration": {"logDriver": "awslogs"}}), "requires options: awslogs-region, awslogs-group"),
        (
            json!({"logConfiguration": {"logDriver": "awslogs", "options":
            {"awslogs-region": "us-east-1", "awslogs-group": "g", "color": "red"}}}),
            "disallows options: color",
        ),
        (
            json!({"secrets": [{"name": "A", "valueFrom": "b"}]}),
            "you must also specify a value for 'executionRoleArn'.",
        ),
        (json!({"mountPoints": [{"sourceVolume": "v", "containerPath": "/v"}]}), "Unknown volume 'v'."),
        (json!({"volumesFrom": [{"sourceContainer": "b"}]}), "Unknown container 'b' in volumesFrom."),
        (json!({"links": ["b"]}), "Invalid 'links' setting for container 'a'."),
        (
            json!({"dependsOn": [{"containerName": "b", "condition": "START"}]}),
            "Cannot depend on container + 'b' because it does not exist",
        ),
        (json!({"dependsOn": [{"containerName": "a", "condition": "START"}]}), "must not form a cycle."),
        (json!({"restartPolicy": {"enabled": true, "restartAttemptPeriod": 59}}), "between 60 and 1800."),
    ] {
        let definition = json!({"family": "f", "containerDefinitions": [with(&container(), &over)]});
        assert_refused(server.ecs("RegisterTaskDefinition", &definition), "ClientException", words);
    }
    let families = server.ecs("ListTaskDefinitionFamilies", &json!({})).unwrap();
    assert_eq!(families["families"], json!([]), "a refusal leaves nothing");
}

#[test]
fn definitions_that_ecs_refuses_are_refused_in_its_words() {
    let server = Server::start();
    let base = json!({"family": "f", "containerDefinitions": [container()]});
    let second = |over: Value| json!([container(), with(&json!({"name": "b", "image": "x", "memory": 32}), &over)]);
    for (over, words) in [
        (json!({"family": ""}), "Family can not be blank."),
        (json!({"family": "a b"}), "Family contains invalid characters."),
        (json!({"containerDefinitions": []}), "Container list cannot be empty."),
        (json!({"containerDefinitions": second(json!({"name": "a"}))}), "Container names must be unique."),
        (json!({"cpu": "lots"}), "Invalid 'cpu' setting for task."),
        (json!({"cpu": "64"}), "Invalid 'cpu' setting for task."),
        (json!({"memory": "-1"}), "Invalid 'memory' setting for task."),
        (json!({"memory": "16"}), "The 'memory' setting for container 'a' is greater than for the task."),
        (
            json!({"memory": "48", "containerDefinitions": second(json!({}))}),
            "The sum of all container 'memory' values",
        ),
        (json!({"taskRoleArn": "arn:aws:sns:us-east-1:000000000000:x"}), "Role is not valid"),
        (json!({"ephemeralStorage": {"sizeInGiB": 20}}), "between 21 and 200 GiB."),
        (json!({"volumes": [{"name": ""}]}), "Volume.name should not be null or empty."),
        (json!({"volumes": [{"name": "v"}, {"name": "v"}]}), "Volume names must be unique."),
        (
            json!({"volumes": [{"name": "v", "host": {"sourcePath": "etc"}}]}),
            "host.sourcePath should be an absolute path.",
        ),
        (json!({"placementConstraints": [{"type": "memberOf"}]}), "requires an expression."),
        (
            json!({"networkMode": "none", "containerDefinitions": [with(&container(), &json!({"portMappings": [{"containerPort": 80}]}))]}),
            "Port mappings are not supported when networkMode=none.",
        ),
        (
            json!({"networkMode": "awsvpc", "containerDefinitions": [with(&container(), &json!({"hostname": "h"}))]}),
            "hostname is not supported on container when networkMode=awsvpc.",
        ),
        (
            json!({"networkMode": "host", "containerDefinitions":
            [with(&container(), &json!({"portMappings": [{"containerPort": 80, "hostPort": 81}]}))]}),
            "When networkMode=host, the host ports and container ports in port mappings must match.",
        ),
        (
            json!({"containerDefinitions": second(json!({"portMappings": [{"containerPort": 1, "hostPort": 9}, {"containerPort": 2, "hostPort": 9}]}))}),
            "TCP host port '9' is mapped multiple times in task.",
        ),
    ] {
        let refused = server.ecs("RegisterTaskDefinition", &with(&base, &over));
        assert_refused(refused, "ClientException", words);
    }
    for (over, words) in [
        (json!({"family": null}), "Value null at 'family' failed to satisfy constraint: Member must not be null"),
        (json!({"networkMode": "carrier-pigeon"}), "enum value set"),
        (json!({"tags": [{"key": "aws:a", "value": "b"}]}), "reserved"),
    ] {
        let refused = server.ecs("RegisterTaskDefinition", &with(&base, &over));
        assert_refused(refused, "InvalidParameterException", words);
    }
    assert_refused(
        server.ecs("RegisterTaskDefinition", &with(&base, &json!({"cpu": 256}))),
        "SerializationException",
        "",
    );
}

#[test]
fn fargate_takes_its_own_sizes_and_no_more() {
    let server = Server::start();
    let fargate = |over: Value, container_over: Value| {
        let container = with(&json!({"name": "a", "image": "busybox:1"}), &container_over);
        let base = json!({"family": "f", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"],
            "cpu": "256", "memory": "512", "containerDefinitions": [container]});
        server.ecs("RegisterTaskDefinition", &with(&base, &over))
    };
    for (cpu, memory) in [
        ("256", "512"),
        ("256", "2048"),
        ("512", "1024"),
        ("512", "4 GB"),
        ("1024", "8192"),
        (".5 vCPU", "1GB"),
        ("2048", "16384"),
        ("4096", "30720"),
        ("8192", "61440"),
        ("16384", "122880"),
    ] {
        fargate(json!({"cpu": cpu, "memory": memory}), json!({})).unwrap();
    }
    for (cpu, memory) in [
        ("256", "513"),
        ("256", "4096"),
        ("512", "512"),
        ("1024", "1024"),
        ("2048", "3072"),
        ("4096", "31744"),
        ("8192", "18432"),
        ("16384", "33792"),
        ("300", "1024"),
    ] {
        let words = format!("No Fargate configuration exists for given values: {cpu} CPU, {memory} memory.");
        assert_refused(fargate(json!({"cpu": cpu, "memory": memory}), json!({})), "ClientException", &words);
    }
    for (over, words) in [
        (json!({"networkMode": "bridge"}), "Fargate only supports network mode"),
        (json!({"cpu": null}), "Fargate requires that 'cpu' be defined at the task level."),
        (json!({"memory": null}), "Fargate requires that 'memory' be defined at the task level."),
        (json!({"pidMode": "host"}), "pidMode 'host'"),
        (json!({"ipcMode": "host"}), "ipcMode"),
        (json!({"volumes": [{"name": "v", "host": {"sourcePath": "/etc"}}]}), "do not support sourcePath"),
    ] {
        assert_refused(fargate(over, json!({"memory": 64})), "ClientException", words);
    }
    for (over, words) in [
        (json!({"privileged": true}), "do not support privileged"),
        (json!({"linuxParameters": {"devices": [{"hostPath": "/dev/null"}]}}), "do not support devices"),
        (json!({"linuxParameters": {"capabilities": {"add": ["SYS_ADMIN"]}}}), "SYS_ADMIN"),
        (json!({"stopTimeout": 121}), "less than 120 seconds"),
        (json!({"logConfiguration": {"logDriver": "syslog"}}), "is not a valid log driver."),
        (
            json!({"image": "000000000000.dkr.ecr.us-east-1.amazonaws.com/a:1"}),
            "execution role ARN to support ECR images.",
        ),
    ] {
        assert_refused(fargate(json!({}), over), "ClientException", words);
    }
}

#[test]
fn names_of_definitions_that_mean_nothing_are_refused() {
    let server = Server::start();
    register(&server, "app");
    let describe = |name: &str| server.ecs("DescribeTaskDefinition", &json!({"taskDefinition": name}));
    assert_refused(describe("nope"), "ClientException", "Unable to describe task definition.");
    assert_refused(describe("app:7"), "ClientException", "Unable to describe task definition.");
    assert_refused(describe("app:x"), "ClientException", "Invalid revision number. Number: x");
    assert_refused(
        describe("arn:aws:ecs:us-east-1:111111111111:task-definition/app:1"),
        "InvalidParameterException",
        "Your accountId is 000000000000",
    );
    let deregister = |name: &str| server.ecs("DeregisterTaskDefinition", &json!({"taskDefinition": name}));
    assert_refused(deregister("app"), "ClientException", "Invalid revision number. Number: null");
    assert_refused(deregister("app:9"), "ClientException", "does not exist.");
    deregister("app:1").unwrap();
    assert_refused(deregister("app:1"), "ClientException", "inactive");
    let run = server.ecs("RunTask", &json!({"taskDefinition": "app:1"}));
    assert_refused(run, "InvalidParameterException", "TaskDefinition is inactive");
    assert_refused(
        server.ecs("RunTask", &json!({"taskDefinition": "app"})),
        "ClientException",
        "TaskDefinition not found.",
    );
}
