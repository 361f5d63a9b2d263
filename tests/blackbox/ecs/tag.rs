//! Tags of clusters, definitions, tasks and instances.

use serde_json::{Value, json};

use crate::server::{Server, assert_refused, texts};

#[test]
fn tags_of_every_kind_of_resource_survive_a_restart() {
    let mut server = Server::start();
    let image = server.busybox();
    let task = server.run_task("tagged", json!({"image": image, "command": ["true"]}));
    let listed = server.ecs("ListContainerInstances", &json!({})).unwrap();
    let resources = [
        "arn:aws:ecs:us-east-1:000000000000:cluster/default".to_owned(),
        "arn:aws:ecs:us-east-1:000000000000:task-definition/tagged:1".to_owned(),
        task,
        texts(&listed["containerInstanceArns"])[0].to_owned(),
    ];
    for arn in &resources {
        let tags = json!([{"key": "stays", "value": "1"}, {"key": "goes", "value": "2"}]);
        server.ecs("TagResource", &json!({"resourceArn": arn, "tags": tags})).unwrap();
        let over = json!([{"key": "stays", "value": "3"}]);
        server.ecs("TagResource", &json!({"resourceArn": arn, "tags": over})).unwrap();
        server.ecs("UntagResource", &json!({"resourceArn": arn, "tagKeys": ["goes", "never-was"]})).unwrap();
    }
    server.kill_and_restart();
    for arn in &resources {
        let shown = server.ecs("ListTagsForResource", &json!({"resourceArn": arn})).unwrap();
        assert_eq!(shown["tags"], json!([{"key": "stays", "value": "3"}]), "{arn}");
    }
}

#[test]
fn a_task_takes_tags_from_its_request_and_from_its_definition() {
    let server = Server::start();
    let image = server.busybox();
    let run = json!({"tags": [{"key": "own", "value": "x"}], "propagateTags": "TASK_DEFINITION", "enableECSManagedTags": true});
    let definition = json!({"tags": [{"key": "inherited", "value": "y"}]});
    let task = server.run_task_with("tagged", json!({"image": image, "command": ["true"]}), &definition, &run);
    let shown = server.ecs("DescribeTasks", &json!({"tasks": [task], "include": ["TAGS"]})).unwrap();
    let mut tags: Vec<String> = shown["tasks"][0]["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| format!("{}={}", tag["key"], tag["value"]))
        .collect();
    tags.sort();
    assert_eq!(tags, [r#""aws:ecs:clusterName"="default""#, r#""inherited"="y""#, r#""own"="x""#]);
    assert_eq!(server.describe_task(&task)["tags"], json!([]), "shown only when asked for");
}

#[test]
fn tags_that_ecs_refuses_are_refused() {
    let server = Server::start();
    let cluster = "arn:aws:ecs:us-east-1:000000000000:cluster/default";
    let tag = |arn: &str, tags: Value| server.ecs("TagResource", &json!({"resourceArn": arn, "tags": tags}));
    let one = || json!([{"key": "a", "value": "b"}]);
    let code = "InvalidParameterException";
    assert_refused(tag("default", one()), code, "must be an ARN");
    assert_refused(tag("arn:aws:ecs:us-east-1:000000000000:task-set/a/b", one()), code, "Unexpected resource type");
    assert_refused(
        tag("arn:aws:ecs:us-east-1:000000000000:task/0123456789abcdef0123456789abcdef", one()),
        code,
        "Long arn",
    );
    assert_refused(
        tag("arn:aws:ecs:us-east-1:111111111111:cluster/default", one()),
        code,
        "Identifier is for 111111111111",
    );
    assert_refused(tag("arn:aws:ecs:us-east-1:000000000000:cluster/no", one()), "ClusterNotFoundException", "");
    assert_refused(tag(cluster, json!([{"key": "aws:a", "value": "b"}])), code, "reserved");
    assert_refused(tag(cluster, json!([{"key": "a", "value": "1"}, {"key": "a", "value": "2"}])), code, "Duplicate");
    let many: Vec<Value> = (0..51).map(|n| json!({"key": format!("k{n}"), "value": ""})).collect();
    assert_refused(tag(cluster, json!(many)), code, "");
    assert_refused(tag(cluster, json!([{"key": "a".repeat(129), "value": ""}])), code, "128");
}
