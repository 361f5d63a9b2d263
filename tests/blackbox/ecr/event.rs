//! What ECR tells EventBridge.

use serde_json::{Value, json};

use super::{create, push_image};
use crate::server::{Server, until};

#[test]
fn pushes_deletions_and_moves_are_told_to_rules() {
    let mut server = Server::start_set(&["--lifecycle-secs", "1"]);
    server.logs("CreateLogGroup", &json!({"logGroupName": "/aws/events/ecr"})).unwrap();
    let pattern = json!({"source": ["aws.ecr"], "detail": {"repository-name": ["repo"]}}).to_string();
    server.events("PutRule", &json!({"Name": "ecr", "EventPattern": pattern})).unwrap();
    let target = json!({"Id": "log", "Arn": "arn:aws:logs:us-east-1:000000000000:log-group:/aws/events/ecr"});
    server.events("PutTargets", &json!({"Rule": "ecr", "Targets": [target]})).unwrap();
    create(&server, "repo");
    let (manifest, image) = push_image(&server, "repo", "1", "a");
    let again = json!({"repositoryName": "repo", "imageManifest": manifest, "imageTag": "2"});
    server.ecr("PutImage", &again).unwrap();
    server.ecr("PutImage", &again).unwrap_err();
    let one = |tag: &str| json!({"repositoryName": "repo", "imageIds": [{"imageTag": tag}]});
    server.ecr("BatchDeleteImage", &one("2")).unwrap();
    for class in ["ARCHIVE", "STANDARD"] {
        let moved = json!({"repositoryName": "repo", "imageId": {"imageTag": "1"}, "targetStorageClass": class});
        server.ecr("UpdateImageStorageClass", &moved).unwrap();
    }
    server.kill_and_restart();
    push_image(&server, "repo", "3", "b");
    let selection = json!({"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1});
    let rule = json!({"rulePriority": 1, "selection": selection, "action": {"type": "expire"}});
    let text = json!({"rules": [rule]}).to_string();
    server.ecr("PutLifecyclePolicy", &json!({"repositoryName": "repo", "lifecyclePolicyText": text})).unwrap();

    let told = |server: &Server| -> Vec<Value> {
        let found = server.logs("FilterLogEvents", &json!({"logGroupName": "/aws/events/ecr"})).unwrap();
        let events = found["events"].as_array().unwrap().iter();
        events.map(|event| serde_json::from_str(event["message"].as_str().unwrap()).unwrap()).collect()
    };
    let expected = [
        ("PUSH", Some("1")),
        ("PUSH", Some("2")),
        ("DELETE", Some("2")),
        ("UPDATE_STORAGE_CLASS", None),
        ("PUSH", Some("3")),
        ("DELETE", Some("1")),
        ("DELETE", Some("4")),
    ];
    let shown = |event: &Value| {
        let text = |member: &str| event["detail"][member].as_str().map(str::to_owned);
        (text("action-type"), text("image-tag"))
    };
    let is_told = |all: &[Value], (action, tag): &(&str, Option<&str>)| {
        all.iter().map(shown).any(|(kind, of)| (kind.as_deref(), of.as_deref()) == (Some(action), *tag))
    };
    // Who goes with the repository goes like who goes alone.
    push_image(&server, "repo", "4", "c");
    server.ecr("DeleteRepository", &json!({"repositoryName": "repo", "force": true})).unwrap();
    // Deliveries come at least once: a kill may have repeated some.
    let all_told = |all: &Vec<Value>| expected.iter().all(|one| is_told(all, one));
    let events = until("all that happened to be told", || Some(told(&server)).filter(all_told));
    let classes = events.iter().map(|event| event["detail"]["target-storage-class"].clone());
    let classes: Vec<Value> = classes.filter(Value::is_string).collect();
    assert!(classes.contains(&json!("ARCHIVE")) && classes.contains(&json!("STANDARD")), "{classes:?}");
    let push = events.iter().find(|event| event["detail"]["image-tag"] == "1").unwrap();
    assert_eq!((&push["detail-type"], &push["resources"]), (&json!("ECR Image Action"), &json!([])));
    assert_eq!((&push["detail"]["image-digest"], &push["detail"]["result"]), (&json!(image), &json!("SUCCESS")));
}
