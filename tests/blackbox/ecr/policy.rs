//! Who else may use a repository.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{allow_mounts, create, push_image, push_layer};
use crate::server::{Answer, Server, assert_refused, until};

const GUEST: &str = "222222222222";
const OWNER: &str = "000000000000";
const HOST: &str = "000000000000.dkr.ecr.us-east-1.amazonaws.com";

/// A call of another account.
fn guest(server: &Server, operation: &str, input: &Value) -> Result<Value, (String, String)> {
    guest_at(server, "ecr", &format!("AmazonEC2ContainerRegistry_V20150921.{operation}"), input)
}

fn guest_ecs(server: &Server, operation: &str, input: &Value) -> Value {
    guest_at(server, "ecs", &format!("AmazonEC2ContainerServiceV20141113.{operation}"), input).unwrap()
}

fn guest_at(server: &Server, service: &str, target: &str, input: &Value) -> Result<Value, (String, String)> {
    let scope = format!(
        "AWS4-HMAC-SHA256 Credential={GUEST}/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=00"
    );
    let headers = [
        ("content-type", "application/x-amz-json-1.1"),
        ("x-amz-target", target),
        ("authorization", scope.as_str()),
        ("x-amz-date", "20260101T000000Z"),
    ];
    let (status, body) = server.request("POST", "/", &headers, input.to_string().as_bytes());
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert!(status < 500, "{answer}");
    if status == 200 {
        return Ok(answer);
    }
    let code = answer["__type"].as_str().unwrap().rsplit('#').next().unwrap().to_owned();
    Err((code, answer["message"].as_str().unwrap_or_default().to_owned()))
}

/// The same at `/v2/`, under the owner's host.
fn guest_oci(server: &Server, method: &str, path: &str, body: &[u8]) -> Answer {
    let login = format!("Basic {}", STANDARD.encode(format!("{GUEST}:x")));
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let headers = [("host", HOST), ("authorization", login.as_str()), ("content-type", kind)];
    server.exchange(method, path, &headers, body)
}

fn allow(actions: &[&str]) -> String {
    let principal = json!({"AWS": format!("arn:aws:iam::{GUEST}:root")});
    let statement = json!({"Sid": "guest", "Effect": "Allow", "Principal": principal, "Action": actions});
    json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
}

fn set(server: &Server, text: &str) -> Result<Value, (String, String)> {
    server.ecr("SetRepositoryPolicy", &json!({"repositoryName": "repo", "policyText": text}))
}

#[test]
fn another_account_gets_in_by_policy() {
    let mut server = Server::start();
    create(&server, "repo");
    let (manifest, _) = push_image(&server, "repo", "1", "a");
    let get = json!({"registryId": OWNER, "repositoryName": "repo", "imageIds": [{"imageTag": "1"}]});
    let pull = |server: &Server| guest_oci(server, "GET", "/v2/repo/manifests/1", b"");
    let why = "is not authorized to perform: ecr:BatchGetImage on resource: \
               arn:aws:ecr:us-east-1:000000000000:repository/repo because no resource-based policy allows the \
               ecr:BatchGetImage action";
    assert_refused(guest(&server, "BatchGetImage", &get), "AccessDeniedException", why);
    let refused = pull(&server);
    assert_eq!((refused.status, refused.text().contains(why)), (403, true), "{}", refused.text());
    let none = server.ecr("GetRepositoryPolicy", &json!({"repositoryName": "repo"}));
    assert_refused(none, "RepositoryPolicyNotFoundException", "for the repository with name 'repo'");
    for bad in ["{}", "no json", &allow(&["ecr:PutImage"]).replace("\"Sid\"", "\"Resource\""), &allow(&["s3:Get"])] {
        assert_refused(set(&server, bad), "InvalidParameterException", "Invalid repository policy provided");
    }

    let reads = allow(&["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]);
    set(&server, &reads).unwrap();
    server.kill_and_restart();
    let kept = server.ecr("GetRepositoryPolicy", &json!({"repositoryName": "repo"})).unwrap();
    assert_eq!(kept["policyText"], reads);
    assert_eq!(guest(&server, "BatchGetImage", &get).unwrap()["images"][0]["imageManifest"], manifest);
    assert_eq!(pull(&server).text(), manifest);
    let layer: Value = serde_json::from_str(&manifest).unwrap();
    let blob = format!("/v2/repo/blobs/{}", layer["layers"][0]["digest"].as_str().unwrap());
    assert_eq!(guest_oci(&server, "GET", &blob, b"").text(), "layer a");
    assert_eq!(guest_oci(&server, "PUT", "/v2/repo/manifests/2", manifest.as_bytes()).status, 403);
    assert_eq!(guest_oci(&server, "GET", "/v2/_catalog", b"").status, 404);
    let push = json!({"registryId": OWNER, "repositoryName": "repo", "imageManifest": manifest, "imageTag": "2"});
    assert_refused(guest(&server, "PutImage", &push), "AccessDeniedException", "ecr:PutImage");
    let absent = json!({"registryId": OWNER, "repositoryName": "none", "imageIds": [{"imageTag": "1"}]});
    assert_refused(guest(&server, "BatchGetImage", &absent), "RepositoryNotFoundException", OWNER);

    set(&server, &allow(&["ecr:*"])).unwrap();
    guest(&server, "PutImage", &push).unwrap();
    assert_eq!(guest_oci(&server, "PUT", "/v2/repo/manifests/3", manifest.as_bytes()).status, 201);
    // A blob of a repository that the guest may not read cannot be had by a mount; one that it may read can.
    allow_mounts(&server);
    create(&server, "open");
    let open = server.ecr("SetRepositoryPolicy", &json!({"repositoryName": "open", "policyText": allow(&["ecr:*"])}));
    open.unwrap();
    let shared = push_layer(&server, "open", b"shared");
    let mount = guest_oci(&server, "POST", &format!("/v2/repo/blobs/uploads/?mount={shared}&from=open"), b"");
    assert_eq!(mount.status, 201, "{}", mount.text());
    create(&server, "closed");
    let (closed, _) = push_image(&server, "closed", "1", "secret");
    let closed: Value = serde_json::from_str(&closed).unwrap();
    let secret = closed["layers"][0]["digest"].as_str().unwrap();
    for from in ["&from=closed", ""] {
        let mount = guest_oci(&server, "POST", &format!("/v2/repo/blobs/uploads/?mount={secret}{from}"), b"");
        assert_eq!(mount.status, 202, "{}", mount.text());
    }

    server.ecr("DeleteRepositoryPolicy", &json!({"repositoryName": "repo"})).unwrap();
    server.kill_and_restart();
    assert_eq!(pull(&server).status, 403);
}

#[test]
fn a_task_runs_an_image_of_another_account_by_policy() {
    let server = Server::start();
    server.busybox();
    let shared = format!("{HOST}/busybox:1");
    let call = |operation: &str, input: &Value| guest_ecs(&server, operation, input);
    let container = json!({"name": "main", "image": shared, "memory": 32, "command": ["true"]});
    call("RegisterTaskDefinition", &json!({"family": "guest", "containerDefinitions": [container]}));
    let run = || {
        let started = call("RunTask", &json!({"taskDefinition": "guest"}));
        let arn = started["tasks"][0]["taskArn"].clone();
        assert!(arn.is_string(), "{started}");
        until("the guest's task to end", || {
            let task = call("DescribeTasks", &json!({"tasks": [arn]}))["tasks"][0].clone();
            (task["lastStatus"] == "STOPPED").then_some(task)
        })
    };
    let refused = run();
    let reason = refused["stoppedReason"].as_str().unwrap();
    assert!(reason.contains("pull access denied for busybox"), "{reason}");
    let text = allow(&["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]);
    server.ecr("SetRepositoryPolicy", &json!({"repositoryName": "busybox", "policyText": text})).unwrap();
    assert_eq!(run()["containers"][0]["exitCode"], 0);
}

#[test]
fn a_denial_holds_for_the_owner_too_until_it_is_deleted() {
    let mut server = Server::start();
    create(&server, "repo");
    push_image(&server, "repo", "1", "a");
    let deny = |action: &str| {
        let statement = json!({"Effect": "Deny", "Principal": "*", "Action": action});
        json!({"Version": "2012-10-17", "Statement": statement}).to_string()
    };
    assert_refused(set(&server, &deny("ecr:*")), "InvalidParameterException", "set force");
    let forced = json!({"repositoryName": "repo", "policyText": deny("ecr:*"), "force": true});
    server.ecr("SetRepositoryPolicy", &forced).unwrap();
    server.kill_and_restart();
    let listed = server.ecr("ListImages", &json!({"repositoryName": "repo"}));
    assert_refused(listed, "AccessDeniedException", "with an explicit deny in a resource-based policy");
    assert_eq!(server.exchange("GET", "/v2/repo/tags/list", &[], b"").status, 403);
    server.ecr("DeleteRepositoryPolicy", &json!({"repositoryName": "repo"})).unwrap();
    assert_eq!(server.exchange("GET", "/v2/repo/tags/list", &[], b"").status, 200);
}

#[test]
fn a_registry_policy_is_kept_and_counts() {
    let mut server = Server::start();
    create(&server, "team/repo");
    let (manifest, _) = push_image(&server, "team/repo", "1", "a");
    let described = server.ecr("DescribeRegistry", &json!({})).unwrap();
    assert_eq!(described, json!({"registryId": OWNER, "replicationConfiguration": {"rules": []}}));
    let none = server.ecr("GetRegistryPolicy", &json!({}));
    assert_refused(none, "RegistryPolicyNotFoundException", "Registry policy does not exist");
    let statement = json!({"Effect": "Allow", "Principal": {"AWS": GUEST}, "Action": "ecr:BatchGet*",
        "Resource": format!("arn:aws:ecr:us-east-1:{OWNER}:repository/team/*")});
    let text = json!({"Version": "2012-10-17", "Statement": [statement]}).to_string();
    let bad = text.replace("\"Resource\"", "\"Colour\"");
    let refused = server.ecr("PutRegistryPolicy", &json!({"policyText": bad}));
    assert_refused(refused, "InvalidParameterException", "Invalid registry policy provided");
    server.ecr("PutRegistryPolicy", &json!({"policyText": text})).unwrap();
    server.kill_and_restart();
    assert_eq!(server.ecr("GetRegistryPolicy", &json!({})).unwrap()["policyText"], text);
    let get = json!({"registryId": OWNER, "repositoryName": "team/repo", "imageIds": [{"imageTag": "1"}]});
    assert_eq!(guest(&server, "BatchGetImage", &get).unwrap()["images"][0]["imageManifest"], manifest);
    server.ecr("PutAccountSetting", &json!({"name": "REGISTRY_POLICY_SCOPE", "value": "V1"})).unwrap();
    assert_refused(guest(&server, "BatchGetImage", &get), "AccessDeniedException", "");
    let make = json!({"registryId": OWNER, "repositoryName": "team/new"});
    assert_refused(guest(&server, "CreateRepository", &make), "AccessDeniedException", "ecr:CreateRepository");
    let text = text.replace("ecr:BatchGet*", "ecr:CreateRepository");
    server.ecr("PutRegistryPolicy", &json!({"policyText": text})).unwrap();
    let made = guest(&server, "CreateRepository", &make).unwrap();
    assert_eq!(made["repository"]["registryId"], OWNER, "the narrow scope has the making of repositories too");
    server.ecr("DeleteRegistryPolicy", &json!({})).unwrap();
    server.kill_and_restart();
    assert_refused(server.ecr("DeleteRegistryPolicy", &json!({})), "RegistryPolicyNotFoundException", OWNER);
}

#[test]
fn another_account_scans_and_makes_rules_by_policy() {
    let server = Server::start();
    create(&server, "repo");
    push_image(&server, "repo", "1", "a");
    let image = json!({"registryId": OWNER, "repositoryName": "repo", "imageId": {"imageTag": "1"}});
    let scanning = json!({"registryId": OWNER, "repositoryName": "repo",
        "imageScanningConfiguration": {"scanOnPush": true}});
    let calls = [
        ("DescribeImageReplicationStatus", &image),
        ("StartImageScan", &image),
        ("DescribeImageScanFindings", &image),
        ("PutImageScanningConfiguration", &scanning),
    ];
    for (operation, input) in calls {
        let refused = guest(&server, operation, input);
        assert_refused(refused, "AccessDeniedException", &format!("to perform: ecr:{operation} on resource"));
    }
    let actions = calls.map(|(operation, _)| format!("ecr:{operation}"));
    set(&server, &allow(&actions.each_ref().map(String::as_str))).unwrap();
    for (operation, input) in calls {
        let done = guest(&server, operation, input).unwrap_or_else(|error| panic!("{operation}: {error:?}"));
        assert_eq!(done["repositoryName"], "repo", "{operation}");
    }
    let shown = server.ecr("DescribeRepositories", &json!({"repositoryNames": ["repo"]})).unwrap();
    assert_eq!(shown["repositories"][0]["imageScanningConfiguration"]["scanOnPush"], true);

    let rule = json!({"registryId": OWNER, "ecrRepositoryPrefix": "quay", "upstreamRegistryUrl": "quay.io"});
    let make = || guest(&server, "CreatePullThroughCacheRule", &rule);
    assert_refused(make(), "AccessDeniedException", "repository/quay because no resource-based policy");
    let statement = json!({"Effect": "Allow", "Principal": {"AWS": GUEST}, "Action": "ecr:CreatePullThroughCacheRule",
        "Resource": format!("arn:aws:ecr:us-east-1:{OWNER}:repository/quay*")});
    let text = json!({"Version": "2012-10-17", "Statement": [statement]}).to_string();
    server.ecr("PutRegistryPolicy", &json!({"policyText": text})).unwrap();
    assert_eq!(make().unwrap()["registryId"], OWNER);
    let listed = server.ecr("DescribePullThroughCacheRules", &json!({})).unwrap();
    assert_eq!(listed["pullThroughCacheRules"][0]["ecrRepositoryPrefix"], "quay", "it is the owner's");
    let foreign = guest(&server, "DescribePullThroughCacheRules", &json!({"registryId": OWNER}));
    assert_refused(foreign, "AccessDeniedException", "ecr:DescribePullThroughCacheRules");
}
