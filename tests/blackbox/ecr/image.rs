//! Images by API.

use serde_json::{Value, json};

use super::{create, digest, push_image, put_by_oci};
use crate::server::{Server, assert_refused};

#[test]
fn what_is_no_image_is_refused_by_the_name_of_what_is_wrong() {
    let server = Server::start();
    create(&server, "repo");
    let (manifest, _) = push_image(&server, "repo", "one", "1");
    let put = |over: Value| {
        let image = json!({"repositoryName": "repo", "imageManifest": manifest});
        server.ecr("PutImage", &crate::server::with(&image, &over))
    };
    for (over, member, words) in [
        (json!({"imageManifest": "{}"}), "imageManifest", "schemaVersion is not 2"),
        (json!({"imageManifest": "nothing"}), "imageManifest", "it is no JSON object"),
        (json!({"imageManifest": "[2]"}), "imageManifest", "it is no JSON object: it is an array"),
        (json!({"imageManifestMediaType": "text/plain"}), "imageManifest", "text/plain"),
        (json!({"imageTag": "a b"}), "imageTag", "`a b` is no tag"),
        (json!({"imageDigest": "sha256:1"}), "imageDigest", "`sha256:1` is no digest"),
    ] {
        let refused = put(over.clone()).expect_err("refused");
        assert_eq!(refused.0, "InvalidParameterException", "{over}");
        let begin = format!("Invalid parameter at '{member}' failed to satisfy constraint: '");
        assert!(refused.1.starts_with(&begin) && refused.1.contains(words), "{over}: {}", refused.1);
    }
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
fn what_is_too_much_for_one_response_is_refused_and_comes_in_parts() {
    let server = Server::start();
    create(&server, "repo");
    let (manifest, image) = push_image(&server, "repo", "1", "a");
    let mut large: Value = serde_json::from_str(&manifest).unwrap();
    large["subject"] = json!({"mediaType": large["mediaType"], "digest": image, "size": manifest.len()});
    let mut made = Vec::new();
    for letter in ["a", "b", "c"] {
        large["annotations"] = json!({"note": letter.repeat(6 << 20)});
        made.push(digest(large.to_string().as_bytes()));
        assert_eq!(put_by_oci(&server, "repo", letter, &large.to_string()).status, 201);
    }
    let get = |tags: &[&str]| {
        let ids: Vec<Value> = tags.iter().map(|tag| json!({"imageTag": tag})).collect();
        server.ecr("BatchGetImage", &json!({"repositoryName": "repo", "imageIds": ids}))
    };
    assert_eq!(get(&["a", "b"]).unwrap()["images"].as_array().unwrap().len(), 2);
    assert_refused(get(&["a", "b", "c"]), "LimitExceededException", "ask for fewer images");
    let mut listed = Vec::new();
    let mut wanted = json!({"repositoryName": "repo", "subjectId": {"imageDigest": image}});
    loop {
        let page = server.ecr("ListImageReferrers", &wanted).unwrap();
        let referrers = page["referrers"].as_array().unwrap();
        assert!(!referrers.is_empty() && referrers.len() < 3);
        listed.extend(referrers.iter().map(|one| one["digest"].as_str().unwrap().to_owned()));
        let Some(token) = page.get("nextToken") else { break };
        wanted["nextToken"] = token.clone();
    }
    made.sort_unstable();
    assert_eq!(listed, made);
}
