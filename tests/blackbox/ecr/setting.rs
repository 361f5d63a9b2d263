//! What holds for a whole registry.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{allow_mounts, create, push_image, push_layer};
use crate::server::{Server, assert_refused, until};

#[test]
fn account_settings_take_effect() {
    let mut server = Server::start();
    create(&server, "one");
    create(&server, "two");
    let layer = push_layer(&server, "one", b"a layer");
    let mount = |server: &Server| {
        server.exchange("POST", &format!("/v2/two/blobs/uploads/?mount={layer}&from=one"), &[], b"").status
    };
    let get = |server: &Server, name: &str| server.ecr("GetAccountSetting", &json!({"name": name}));
    assert_eq!(get(&server, "BLOB_MOUNTING").unwrap(), json!({"name": "BLOB_MOUNTING", "value": "DISABLED"}));
    assert_eq!(mount(&server), 202);
    allow_mounts(&server);
    server.kill_and_restart();
    assert_eq!(get(&server, "BLOB_MOUNTING").unwrap()["value"], "ENABLED");
    assert_eq!(mount(&server), 201);
    server.ecr("PutAccountSetting", &json!({"name": "BLOB_MOUNTING", "value": "DISABLED"})).unwrap();
    assert_eq!(mount(&server), 202);
    assert_eq!(get(&server, "BASIC_SCAN_TYPE_VERSION").unwrap()["value"], "AWS_NATIVE");
    assert_refused(get(&server, "COLOUR"), "InvalidParameterException", "COLOUR");
    let bad = server.ecr("PutAccountSetting", &json!({"name": "REGISTRY_POLICY_SCOPE", "value": "V3"}));
    assert_refused(bad, "InvalidParameterException", "[V2, V1]");
}

#[test]
fn pulls_of_excepted_principals_leave_no_time() {
    let mut server = Server::start();
    create(&server, "repo");
    let (_, scanned) = push_image(&server, "repo", "scanned", "1");
    push_image(&server, "repo", "used", "2");
    let arn = "arn:aws:iam::000000000000:role/scanner";
    let call = |server: &Server, operation: &str| server.ecr(operation, &json!({"principalArn": arn}));
    call(&server, "RegisterPullTimeUpdateExclusion").unwrap();
    assert_refused(call(&server, "RegisterPullTimeUpdateExclusion"), "ExclusionAlreadyExistsException", arn);
    let bad = server.ecr("RegisterPullTimeUpdateExclusion", &json!({"principalArn": "scanner"}));
    assert_refused(bad, "InvalidParameterException", "");
    server.kill_and_restart();
    let listed = server.ecr("ListPullTimeUpdateExclusions", &json!({})).unwrap();
    assert_eq!(listed, json!({"pullTimeUpdateExclusions": [arn]}));

    let trust = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
        "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}]})
    .to_string();
    let role = [("Action", "CreateRole"), ("RoleName", "scanner"), ("AssumeRolePolicyDocument", trust.as_str())];
    assert_eq!(server.query("iam", "2010-05-08", &role).0, 200);
    let image = format!("000000000000.dkr.ecr.us-east-1.amazonaws.com/repo@{scanned}");
    let container = json!({"name": "main", "image": image, "essential": true});
    // The image has no file system to run from: that it was pulled for the role is all that matters.
    let arn_of_task = server.run_task_with("scan", container, &json!({"executionRoleArn": arn}), &json!({}));
    server.wait_task(&arn_of_task, "STOPPED");
    let login = format!("Basic {}", STANDARD.encode("000000000000:x"));
    server.exchange("GET", "/v2/repo/manifests/used", &[("authorization", &login)], b"");
    let pulled_at = |tag: &str| -> Value {
        let wanted = json!({"repositoryName": "repo", "imageIds": [{"imageTag": tag}]});
        server.ecr("DescribeImages", &wanted).unwrap()["imageDetails"][0]["lastRecordedPullTime"].clone()
    };
    until("the other pull to be noted", || pulled_at("used").as_f64());
    assert_eq!(pulled_at("scanned"), Value::Null);

    call(&server, "DeregisterPullTimeUpdateExclusion").unwrap();
    server.kill_and_restart();
    assert_refused(call(&server, "DeregisterPullTimeUpdateExclusion"), "ExclusionNotFoundException", arn);
    assert_eq!(server.ecr("ListPullTimeUpdateExclusions", &json!({})).unwrap()["pullTimeUpdateExclusions"], json!([]));
}

#[test]
fn signing_rules_are_kept_and_nothing_is_signed() {
    let mut server = Server::start();
    create(&server, "repo");
    push_image(&server, "repo", "1", "a");
    let get = |server: &Server| server.ecr("GetSigningConfiguration", &json!({}));
    let status = |server: &Server| {
        let wanted = json!({"repositoryName": "repo", "imageId": {"imageTag": "1"}});
        server.ecr("DescribeImageSigningStatus", &wanted).unwrap()["signingStatuses"].clone()
    };
    assert_refused(get(&server), "SigningConfigurationNotFoundException", "");
    assert_eq!(status(&server), json!([]));
    let profile = |name: &str| format!("arn:aws:signer:us-east-1:000000000000:/signing-profiles/{name}");
    let filter = json!([{"filter": "re*", "filterType": "WILDCARD_MATCH"}]);
    let other = json!([{"filter": "other", "filterType": "WILDCARD_MATCH"}]);
    let rules = json!({"rules": [{"signingProfileArn": profile("one"), "repositoryFilters": filter},
        {"signingProfileArn": profile("two"), "repositoryFilters": other}]});
    server.ecr("PutSigningConfiguration", &json!({"signingConfiguration": rules})).unwrap();
    server.kill_and_restart();
    assert_eq!(get(&server).unwrap(), json!({"registryId": "000000000000", "signingConfiguration": rules}));
    let shown = status(&server);
    assert_eq!((&shown[0]["status"], &shown[0]["signingProfileArn"]), (&json!("FAILED"), &json!(profile("one"))));
    assert_eq!(shown.as_array().unwrap().len(), 1, "{shown}");
    let gone = server.ecr("DeleteSigningConfiguration", &json!({})).unwrap();
    assert_eq!(gone["signingConfiguration"], rules);
    server.kill_and_restart();
    assert_refused(get(&server), "SigningConfigurationNotFoundException", "");
}
