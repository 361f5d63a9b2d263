//! Lifecycle policies: kept, tried, carried out.

use serde_json::{Value, json};

use super::{create, push_image};
use crate::server::{Server, assert_refused, until};

/// A policy of one rule.
fn policy(selection: &Value, action: &Value) -> String {
    json!({"rules": [{"rulePriority": 1, "description": "a test", "selection": selection, "action": action}]})
        .to_string()
}

fn keep(count: u64) -> String {
    let selection = json!({"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": count});
    policy(&selection, &json!({"type": "expire"}))
}

fn digests(server: &Server) -> Vec<String> {
    let listed = server.ecr("ListImages", &json!({"repositoryName": "repo"})).unwrap();
    let ids = listed["imageIds"].as_array().unwrap().iter();
    ids.map(|id| id["imageDigest"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_lifecycle_policy_is_kept_and_carried_out() {
    let mut server = Server::start_set(&["--lifecycle-secs", "1"]);
    create(&server, "repo");
    let put = |server: &Server, text: &str| {
        server.ecr("PutLifecyclePolicy", &json!({"repositoryName": "repo", "lifecyclePolicyText": text}))
    };
    let get = |server: &Server| server.ecr("GetLifecyclePolicy", &json!({"repositoryName": "repo"}));
    assert_refused(get(&server), "LifecyclePolicyNotFoundException", "for the repository with name 'repo'");
    let twice = json!({"tagStatus": "tagged", "countType": "imageCountMoreThan", "countNumber": 1});
    let bad = put(&server, &policy(&twice, &json!({"type": "expire"})));
    assert_refused(bad, "InvalidParameterException", "Must specify tagPrefixList or tagPatternList");
    assert_refused(put(&server, &"x".repeat(100)), "InvalidParameterException", "Could not map policyString");

    put(&server, &keep(3)).unwrap();
    let mut pushed = Vec::new();
    for number in 0..3 {
        let tag = number.to_string();
        pushed.push(push_image(&server, "repo", &tag, &tag).1);
    }
    let evaluated = |server: &Server| get(server).unwrap()["lastEvaluatedAt"].as_f64();
    let first = until("the policy to be carried out", || evaluated(&server));
    until("the policy to be carried out again", || evaluated(&server).filter(|at| *at > first));
    assert_eq!(digests(&server).len(), 3, "it leaves what it allows");
    put(&server, &keep(1)).unwrap();
    server.kill_and_restart();
    until("old images to expire", || (digests(&server) == [pushed[2].clone()]).then_some(()));

    let gone = server.ecr("DeleteLifecyclePolicy", &json!({"repositoryName": "repo"})).unwrap();
    assert_eq!(gone["lifecyclePolicyText"], keep(1));
    server.kill_and_restart();
    assert_refused(get(&server), "LifecyclePolicyNotFoundException", "");
}

#[test]
fn a_preview_shows_what_a_policy_would_do() {
    let mut server = Server::start();
    create(&server, "repo");
    let (_, old) = push_image(&server, "repo", "old", "1");
    let (_, new) = push_image(&server, "repo", "new", "2");
    let get = |server: &Server, more: Value| {
        server.ecr("GetLifecyclePolicyPreview", &crate::server::with(&json!({"repositoryName": "repo"}), &more))
    };
    assert_refused(get(&server, json!({})), "LifecyclePolicyPreviewNotFoundException", "preview does not exist");
    let start = |server: &Server, more: Value| {
        server.ecr("StartLifecyclePolicyPreview", &crate::server::with(&json!({"repositoryName": "repo"}), &more))
    };
    assert_refused(start(&server, json!({})), "LifecyclePolicyNotFoundException", "");
    let started = start(&server, json!({"lifecyclePolicyText": keep(1)})).unwrap();
    assert_eq!((&started["status"], &started["lifecyclePolicyText"]), (&json!("IN_PROGRESS"), &json!(keep(1))));
    server.kill_and_restart();
    push_image(&server, "repo", "newest", "3");
    let found = get(&server, json!({})).unwrap();
    assert_eq!((&found["status"], &found["summary"]["expiringImageTotalCount"]), (&json!("COMPLETE"), &json!(1)));
    let result = &found["previewResults"][0];
    assert_eq!((&result["imageDigest"], &result["appliedRulePriority"]), (&json!(old), &json!(1)));
    assert_eq!((&result["action"], &result["imageTags"]), (&json!({"type": "EXPIRE"}), &json!(["old"])));
    let none = get(&server, json!({"imageIds": [{"imageDigest": new}]})).unwrap();
    assert_eq!(none["previewResults"], json!([]));
    assert_eq!(digests(&server).len(), 3, "a preview removes nothing");

    let archive = json!({"type": "transition", "targetStorageClass": "archive"});
    let selection =
        json!({"tagStatus": "tagged", "tagPatternList": ["new*"], "countType": "imageCountMoreThan", "countNumber": 1});
    let text = policy(&selection, &archive);
    server.ecr("PutLifecyclePolicy", &json!({"repositoryName": "repo", "lifecyclePolicyText": text})).unwrap();
    start(&server, json!({})).unwrap();
    let found = get(&server, json!({})).unwrap();
    let counts = json!([{"targetStorageClass": "ARCHIVE", "imageTotalCount": 1}]);
    assert_eq!(found["summary"]["transitioningImageTotalCounts"], counts);
    assert_eq!(found["previewResults"][0]["imageDigest"], new);
}
