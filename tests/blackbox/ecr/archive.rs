//! The archive storage class.

use serde_json::{Value, json};

use super::{create, digest, push_image, put_by_oci};
use crate::server::{Server, assert_refused};

#[test]
fn an_archived_image_is_described_and_not_pulled() {
    let mut server = Server::start();
    create(&server, "repo");
    let (manifest, image) = push_image(&server, "repo", "1", "a");
    let parsed: Value = serde_json::from_str(&manifest).unwrap();
    let subject = json!({"mediaType": parsed["mediaType"], "digest": image, "size": manifest.len()});
    let mut signature = parsed.clone();
    signature["subject"] = subject;
    signature["artifactType"] = json!("application/x.signature");
    let signature = signature.to_string();
    assert_eq!(put_by_oci(&server, "repo", &digest(signature.as_bytes()), &signature).status, 201);

    let moved = |server: &Server, class: &str| {
        let id = json!({"imageTag": "1"});
        let wanted = json!({"repositoryName": "repo", "imageId": id, "targetStorageClass": class});
        server.ecr("UpdateImageStorageClass", &wanted).unwrap()["imageStatus"].clone()
    };
    let describe = |server: &Server, filter: Value| {
        server.ecr("DescribeImages", &json!({"repositoryName": "repo", "filter": filter})).unwrap()["imageDetails"]
            .clone()
    };
    let pull = |server: &Server, method: &str| server.exchange(method, "/v2/repo/manifests/1", &[], b"").status;
    assert_eq!(moved(&server, "ARCHIVE"), "ARCHIVED");
    server.kill_and_restart();
    assert_eq!((pull(&server, "GET"), pull(&server, "HEAD")), (404, 404));
    let got = server.ecr("BatchGetImage", &json!({"repositoryName": "repo", "imageIds": [{"imageTag": "1"}]})).unwrap();
    assert_eq!(got["failures"][0]["failureCode"], "ImageInaccessible");
    assert_eq!(describe(&server, json!({})), json!([]), "who names no status means active images");
    let archived = describe(&server, json!({"imageStatus": "ARCHIVED"}));
    assert_eq!(archived.as_array().unwrap().len(), 2, "the signature went along: {archived}");
    let by_name = server.ecr("DescribeImages", &json!({"repositoryName": "repo", "imageIds": [{"imageTag": "1"}]}));
    let detail = by_name.unwrap()["imageDetails"][0].clone();
    assert_eq!((&detail["imageStatus"], detail["lastArchivedAt"].is_number()), (&json!("ARCHIVED"), true));
    let ids = server.ecr("ListImages", &json!({"repositoryName": "repo", "filter": {"imageStatus": "ANY"}})).unwrap();
    assert_eq!(ids["imageIds"].as_array().unwrap().len(), 2);

    assert_eq!(moved(&server, "STANDARD"), "ACTIVE");
    server.kill_and_restart();
    assert_eq!((pull(&server, "GET"), pull(&server, "HEAD")), (200, 200));
    let active = describe(&server, json!({}));
    assert!(active[0]["lastActivatedAt"].is_number(), "{active}");
    assert_eq!(active.as_array().unwrap().len(), 2);

    moved(&server, "ARCHIVE");
    let again = json!({"repositoryName": "repo", "imageManifest": manifest, "imageTag": "1"});
    server.ecr("PutImage", &again).unwrap();
    assert_eq!(pull(&server, "GET"), 200, "a new push brings it back");
    let none = json!({"repositoryName": "repo", "imageId": {"imageTag": "no"}, "targetStorageClass": "ARCHIVE"});
    assert_refused(server.ecr("UpdateImageStorageClass", &none), "ImageNotFoundException", "imageTag:'no'");
    let nothing = json!({"repositoryName": "repo", "imageId": {}, "targetStorageClass": "ARCHIVE"});
    assert_refused(server.ecr("UpdateImageStorageClass", &nothing), "InvalidParameterException", "cannot be null");
}
