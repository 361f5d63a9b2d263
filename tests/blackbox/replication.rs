//! ECR: replication between regions and accounts.

use serde_json::{Value, json};

use crate::server::{Server, assert_refused};

const HOME: &str = "000000000000";
const OTHER: &str = "111111111111";

fn configure(server: &Server, rules: &Value) {
    let configuration = json!({"replicationConfiguration": {"rules": rules}});
    let kept = server.ecr("PutReplicationConfiguration", &configuration).unwrap();
    assert_eq!(kept, configuration);
}

fn to(region: &str, account: &str) -> Value {
    json!({"region": region, "registryId": account})
}

/// Pushes an image of nothing but this text; its digest.
fn push(server: &Server, repository: &str, tag: &str, text: &str) -> String {
    let config = json!({"text": text}).to_string();
    let digest = {
        use sha2::{Digest, Sha256};
        format!("sha256:{}", hex::encode(Sha256::digest(&config)))
    };
    let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
    assert_eq!(server.request("POST", &path, &[], config.as_bytes()).0, 201);
    let kind = "application/vnd.oci.image";
    let manifest = json!({"schemaVersion": 2, "mediaType": format!("{kind}.manifest.v1+json"), "layers": [],
        "config": {"mediaType": format!("{kind}.config.v1+json"), "size": config.len(), "digest": digest}})
    .to_string();
    let put = server.exchange("PUT", &format!("/v2/{repository}/manifests/{tag}"), &[], manifest.as_bytes());
    assert_eq!(put.status, 201, "{}", put.text());
    put.header("docker-content-digest").to_owned()
}

fn status(server: &Server, tag: &str) -> Value {
    let image = json!({"repositoryName": "prod/app", "imageId": {"imageTag": tag}});
    server.ecr("DescribeImageReplicationStatus", &image).unwrap()["replicationStatuses"].clone()
}

#[test]
fn a_region_that_does_not_exist_is_no_destination() {
    let server = Server::start();
    let put = |region: &str| {
        let rules = json!([{"destinations": [to(region, HOME)]}]);
        server.ecr("PutReplicationConfiguration", &json!({"replicationConfiguration": {"rules": rules}}))
    };
    for mistyped in ["eu-wets-1", "us-east-7", "nowhere"] {
        assert_refused(
            put(mistyped),
            "InvalidParameterException",
            &format!("Region '{mistyped}' is not a valid region"),
        );
    }
    put("ap-southeast-7").unwrap();
    // An owner's own name, once somebody has used it.
    assert_refused(put("attic"), "InvalidParameterException", "'attic'");
    server.ecr_as(HOME, "attic", "DescribeRepositories", &json!({})).unwrap();
    put("attic").unwrap();
}

#[test]
fn a_pushed_image_is_in_the_regions_that_the_rules_name() {
    let mut server = Server::start();
    for repository in ["prod/app", "test/app"] {
        server.ecr("CreateRepository", &json!({"repositoryName": repository})).unwrap();
    }
    let put = |rules: Value| {
        server.ecr("PutReplicationConfiguration", &json!({"replicationConfiguration": {"rules": rules}}))
    };
    let own = put(json!([{"destinations": [to("us-east-1", HOME)]}]));
    assert_refused(own, "InvalidParameterException", "cannot be the same as the source registry");
    let twice = put(json!([{"destinations": [to("eu-west-1", HOME), to("eu-west-1", HOME)]}]));
    assert_refused(twice, "InvalidParameterException", "must be unique");
    let many: Vec<Value> = (0..26).map(|number| to(&format!("eu-west-{number}"), HOME)).collect();
    assert_refused(put(json!([{"destinations": many}])), "InvalidParameterException", "at most 25");

    let early = push(&server, "prod/app", "0", "early");
    configure(
        &server,
        &json!([
            {"destinations": [to("eu-west-1", HOME), to("eu-west-1", OTHER)],
                "repositoryFilters": [{"filter": "prod/", "filterType": "PREFIX_MATCH"}]},
            {"destinations": [to("eu-west-1", HOME), to("eu-west-2", HOME)]},
        ]),
    );
    let template = json!({"prefix": "ROOT", "appliedFor": ["REPLICATION"], "imageTagMutability": "IMMUTABLE"});
    server.ecr_as(HOME, "eu-west-2", "CreateRepositoryCreationTemplate", &template).unwrap();
    let pushed = push(&server, "prod/app", "1", "first");
    push(&server, "test/app", "1", "test");
    // No moment of waiting: what was acknowledged is there.
    server.kill_and_restart();

    for region in ["eu-west-1", "eu-west-2"] {
        let shown = server.ecr_as(HOME, region, "DescribeImages", &json!({"repositoryName": "prod/app"})).unwrap();
        let images = shown["imageDetails"].as_array().unwrap();
        assert_eq!((images.len(), &images[0]["imageDigest"]), (1, &json!(pushed)), "{early} came before the rule");
        assert_eq!(images[0]["imageTags"], json!(["1"]));
        let got = json!({"repositoryName": "prod/app", "imageIds": [{"imageTag": "1"}]});
        let got = server.ecr_as(HOME, region, "BatchGetImage", &got).unwrap();
        assert_eq!(got["images"][0]["imageId"]["imageDigest"], pushed);
        let layers = json!({"repositoryName": "prod/app", "layerDigests": [config_of(&got)]});
        let layers = server.ecr_as(HOME, region, "BatchCheckLayerAvailability", &layers).unwrap();
        assert_eq!(layers["layers"][0]["layerAvailability"], "AVAILABLE");
    }
    let made =
        |region: &str| server.ecr_as(HOME, region, "DescribeRepositories", &json!({})).unwrap()["repositories"].clone();
    assert_eq!(
        (made("eu-west-1")[0]["imageTagMutability"].clone(), made("eu-west-1")[1]["repositoryName"].clone()),
        (json!("MUTABLE"), json!("test/app"))
    );
    assert_eq!(made("eu-west-2")[0]["imageTagMutability"], "IMMUTABLE");
    let refused = server.ecr_as(OTHER, "eu-west-1", "DescribeImages", &json!({"repositoryName": "prod/app"}));
    assert_refused(refused, "RepositoryNotFoundException", "prod/app");
    let complete = |region: &str| json!({"region": region, "registryId": HOME, "status": "COMPLETE"});
    let denied = json!({"region": "eu-west-1", "registryId": OTHER, "status": "FAILED", "failureCode": "AccessDenied"});
    assert_eq!(status(&server, "1"), json!([complete("eu-west-1"), complete("eu-west-2"), denied]));
    assert_eq!(status(&server, "0"), json!([]));

    // Where the tag is immutable it stays, and the status says so.
    let second = push(&server, "prod/app", "1", "second");
    let tag = json!({"repositoryName": "prod/app", "imageIds": [{"imageTag": "1"}]});
    let there = |region: &str| {
        server.ecr_as(HOME, region, "DescribeImages", &tag).unwrap()["imageDetails"][0]["imageDigest"].clone()
    };
    assert_eq!((there("eu-west-1"), there("eu-west-2")), (json!(second), json!(pushed)));
    assert_eq!(status(&server, "1")[1]["failureCode"], "ImageTagAlreadyExists");
    // Another account takes what its registry's policy lets in.
    let allow = json!({"Version": "2012-10-17", "Statement": [{"Sid": "in", "Effect": "Allow",
        "Principal": {"AWS": format!("arn:aws:iam::{HOME}:root")},
        "Action": ["ecr:CreateRepository", "ecr:ReplicateImage"],
        "Resource": [format!("arn:aws:ecr:eu-west-1:{OTHER}:repository/prod/*")]}]});
    let allow = json!({"policyText": allow.to_string()});
    server.ecr_as(OTHER, "eu-west-1", "PutRegistryPolicy", &allow).unwrap();
    let third = push(&server, "prod/app", "3", "third");
    let theirs = json!({"repositoryName": "prod/app", "imageIds": [{"imageTag": "3"}]});
    let theirs = server.ecr_as(OTHER, "eu-west-1", "DescribeImages", &theirs).unwrap();
    assert_eq!(theirs["imageDetails"][0]["imageDigest"], third);
    let rules = server.ecr("DescribeRegistry", &json!({})).unwrap()["replicationConfiguration"]["rules"].clone();
    assert_eq!(rules[0]["repositoryFilters"][0]["filter"], "prod/");

    // A copy is not copied on, and deleting here deletes nothing there.
    configure(&server, &json!([]));
    server.ecr("DeleteRepository", &json!({"repositoryName": "prod/app", "force": true})).unwrap();
    assert_eq!(there("eu-west-1"), json!(second));
    let gone = json!({"repositoryName": "prod/app", "imageId": {"imageTag": "1"}});
    assert_refused(server.ecr("DescribeImageReplicationStatus", &gone), "RepositoryNotFoundException", "prod/app");
}

fn config_of(got: &Value) -> Value {
    let manifest: Value = serde_json::from_str(got["images"][0]["imageManifest"].as_str().unwrap()).unwrap();
    manifest["config"]["digest"].clone()
}
