//! ECR: pull through cache rules. The other registry is another Cove.

use serde_json::{Value, json};

use crate::server::{Server, assert_refused, load_busybox, until, with};

/// A server that may take from that one.
fn beside(upstream: &Server) -> Server {
    Server::start_configured(&format!("registry_insecure = [\"127.0.0.1:{}\"]\n", upstream.port))
}

/// A rule for everything below `up/`.
fn rule(upstream: &Server) -> Value {
    json!({"ecrRepositoryPrefix": "up", "upstreamRegistryUrl": format!("127.0.0.1:{}", upstream.port)})
}

fn refused(server: &Server, input: &Value, code: &str, words: &str) {
    assert_refused(server.ecr("CreatePullThroughCacheRule", input), code, words);
}

#[test]
fn a_rule_is_made_changed_and_removed() {
    let mut server = Server::start();
    let hub = json!({"ecrRepositoryPrefix": "hub", "upstreamRegistryUrl": "registry-1.docker.io"});
    let unsupported = "UnsupportedUpstreamRegistryException";
    refused(&server, &hub, unsupported, "requires authentication");
    refused(&server, &with(&hub, &json!({"upstreamRegistryUrl": "harbor.example.com"})), unsupported, "is invalid");
    let quay = json!({"ecrRepositoryPrefix": "quay", "upstreamRegistryUrl": "quay.io"});
    refused(&server, &with(&quay, &json!({"upstreamRegistry": "k8s"})), unsupported, "quay.io is invalid");
    let absent = "arn:aws:secretsmanager:us-east-1:000000000000:secret:ecr-pullthroughcache/none-AbCdEf";
    refused(&server, &with(&hub, &json!({"credentialArn": absent})), "SecretNotFoundException", "was not found");
    let foreign = absent.replace("us-east-1", "eu-west-1");
    refused(&server, &with(&hub, &json!({"credentialArn": foreign})), "UnableToAccessSecretException", "");
    let other = "arn:aws:secretsmanager:us-east-1:000000000000:secret:elsewhere/none-AbCdEf";
    refused(&server, &with(&hub, &json!({"credentialArn": other})), "InvalidParameterException", "credentialArn");
    let root = json!({"ecrRepositoryPrefix": "ROOT", "upstreamRepositoryPrefix": "team"});
    refused(&server, &with(&quay, &root), "InvalidParameterException", "upstreamRepositoryPrefix");
    let account = json!({"upstreamRegistryUrl": "111111111111.dkr.ecr.us-east-1.amazonaws.com"});
    refused(&server, &with(&quay, &account), "InvalidParameterException", "customRoleArn");

    let secret = json!({"Name": "ecr-pullthroughcache/hub", "SecretString": "{}"});
    let arn = server.secrets("CreateSecret", &secret).unwrap()["ARN"].clone();
    let made = server.ecr("CreatePullThroughCacheRule", &with(&hub, &json!({"credentialArn": arn}))).unwrap();
    assert_eq!((&made["upstreamRegistry"], &made["upstreamRepositoryPrefix"]), (&json!("docker-hub"), &json!("ROOT")));
    server.ecr("CreatePullThroughCacheRule", &quay).unwrap();
    refused(&server, &quay, "PullThroughCacheRuleAlreadyExistsException", "prefix 'quay'");
    let tried = server.ecr("ValidatePullThroughCacheRule", &json!({"ecrRepositoryPrefix": "hub"})).unwrap();
    assert_eq!(tried["isValid"], false);
    assert!(tried["failure"].as_str().unwrap().contains("accessToken"), "{tried}");
    server.kill_and_restart();

    let shown = server.ecr("DescribePullThroughCacheRules", &json!({})).unwrap()["pullThroughCacheRules"].clone();
    assert_eq!((&shown[0]["ecrRepositoryPrefix"], &shown[0]["credentialArn"]), (&json!("hub"), &arn));
    assert_eq!((&shown[1]["ecrRepositoryPrefix"], &shown[2]), (&json!("quay"), &Value::Null));
    let role = json!({"ecrRepositoryPrefix": "quay", "customRoleArn": "arn:aws:iam::000000000000:role/r"});
    let changed = server.ecr("UpdatePullThroughCacheRule", &role).unwrap();
    assert_eq!(changed["customRoleArn"], role["customRoleArn"]);
    server.ecr("DeletePullThroughCacheRule", &json!({"ecrRepositoryPrefix": "hub"})).unwrap();
    let gone = server.ecr("DescribePullThroughCacheRules", &json!({"ecrRepositoryPrefixes": ["quay", "hub"]}));
    assert_refused(gone, "PullThroughCacheRuleNotFoundException", "prefix 'hub'");
}

#[test]
fn an_image_is_fetched_with_the_credentials_of_a_secret() {
    let mut upstream = Server::start_strict();
    let keys = std::fs::read(upstream.home().join("data/keys/root.json")).unwrap();
    let keys: Value = serde_json::from_slice(&keys).unwrap();
    let (id, key) = (keys["access_key_id"].as_str().unwrap(), keys["secret_access_key"].as_str().unwrap());
    load_busybox(&upstream, id, key, "team/box:1");
    let mut server = beside(&upstream);
    let login = |token: &str| json!({"username": id, "accessToken": token}).to_string();
    let secret = json!({"Name": "ecr-pullthroughcache/up", "SecretString": login("wrong")});
    let arn = server.secrets("CreateSecret", &secret).unwrap()["ARN"].clone();
    let made = with(&rule(&upstream), &json!({"credentialArn": arn, "upstreamRepositoryPrefix": "team"}));
    server.ecr("CreatePullThroughCacheRule", &made).unwrap();
    let validate = |server: &Server| {
        server.ecr("ValidatePullThroughCacheRule", &json!({"ecrRepositoryPrefix": "up"})).unwrap()["isValid"].clone()
    };
    assert_eq!(validate(&server), false);
    let manifest = |server: &Server, name: &str| server.exchange("GET", &format!("/v2/{name}"), &[], b"");
    assert_eq!(manifest(&server, "up/box/manifests/1").status, 403);
    let batch = json!({"repositoryName": "up/box", "imageIds": [{"imageTag": "1"}]});
    let failed = server.ecr("BatchGetImage", &batch).unwrap();
    assert_eq!(failed["failures"][0]["failureCode"], "UpstreamAccessDenied", "{failed}");
    let none = server.ecr("DescribeRepositories", &json!({"repositoryNames": ["up/box"]}));
    assert_refused(none, "RepositoryNotFoundException", "up/box");

    server.secrets("PutSecretValue", &json!({"SecretId": arn, "SecretString": login(key)})).unwrap();
    assert_eq!(validate(&server), true);
    let template = json!({"prefix": "up", "appliedFor": ["PULL_THROUGH_CACHE"], "imageTagMutability": "IMMUTABLE"});
    server.ecr("CreateRepositoryCreationTemplate", &template).unwrap();
    assert_eq!(manifest(&server, "up/none/manifests/1").status, 404);
    let got = manifest(&server, "up/box/manifests/1");
    assert_eq!(got.status, 200, "{}", got.text());
    let digest = got.header("docker-content-digest").to_owned();
    let document: Value = serde_json::from_slice(&got.body).unwrap();
    let layer = document["layers"][0]["digest"].as_str().unwrap();
    // It may still be on its way.
    let blob = manifest(&server, &format!("up/box/blobs/{layer}"));
    assert_eq!((blob.status, json!(blob.body.len())), (200, document["layers"][0]["size"].clone()));
    let kept = until("the image is kept", || server.ecr("DescribeImages", &json!({"repositoryName": "up/box"})).ok());
    assert_eq!(kept["imageDetails"][0]["imageTags"], json!(["1"]));
    assert_eq!(kept["imageDetails"][0]["imageDigest"], digest);
    let made = server.ecr("DescribeRepositories", &json!({"repositoryNames": ["up/box"]})).unwrap();
    assert_eq!(made["repositories"][0]["imageTagMutability"], "IMMUTABLE");

    assert_eq!(upstream.terminate(), Some(0));
    server.kill_and_restart();
    assert_eq!(manifest(&server, "up/box/manifests/1").body, got.body);
    assert_eq!(manifest(&server, &format!("up/box/blobs/{layer}")).body, blob.body);
    assert_eq!(manifest(&server, "up/other/manifests/1").status, 502);
    let failed = json!({"repositoryName": "up/other", "imageIds": [{"imageTag": "1"}]});
    let failed = server.ecr("BatchGetImage", &failed).unwrap();
    assert_eq!(failed["failures"][0]["failureCode"], "UpstreamUnavailable", "{failed}");
}

#[test]
fn a_task_runs_an_image_that_a_rule_fetches() {
    let upstream = Server::start();
    upstream.busybox();
    let server = beside(&upstream);
    server.ecr("CreatePullThroughCacheRule", &rule(&upstream)).unwrap();
    let image = format!("127.0.0.1:{}/up/busybox:1", server.port);
    let task = server.run_task("through", json!({"image": image, "command": ["true"]}));
    let stopped = server.wait_task(&task, "STOPPED");
    assert_eq!(stopped["containers"][0]["exitCode"], 0, "{stopped}");
    let kept = server.ecr("DescribeImages", &json!({"repositoryName": "up/busybox"})).unwrap();
    assert_eq!(kept["imageDetails"][0]["imageDigest"], stopped["containers"][0]["imageDigest"]);

    let absent = format!("127.0.0.1:{}/up/none:1", server.port);
    let task = server.run_task("absent", json!({"image": absent}));
    let stopped = server.wait_task(&task, "STOPPED");
    let reason = stopped["stoppedReason"].as_str().unwrap();
    let via = format!("(pull through cache rule 'up', from 127.0.0.1:{}/none)", upstream.port);
    let words = "CannotPullContainerError: Error response from daemon: manifest for";
    assert!(reason.starts_with(words) && reason.contains("not found") && reason.ends_with(&via), "{reason}");
    let answer = server.exchange("GET", "/v2/up/none/manifests/1", &[], b"");
    assert!(answer.status == 404 && answer.text().contains(&via), "{}", answer.text());
    let batch = json!({"repositoryName": "up/none", "imageIds": [{"imageTag": "1"}]});
    let failure = server.ecr("BatchGetImage", &batch).unwrap()["failures"][0].clone();
    assert_eq!(failure["failureCode"], "ImageNotFound");
    assert!(failure["failureReason"].as_str().unwrap().ends_with(&via), "{failure}");

    let mut upstream = upstream;
    assert_eq!(upstream.terminate(), Some(0));
    let task = server.run_task("down", json!({"image": format!("127.0.0.1:{}/up/down:1", server.port)}));
    let stopped = server.wait_task(&task, "STOPPED");
    let reason = stopped["stoppedReason"].as_str().unwrap();
    let via = format!("(pull through cache rule 'up', from 127.0.0.1:{}/down)", upstream.port);
    let words =
        format!("CannotPullContainerError: Error response from daemon: Get \"http://127.0.0.1:{}", upstream.port);
    assert!(reason.starts_with(&words) && reason.ends_with(&via), "{reason}");
}

#[test]
fn a_rule_takes_from_another_region_of_the_account() {
    let server = Server::start();
    server.busybox();
    let abroad = |operation: &str, input: &Value| server.ecr_as("000000000000", "eu-west-1", operation, input).unwrap();
    let rule = json!({"ecrRepositoryPrefix": "home",
        "upstreamRegistryUrl": "000000000000.dkr.ecr.us-east-1.amazonaws.com"});
    assert_eq!(abroad("CreatePullThroughCacheRule", &rule)["upstreamRegistry"], "ecr");
    let batch = json!({"repositoryName": "home/busybox", "imageIds": [{"imageTag": "1"}]});
    let got = abroad("BatchGetImage", &batch);
    let home = server.ecr("DescribeImages", &json!({"repositoryName": "busybox"})).unwrap();
    assert_eq!(got["images"][0]["imageId"]["imageDigest"], home["imageDetails"][0]["imageDigest"], "{got}");
    let kept = abroad("DescribeImages", &json!({"repositoryName": "home/busybox"}));
    assert_eq!(kept["imageDetails"][0]["imageTags"], json!(["1"]));
    let absent = abroad("BatchGetImage", &with(&batch, &json!({"imageIds": [{"imageTag": "2"}]})));
    assert_eq!(absent["failures"][0]["failureCode"], "ImageNotFound");
}
