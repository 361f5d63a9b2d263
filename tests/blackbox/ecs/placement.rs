//! Where tasks are put, and why they are not.

use serde_json::{Value, json};

use crate::server::{Server, texts, with};

fn register(server: &Server, family: &str, over: &Value, image: &str) {
    let container = with(
        &json!({"name": "main", "image": image, "memory": 16, "command": ["sleep", "60"], "stopTimeout": 2}),
        over,
    );
    server.ecs("RegisterTaskDefinition", &json!({"family": family, "containerDefinitions": [container]})).unwrap();
}

#[test]
fn a_task_that_does_not_fit_is_a_failure_with_its_reason() {
    let server = Server::start();
    let image = server.busybox();
    let instances = server.ecs("ListContainerInstances", &json!({})).unwrap();
    let instance = texts(&instances["containerInstanceArns"])[0];
    register(&server, "memory", &json!({"memory": 100_000_000}), &image);
    register(&server, "cpu", &json!({"cpu": 1_000_000}), &image);
    register(&server, "ports", &json!({"portMappings": [{"containerPort": 22, "hostPort": 22}]}), &image);
    for (family, reason) in [("memory", "RESOURCE:MEMORY"), ("cpu", "RESOURCE:CPU"), ("ports", "RESOURCE:PORTS")] {
        let answer = server.ecs("RunTask", &json!({"taskDefinition": family})).unwrap();
        assert_eq!(answer["tasks"], json!([]), "{family}");
        assert_eq!(
            (&answer["failures"][0]["reason"], &answer["failures"][0]["arn"]),
            (&json!(reason), &json!(instance))
        );
    }
    let nowhere = "0123456789abcdef0123456789abcdef";
    let start = server.ecs("StartTask", &json!({"taskDefinition": "cpu", "containerInstances": [nowhere]})).unwrap();
    assert_eq!(start["failures"][0]["reason"], "MISSING");
    let listed = server.ecs("ListTasks", &json!({})).unwrap();
    assert_eq!(listed["taskArns"], json!([]), "nothing of a refused task is left");
}

#[test]
fn gpus_belong_to_one_container_each_also_after_a_restart() {
    let mut server = Server::start();
    let image = server.busybox();
    let added = server.cove(&["fleet", "add", "--type", "p3.8xlarge"]);
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    register(&server, "gpu", &json!({"resourceRequirements": [{"type": "GPU", "value": "3"}]}), &image);
    let run = |server: &Server, gpus: &str| {
        let overrides = json!({"containerOverrides": [
            {"name": "main", "resourceRequirements": [{"type": "GPU", "value": gpus}]}]});
        server.ecs("RunTask", &json!({"taskDefinition": "gpu", "overrides": overrides})).unwrap()
    };
    let first = server.ecs("RunTask", &json!({"taskDefinition": "gpu"})).unwrap();
    let arn = first["tasks"][0]["taskArn"].as_str().unwrap().to_owned();
    server.kill_and_restart();
    let shown = server.ecs("DescribeTasks", &json!({"tasks": [arn]})).unwrap();
    let mut given = texts(&shown["tasks"][0]["containers"][0]["gpuIds"]).len();
    assert_eq!(given, 3);
    let refused = run(&server, "2");
    let reasons: Vec<&str> =
        refused["failures"].as_array().unwrap().iter().map(|it| it["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["RESOURCE:GPU", "RESOURCE:GPU"]);
    given += texts(&run(&server, "1")["tasks"][0]["containers"][0]["gpuIds"]).len();
    assert_eq!(given, 4);
    server.ecs("StopTask", &json!({"task": arn})).unwrap();
    server.wait_task(&arn, "STOPPED");
    assert_eq!(run(&server, "3")["failures"], json!([]));
}

#[test]
fn a_host_port_is_given_once_and_again_when_it_is_free() {
    let server = Server::start();
    let image = server.busybox();
    register(&server, "web", &json!({"portMappings": [{"containerPort": 80, "hostPort": 18_472}]}), &image);
    let run = || server.ecs("RunTask", &json!({"taskDefinition": "web", "count": 2})).unwrap();
    let first = run();
    assert_eq!(texts_of(&first["tasks"]).len(), 1);
    assert_eq!(first["failures"][0]["reason"], "RESOURCE:PORTS");
    let arn = texts_of(&first["tasks"])[0].clone();
    server.wait_task(&arn, "RUNNING");
    server.ecs("StopTask", &json!({"task": arn})).unwrap();
    server.wait_task(&arn, "STOPPED");
    let again = run();
    let arn = texts_of(&again["tasks"])[0].clone();
    let task = server.wait_task(&arn, "RUNNING");
    assert_eq!(
        task["containers"][0]["networkBindings"],
        json!([{"bindIP": "0.0.0.0", "containerPort": 80, "hostPort": 18_472, "protocol": "tcp"}])
    );
}

#[test]
fn distinct_instances_and_expressions_are_honoured() {
    let server = Server::start();
    let image = server.busybox();
    register(&server, "one", &json!({"command": ["true"]}), &image);
    let run = |count: i32, constraints: Value| {
        server.ecs("RunTask", &json!({"taskDefinition": "one", "count": count, "placementConstraints": constraints}))
    };
    let answer = run(2, json!([{"type": "distinctInstance"}])).unwrap();
    assert_eq!(texts_of(&answer["tasks"]).len(), 1, "{answer}");
    assert_eq!(answer["failures"][0]["reason"], "DistinctInstance placement constraint unsatisfied.");
    run(1, json!([{"type": "memberOf", "expression": "attribute:ecs.os-type == linux"}])).unwrap();
    let bad = run(1, json!([{"type": "memberOf", "expression": "((("}]));
    crate::server::assert_refused(bad, "InvalidParameterException", "Invalid expression");
}

fn texts_of(tasks: &Value) -> Vec<String> {
    tasks.as_array().unwrap().iter().map(|task| task["taskArn"].as_str().unwrap().to_owned()).collect()
}
