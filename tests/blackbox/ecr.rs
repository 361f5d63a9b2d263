//! ECR: repositories and images through the AWS API.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::server::{Server, assert_refused};

const ARN: &str = "arn:aws:ecr:us-east-1:000000000000:repository/";

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn create(server: &Server, name: &str) {
    server.ecr("CreateRepository", &json!({"repositoryName": name})).unwrap();
}

/// Sends a layer in two parts; its digest.
fn push_layer(server: &Server, repository: &str, bytes: &[u8]) -> String {
    let started = server.ecr("InitiateLayerUpload", &json!({"repositoryName": repository})).unwrap();
    let id = started["uploadId"].as_str().unwrap();
    let middle = bytes.len() / 2;
    for (from, to) in [(0, middle), (middle, bytes.len())] {
        let part = json!({"repositoryName": repository, "uploadId": id, "partFirstByte": from, "partLastByte": to - 1,
            "layerPartBlob": STANDARD.encode(&bytes[from..to])});
        assert_eq!(server.ecr("UploadLayerPart", &part).unwrap()["lastByteReceived"], to - 1);
    }
    let done = json!({"repositoryName": repository, "uploadId": id, "layerDigests": [digest(bytes)]});
    server.ecr("CompleteLayerUpload", &done).unwrap()["layerDigest"].as_str().unwrap().to_owned()
}

/// Pushes an image with this text in its configuration; manifest and digest.
fn push_image(server: &Server, repository: &str, tag: &str, text: &str) -> (String, String) {
    let config = json!({"architecture": "amd64", "os": "linux", "config": {"Labels": {"text": text}},
        "rootfs": {"type": "layers", "diff_ids": []}})
    .to_string();
    let layer = format!("layer {text}");
    let kind = "application/vnd.oci.image";
    let manifest = json!({"schemaVersion": 2, "mediaType": format!("{kind}.manifest.v1+json"),
        "config": {"mediaType": format!("{kind}.config.v1+json"), "size": config.len(), "digest": push_layer(server, repository, config.as_bytes())},
        "layers": [{"mediaType": format!("{kind}.layer.v1.tar"), "size": layer.len(), "digest": push_layer(server, repository, layer.as_bytes())}]})
    .to_string();
    let put = json!({"repositoryName": repository, "imageManifest": manifest, "imageTag": tag});
    let made = server.ecr("PutImage", &put).unwrap();
    let got = made["image"]["imageId"]["imageDigest"].as_str().unwrap().to_owned();
    assert_eq!(got, digest(manifest.as_bytes()));
    (manifest, got)
}

#[test]
fn a_repository_lives_and_dies() {
    let mut server = Server::start();
    let made = server.ecr("CreateRepository", &json!({"repositoryName": "team/app"})).unwrap()["repository"].clone();
    assert_eq!(made["repositoryUri"], format!("127.0.0.1:{}/team/app", server.port));
    assert_eq!(made["repositoryArn"], format!("{ARN}team/app"));
    create(&server, "other");
    server.kill_and_restart();
    let shown = server.ecr("DescribeRepositories", &json!({})).unwrap();
    assert_eq!((&shown["repositories"][0]["repositoryName"], &shown["repositories"][1]), (&json!("other"), &made));
    let again = server.ecr("CreateRepository", &json!({"repositoryName": "other"}));
    assert_refused(again, "RepositoryAlreadyExistsException", "already exists in the registry with id '000000000000'");
    let first = server.ecr("DescribeRepositories", &json!({"maxResults": 1})).unwrap();
    let second =
        server.ecr("DescribeRepositories", &json!({"maxResults": 1, "nextToken": first["nextToken"]})).unwrap();
    assert_eq!(second["repositories"][0]["repositoryName"], "team/app");

    push_image(&server, "other", "1", "x");
    let delete = |server: &Server, force: bool| {
        server.ecr("DeleteRepository", &json!({"repositoryName": "other", "force": force}))
    };
    assert_refused(delete(&server, false), "RepositoryNotEmptyException", "still contains images");
    delete(&server, true).unwrap();
    server.kill_and_restart();
    let gone = server.ecr("DescribeRepositories", &json!({"repositoryNames": ["other"]}));
    assert_refused(gone, "RepositoryNotFoundException", "The repository with name 'other' does not exist");
    for bad in ["UPPER", "a//b", "-a", ""] {
        assert_refused(
            server.ecr("CreateRepository", &json!({"repositoryName": bad})),
            "InvalidParameterException",
            "",
        );
    }
}

#[test]
fn layers_pushed_by_api_make_an_image() {
    let mut server = Server::start();
    create(&server, "repo");
    let layer = push_layer(&server, "repo", b"some bytes of a layer");
    let none = digest(b"never sent");
    server.kill_and_restart();
    let check = json!({"repositoryName": "repo", "layerDigests": [layer, none, "garbage"]});
    let found = server.ecr("BatchCheckLayerAvailability", &check).unwrap();
    assert_eq!(
        (&found["layers"][0]["layerAvailability"], &found["layers"][0]["layerSize"]),
        (&json!("AVAILABLE"), &json!(21))
    );
    assert_eq!(found["layers"][1]["layerAvailability"], "UNAVAILABLE");
    assert_eq!(found["failures"][0]["failureCode"], "InvalidLayerDigest");

    let url = server.ecr("GetDownloadUrlForLayer", &json!({"repositoryName": "repo", "layerDigest": layer})).unwrap();
    let url = url["downloadUrl"].as_str().unwrap();
    let path = url.split_once(&format!("127.0.0.1:{}", server.port)).unwrap_or_else(|| panic!("{url}")).1;
    assert_eq!(server.request("GET", path, &[], b""), (200, b"some bytes of a layer".to_vec()));
    let absent = server.ecr("GetDownloadUrlForLayer", &json!({"repositoryName": "repo", "layerDigest": none}));
    assert_refused(absent, "LayersNotFoundException", "");

    let (manifest, image) = push_image(&server, "repo", "1", "y");
    server.kill_and_restart();
    let got = server.ecr("BatchGetImage", &json!({"repositoryName": "repo", "imageIds": [{"imageTag": "1"}]})).unwrap();
    assert_eq!(
        (&got["images"][0]["imageManifest"], &got["images"][0]["imageId"]["imageDigest"]),
        (&json!(manifest), &json!(image))
    );
    let same = server.ecr("PutImage", &json!({"repositoryName": "repo", "imageManifest": manifest, "imageTag": "1"}));
    assert_refused(same, "ImageAlreadyExistsException", "");
    let holes = manifest.replace(&layer_of(&manifest), &none);
    let put = server.ecr("PutImage", &json!({"repositoryName": "repo", "imageManifest": holes, "imageTag": "2"}));
    assert_refused(put, "LayersNotFoundException", &none);

    let started = server.ecr("InitiateLayerUpload", &json!({"repositoryName": "repo"})).unwrap();
    let early = json!({"repositoryName": "repo", "uploadId": started["uploadId"], "layerDigests": [none]});
    assert_refused(server.ecr("CompleteLayerUpload", &early), "EmptyUploadException", "");
    let gap = json!({"repositoryName": "repo", "uploadId": started["uploadId"], "partFirstByte": 5, "partLastByte": 6, "layerPartBlob": "YWI="});
    assert_refused(server.ecr("UploadLayerPart", &gap), "InvalidLayerPartException", "");
    let stranger =
        json!({"repositoryName": "repo", "uploadId": "01234567-89ab-cdef-0123-456789abcdef", "layerDigests": [none]});
    assert_refused(server.ecr("CompleteLayerUpload", &stranger), "UploadNotFoundException", "");
}

fn layer_of(manifest: &str) -> String {
    let manifest: Value = serde_json::from_str(manifest).unwrap();
    manifest["layers"][0]["digest"].as_str().unwrap().to_owned()
}

#[test]
fn an_image_is_listed_described_fetched_and_deleted() {
    let mut server = Server::start();
    create(&server, "repo");
    let (_, one) = push_image(&server, "repo", "one", "1");
    let (manifest, two) = push_image(&server, "repo", "two", "2");
    server
        .ecr("PutImage", &json!({"repositoryName": "repo", "imageManifest": manifest, "imageTag": "latest"}))
        .unwrap();
    server.kill_and_restart();
    let listed = server.ecr("ListImages", &json!({"repositoryName": "repo"})).unwrap();
    let mut tags: Vec<&str> =
        listed["imageIds"].as_array().unwrap().iter().map(|id| id["imageTag"].as_str().unwrap()).collect();
    tags.sort_unstable();
    assert_eq!(tags, ["latest", "one", "two"]);
    let shown =
        server.ecr("DescribeImages", &json!({"repositoryName": "repo", "imageIds": [{"imageTag": "two"}]})).unwrap();
    let detail = &shown["imageDetails"][0];
    assert_eq!((&detail["imageDigest"], detail["imageTags"].as_array().unwrap().len()), (&json!(two), 2));
    assert!(detail["imageSizeInBytes"].as_u64().unwrap() > 0);
    let absent = server.ecr("DescribeImages", &json!({"repositoryName": "repo", "imageIds": [{"imageTag": "no"}]}));
    assert_refused(absent, "ImageNotFoundException", "imageTag:'no'");
    let got = server.ecr("BatchGetImage", &json!({"repositoryName": "repo", "imageIds": [{"imageTag": "one"}, {"imageTag": "no"}, {"imageTag": "one", "imageDigest": two}]})).unwrap();
    assert_eq!(got["images"].as_array().unwrap().len(), 1);
    let codes: Vec<&str> =
        got["failures"].as_array().unwrap().iter().map(|it| it["failureCode"].as_str().unwrap()).collect();
    assert_eq!(codes, ["ImageNotFound", "ImageTagDoesNotMatchDigest"]);

    let delete = |server: &Server, ids: Value| {
        server.ecr("BatchDeleteImage", &json!({"repositoryName": "repo", "imageIds": ids})).unwrap()
    };
    delete(&server, json!([{"imageTag": "latest"}]));
    delete(&server, json!([{"imageDigest": one}]));
    server.kill_and_restart();
    let listed = server.ecr("ListImages", &json!({"repositoryName": "repo"})).unwrap();
    assert_eq!(listed["imageIds"], json!([{"imageDigest": two, "imageTag": "two"}]));
    assert_eq!(delete(&server, json!([{"imageTag": "one"}]))["failures"][0]["failureCode"], "ImageNotFound");
}

#[test]
fn a_repository_is_tagged_and_untagged() {
    let mut server = Server::start();
    let tags = json!([{"Key": "a", "Value": "1"}]);
    server.ecr("CreateRepository", &json!({"repositoryName": "repo", "tags": tags})).unwrap();
    let arn = format!("{ARN}repo");
    let more = json!([{"Key": "a", "Value": "2"}, {"Key": "b", "Value": "3"}]);
    server.ecr("TagResource", &json!({"resourceArn": arn, "tags": more})).unwrap();
    server.kill_and_restart();
    let list =
        |server: &Server| server.ecr("ListTagsForResource", &json!({"resourceArn": arn})).unwrap()["tags"].clone();
    assert_eq!(list(&server), more);
    server.ecr("UntagResource", &json!({"resourceArn": arn, "tagKeys": ["a"]})).unwrap();
    server.kill_and_restart();
    assert_eq!(list(&server), json!([{"Key": "b", "Value": "3"}]));
    let reserved = server.ecr("TagResource", &json!({"resourceArn": arn, "tags": [{"Key": "aws:a", "Value": "b"}]}));
    assert_refused(reserved, "InvalidTagParameterException", "");
    let foreign = "arn:aws:ecr:us-east-1:111111111111:repository/repo";
    assert_refused(
        server.ecr("ListTagsForResource", &json!({"resourceArn": foreign})),
        "InvalidParameterException",
        "ARN",
    );
}

#[test]
fn an_immutable_tag_does_not_move() {
    let mut server = Server::start();
    create(&server, "repo");
    push_image(&server, "repo", "1", "a");
    server.ecr("PutImageTagMutability", &json!({"repositoryName": "repo", "imageTagMutability": "IMMUTABLE"})).unwrap();
    let (manifest, _) = push_image(&server, "repo", "2", "b");
    server.kill_and_restart();
    let shown = server.ecr("DescribeRepositories", &json!({})).unwrap();
    assert_eq!(shown["repositories"][0]["imageTagMutability"], "IMMUTABLE");
    let moved = server.ecr("PutImage", &json!({"repositoryName": "repo", "imageManifest": manifest, "imageTag": "1"}));
    assert_refused(moved, "ImageTagAlreadyExistsException", "immutable");
}

#[test]
fn a_login_token_opens_its_own_tenant_only() {
    let mut server = Server::start_strict();
    let ready = server.request("GET", "/v2/", &[], b"");
    assert_eq!(ready.0, 401, "without a login nobody reads");
    let root = server.root_key();
    let answer = server.signed(
        &root,
        "ecr",
        "POST",
        "/",
        &[("x-amz-target", "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken")],
        b"{}",
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    let data = &answer["authorizationData"][0];
    assert_eq!(data["proxyEndpoint"], format!("http://127.0.0.1:{}", server.port));
    let token = data["authorizationToken"].as_str().unwrap();
    let login = format!("Basic {token}");
    server.kill_and_restart();
    let get = |path: &str, login: &str| server.request("GET", path, &[("authorization", login)], b"").0;
    assert_eq!(get("/v2/", &login), 200, "it outlives the server");
    let plain = String::from_utf8(STANDARD.decode(token).unwrap()).unwrap();
    assert!(plain.starts_with("AWS:"));
    let forged = format!("Basic {}", STANDARD.encode(format!("{plain}x")));
    assert_eq!(get("/v2/", &forged), 401);
    assert_eq!(get("/v2/_catalog", &login), 200);
}
