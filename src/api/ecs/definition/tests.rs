//! What RegisterTaskDefinition takes, refuses and fills in.

use cove_model::task_definition::{Compatibility, TaskDefinitionDocument};
use serde_json::{Value, json};

use super::check::{Checked, check};

fn document(value: Value) -> TaskDefinitionDocument {
    serde_json::from_value(value).expect("a document of the model's shape")
}

/// A bridge-mode definition of one container; `container` is merged into it.
fn ec2(container: Value) -> Value {
    let mut it = json!({"name": "web", "image": "nginx", "memory": 64});
    merge(&mut it, container);
    json!({"family": "app", "containerDefinitions": [it]})
}

fn fargate(task: Value, container: Value) -> Value {
    let mut it = json!({"name": "web", "image": "nginx"});
    merge(&mut it, container);
    let mut whole = json!({"family": "app", "cpu": "256", "memory": "512", "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"], "containerDefinitions": [it]});
    merge(&mut whole, task);
    whole
}

fn merge(into: &mut Value, from: Value) {
    let Value::Object(from) = from else { panic!("an object") };
    for (name, value) in from {
        into[name] = value;
    }
}

fn taken(value: Value) -> Checked {
    match check(document(value)) {
        Ok(checked) => checked,
        Err(error) => panic!("refused: {error}"),
    }
}

fn refusal(value: Value) -> String {
    check(document(value)).expect_err("should be refused").to_string()
}

#[test]
fn a_plain_definition_gets_the_defaults_that_ecs_shows() {
    let checked = taken(ec2(json!({"portMappings": [{"containerPort": 80}],
        "healthCheck": {"command": ["CMD-SHELL", "true"]}})));
    let container = serde_json::to_value(&checked.document.container_definitions[0]).expect("JSON");
    assert_eq!(container["cpu"], 0);
    assert_eq!(container["essential"], true);
    assert_eq!(container["portMappings"], json!([{"containerPort": 80, "hostPort": 0, "protocol": "tcp"}]));
    assert_eq!(container["healthCheck"]["interval"], 30);
    assert_eq!(checked.document.network_mode, None);
    assert_eq!(checked.compatibilities, [Compatibility::External, Compatibility::Ec2]);
}

#[test]
fn checking_twice_changes_nothing() {
    let whole = fargate(
        json!({"cpu": ".25 vCPU", "memory": "0.5 GB", "volumes": [{"name": "data"}]}),
        json!({"portMappings": [{"containerPort": 80}]}),
    );
    let once = taken(whole).document;
    assert_eq!((once.cpu.as_deref(), once.memory.as_deref()), (Some("256"), Some("512")));
    assert_eq!(once.container_definitions[0].port_mappings[0].host_port, Some(80));
    assert_eq!(check(once.clone()).expect("still good").document, once);
}

#[test]
fn refusals_have_the_texts_of_ecs() {
    let cases = [
        (json!({"containerDefinitions": []}), "Family can not be blank."),
        (json!({"family": "a b", "containerDefinitions": []}), "Family contains invalid characters."),
        (json!({"family": "a", "containerDefinitions": []}), "Container list cannot be empty."),
        (
            json!({"family": "a", "containerDefinitions": [{"name": "a", "image": "a", "memory": 8}],
                "placementConstraints": [{"type": "memberOf", "expression": "attribute:x =="}]}),
            "Invalid expression: `attribute:x ==` ends too early",
        ),
        (ec2(json!({"name": ""})), "Container.name should not be null or empty."),
        (ec2(json!({"image": ""})), "Container.image should not be null or empty."),
        (ec2(json!({"image": "a b"})), "Container.image contains invalid characters."),
        (
            ec2(json!({"memory": null})),
            "Invalid setting for container 'web'. At least one of 'memory' or 'memoryReservation' must be specified.",
        ),
        (ec2(json!({"portMappings": [{"hostPort": 1}]})), "Invalid 'containerPort' setting for container 'web'."),
        (
            ec2(json!({"portMappings": [{"containerPort": 1, "hostPort": 80}, {"containerPort": 2, "hostPort": 80}]})),
            "TCP host port '80' is mapped multiple times in task.",
        ),
        (
            ec2(json!({"portMappings": [{"containerPortRange": "1024-2023"}, {"containerPort": 80}]})),
            "The task maps 1001 ports of the host, those of ranges included; at most 1000 are supported. Use networkMode=awsvpc for more.",
        ),
        (ec2(json!({"mountPoints": [{"sourceVolume": "x", "containerPath": "/x"}]})), "Unknown volume 'x'."),
        (ec2(json!({"mountPoints": [{"containerPath": "/x"}]})), "Unknown volume 'null'."),
        (
            ec2(json!({"dependsOn": [{"containerName": "db", "condition": "START"}]})),
            "Cannot depend on container + 'db' because it does not exist",
        ),
        (
            ec2(json!({"logConfiguration": {"logDriver": "awslogs", "options": {}}})),
            "Log driver awslogs requires options: awslogs-region, awslogs-group",
        ),
        (
            ec2(json!({"secrets": [{"name": "A", "valueFrom": "b"}]})),
            "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'.",
        ),
        (
            json!({"family": "a", "executionRoleArn": "r", "containerDefinitions": [{"name": "a", "image": "a",
                "memory": 8, "environment": [{"name": "A", "value": "1"}], "secrets": [{"name": "A", "valueFrom": "b"}]}]}),
            "The secret name must be unique and not shared with any new or existing environment variables set on the container, such as 'A'.",
        ),
        (ec2(json!({"command": ["x".repeat(65_536)]})), "Actual length: '65635'. Max allowed length is '65536' bytes."),
        (fargate(json!({"networkMode": "bridge"}), json!({})), "Fargate only supports network mode ‘awsvpc’."),
        (fargate(json!({"cpu": null}), json!({})), "Fargate requires that 'cpu' be defined at the task level."),
        (
            fargate(json!({"memory": "3 GB"}), json!({})),
            "No Fargate configuration exists for given values: 256 CPU, 3072 memory. See the Amazon ECS documentation for the valid values.",
        ),
        (fargate(json!({"cpu": ""}), json!({})), "Invalid 'cpu' setting for task."),
        (
            fargate(json!({}), json!({"portMappings": [{"containerPort": 80, "hostPort": 8080}]})),
            "When networkMode=awsvpc, the host ports and container ports in port mappings must match.",
        ),
        (
            fargate(json!({}), json!({"hostname": "x"})),
            "hostname is not supported on container when networkMode=awsvpc.",
        ),
        (fargate(json!({}), json!({"links": ["db"]})), "Links are not supported when networkMode=awsvpc."),
        (fargate(json!({"ipcMode": "task"}), json!({})), "Tasks using the Fargate launch type do not support ipcMode."),
        (
            fargate(json!({}), json!({"memory": 1024})),
            "The 'memory' setting for container 'web' is greater than for the task.",
        ),
        (
            fargate(json!({}), json!({"image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/a"})),
            "Fargate requires task definition to have execution role ARN to support ECR images.",
        ),
        (
            fargate(json!({"volumes": [{"name": "v", "host": {"sourcePath": "/x"}}]}), json!({})),
            "Fargate compatible task definitions do not support sourcePath",
        ),
    ];
    for (value, text) in cases {
        assert_eq!(refusal(value.clone()), text, "{value}");
    }
}

#[test]
fn ports_are_many_where_a_task_has_an_address_of_its_own() {
    taken(fargate(json!({}), json!({"portMappings": [{"containerPortRange": "1024-28000"}]})));
    taken(ec2(json!({"portMappings": [{"containerPortRange": "1024-2022"}, {"containerPort": 80}]})));
}

#[test]
fn a_port_is_in_one_range_alone_whichever_comes_first() {
    let ports = |given: Value| ec2(json!({"portMappings": given}));
    let (range, inside) = (json!({"containerPortRange": "8000-8010"}), json!({"containerPort": 8005}));
    let why = "Invalid 'containerPortRange' setting for container 'web'.";
    assert_eq!(refusal(ports(json!([range, inside]))), why);
    assert_eq!(refusal(ports(json!([inside, range]))), why);
    assert_eq!(refusal(ports(json!([range, {"containerPortRange": "8010-8020"}]))), why);
    let udp = json!({"containerPort": 8005, "protocol": "udp"});
    taken(ports(json!([range, udp, {"containerPort": 8011}, {"containerPort": 8011}])));
}

#[test]
fn containers_that_share_an_address_share_its_ports() {
    let web = |given: Value| json!({"name": "web", "image": "x", "memory": 64, "portMappings": [given]});
    let db = |given: Value| json!({"name": "db", "image": "x", "memory": 64, "portMappings": [given]});
    let whole = |mode: &str, first: Value, second: Value| json!({"family": "a", "networkMode": mode, "containerDefinitions": [web(first), db(second)]});
    let range = json!({"containerPortRange": "8000-8010"});
    for other in [json!({"containerPort": 8005}), json!({"containerPortRange": "8005-8020"})] {
        let why = "TCP host port '8005' is mapped multiple times in task.";
        assert_eq!(refusal(whole("awsvpc", range.clone(), other.clone())), why);
        assert_eq!(refusal(whole("awsvpc", other.clone(), range.clone())), why);
        taken(whole("bridge", range.clone(), other));
    }
    taken(whole("awsvpc", range, json!({"containerPort": 8005, "protocol": "udp"})));
}

#[test]
fn a_role_is_an_arn_or_a_name_with_or_without_its_path() {
    let with = |role: &str| {
        json!({"family": "a", "taskRoleArn": role, "executionRoleArn": "app",
        "containerDefinitions": [{"name": "web", "image": "x", "memory": 64}]})
    };
    for good in ["app", "team/app", "arn:aws:iam::000000000000:role/app", "arn:aws:iam::123456789012:role/a/b+c=,.@-_"]
    {
        taken(with(good));
    }
    let long = "x".repeat(65);
    for bad in [
        "",
        "a b",
        "team/",
        "arn:aws:iam::000000000000:user/app",
        "arn:aws:iam::12:role/app",
        "arn:aws:iam:us-east-1:000000000000:role/app",
        "arn:aws:iam::000000000000:role/",
        "arn:app",
        &long,
    ] {
        assert_eq!(refusal(with(bad)), "Role is not valid", "{bad}");
    }
}

#[test]
fn a_circle_of_dependencies_is_refused() {
    let container = |name: &str, on: &str| json!({"name": name, "image": "x", "memory": 64, "dependsOn": [{"containerName": on, "condition": "START"}]});
    let whole = json!({"family": "app", "containerDefinitions": [container("a", "b"), container("b", "a")]});
    assert_eq!(refusal(whole), "Container dependencies must not form a cycle.");
}

#[test]
fn sums_of_containers_stay_within_the_task() {
    let container = |name: &str| json!({"name": name, "image": "x", "cpu": 200, "memory": 300});
    let whole = json!({"family": "app", "cpu": "256", "memory": "1024", "containerDefinitions": [container("a"), container("b")]});
    assert_eq!(
        refusal(whole),
        "The sum of all container 'cpu' values cannot be greater than the value of the task 'cpu'."
    );
}

#[test]
fn an_awsvpc_definition_of_a_fargate_size_is_compatible_without_asking() {
    let mut whole = fargate(json!({}), json!({"memory": 64}));
    whole["requiresCompatibilities"] = json!([]);
    let checked = taken(whole);
    assert!(checked.compatibilities.contains(&Compatibility::Fargate));
    let names: Vec<_> = checked.requires_attributes.iter().filter_map(|it| it.name.as_deref()).collect();
    assert_eq!(names, ["com.amazonaws.ecs.capability.docker-remote-api.1.18", "ecs.capability.task-eni"]);
}
