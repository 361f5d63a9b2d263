//! Custom attributes of container instances.

use serde_json::{Value, json};

use crate::server::{Server, assert_refused, texts};

fn instance(server: &Server) -> String {
    let listed = server.ecs("ListContainerInstances", &json!({})).unwrap();
    texts(&listed["containerInstanceArns"])[0].to_owned()
}

fn values(server: &Server, name: &str) -> Vec<Value> {
    let input = json!({"targetType": "container-instance", "attributeName": name});
    server.ecs("ListAttributes", &input).unwrap()["attributes"].as_array().unwrap().clone()
}

#[test]
fn attributes_steer_placement_across_restarts() {
    let mut server = Server::start();
    let image = server.busybox();
    let arn = instance(&server);
    let disk = json!({"name": "disk", "value": "ssd", "targetType": "container-instance", "targetId": arn});
    let put = server.ecs("PutAttributes", &json!({"attributes": [disk]})).unwrap();
    assert_eq!(put["attributes"], json!([disk]));
    server.kill_and_restart();
    assert_eq!(values(&server, "disk"), std::slice::from_ref(&disk));

    let definition = json!({"family": "a", "containerDefinitions": [
        {"name": "main", "image": image, "memory": 16, "command": ["true"]}]});
    server.ecs("RegisterTaskDefinition", &definition).unwrap();
    let run = |server: &Server, expression: &str| {
        let constraints = json!([{"type": "memberOf", "expression": expression}]);
        server.ecs("RunTask", &json!({"taskDefinition": "a", "placementConstraints": constraints})).unwrap()
    };
    assert_eq!(run(&server, "attribute:disk == ssd")["failures"], json!([]));
    let refused = run(&server, "attribute:disk == tape");
    assert_eq!(refused["failures"][0]["reason"], "MemberOf placement constraint unsatisfied.");

    let gone = json!({"attributes": [{"name": "disk", "targetType": "container-instance", "targetId": arn}]});
    server.ecs("DeleteAttributes", &gone).unwrap();
    server.kill_and_restart();
    assert!(values(&server, "disk").is_empty());
    assert!(!values(&server, "ecs.os-type").is_empty(), "what the instance says of itself stays");
}

#[test]
fn attributes_that_ecs_refuses_are_refused() {
    let server = Server::start();
    let arn = instance(&server);
    let put = |attributes: Value| server.ecs("PutAttributes", &json!({"attributes": attributes}));
    let one = |name: &str, value: &str| json!([{"name": name, "value": value, "targetId": arn}]);
    let code = "InvalidParameterException";
    assert_refused(put(json!([])), code, "empty");
    assert_refused(put(one("a b", "x")), code, "Attribute name contains invalid characters.");
    assert_refused(put(one("ecs.os-type", "x")), code, "reserved");
    assert_refused(put(one("a", " x")), code, "Attribute value contains invalid characters.");
    let nowhere = json!([{"name": "a", "value": "b", "targetId": "0123456789abcdef0123456789abcdef"}]);
    assert_refused(put(nowhere), "TargetNotFoundException", "was not found");
    let ten: Vec<Value> = (0..10).map(|n| json!({"name": format!("n{n}"), "value": "x", "targetId": arn})).collect();
    put(json!(ten)).unwrap();
    assert_refused(put(one("eleventh", "x")), "AttributeLimitExceededException", "10");
}
